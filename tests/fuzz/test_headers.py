"""Headers of any kind: nothing hop-by-hop crosses, nothing end-to-end is changed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import headers
from proxy.errors import SpiritsafeError
from tests.fuzz.budget import fuzzed

HOP = {
    b"connection", b"proxy-connection", b"keep-alive", b"te", b"trailer", b"upgrade",
    b"transfer-encoding", b"proxy-authenticate", b"proxy-authorization",
}  # fmt: skip
NAME = st.sampled_from(
    b"Connection Keep-Alive TE Transfer-Encoding Upgrade X-A Content-Length Host X-B "
    b"Authorization x-a Via Accept Proxy-Connection Trailer X-Spiritsafe-Tags Cookie "
    b"Set-Cookie".split()
)
VALUE = st.one_of(
    st.sampled_from(
        [b"x-a", b"close, X-B", b"host,content-length", b"trailers", b"a=b"]
    ),
    st.binary(max_size=12).map(lambda v: re.sub(rb"[\x00-\x1f\x7f]", b"", v)),
)
PAIRS = st.lists(st.tuples(NAME, VALUE), max_size=12)


def named(pairs: list[tuple[bytes, bytes]]) -> set[bytes]:
    """Return what the Connection lines name."""
    lines = [value for name, value in pairs if name.lower() == b"connection"]
    return {one.strip(b" \t").lower() for line in lines for one in line.split(b",")}


@fuzzed(300)
@given(PAIRS, st.booleans())
def test_h35_h36_h37_what_goes_upstream_is_the_clients_less_what_is_ours(
    pairs: list[tuple[bytes, bytes]],
    identity: bool,  # noqa: FBT001  hypothesis passes by position
) -> None:
    sent = headers.to_upstream(
        pairs, host=b"up.example", content_length=7, identity=identity
    )
    names = [name.lower() for name, _ in sent]
    assert 1 == names.count(b"host")
    assert 1 == names.count(b"content-length")
    assert (b"host", b"up.example") in [(n.lower(), v) for n, v in sent]
    assert not (HOP - {b"te"}) & set(names)
    assert all(value == b"trailers" for name, value in sent if name.lower() == b"te")
    gone = named(pairs)
    for name in (b"x-a", b"x-b", b"cookie", b"set-cookie"):
        want = [v for n, v in pairs if n.lower() == name and name not in gone]
        assert want == [value for n, value in sent if n.lower() == name]


@fuzzed(300)
@given(PAIRS)
def test_h35_h37_what_goes_to_the_client_is_the_upstreams_less_what_is_ours(
    pairs: list[tuple[bytes, bytes]],
) -> None:
    ours = [(b"x-spiritsafe-id", b"ex_1")]
    sent = headers.to_client(pairs, ours)
    names = [name.lower() for name, _ in sent]
    assert not HOP & set(names)
    assert ours[0] in sent
    gone = named(pairs)
    for name in (b"x-a", b"x-b", b"set-cookie"):
        want = [v for n, v in pairs if n.lower() == name and name not in gone]
        assert want == [value for n, value in sent if n.lower() == name]


@fuzzed(300)
@given(PAIRS)
def test_any_headers_are_read_or_refused_by_name(
    pairs: list[tuple[bytes, bytes]],
) -> None:
    lower = [(name.lower(), value) for name, value in pairs]
    headers.recorded(lower)
    headers.credential(lower)
    try:
        headers.admit(lower, b"mark", version="1.1")
        headers.control(lower)
    except SpiritsafeError:
        return


@pytest.mark.parametrize("name", [b"Authorization", b"Cookie", b"Proxy-Authorization"])
def test_s01_no_credential_is_among_what_is_kept(name: bytes) -> None:
    for spelled in (name, name.lower(), name.upper()):
        assert () == headers.recorded([(spelled, b"secret")])
