"""What may be asked of the stored API, and what is refused with a clear 400."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ClientError, ValueRefused
from proxy.stored.parameters import (
    Listing,
    Paging,
    read_listing,
    read_metadata,
    read_paging,
    read_path,
    refuse_all,
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (None, Listing(Paging())),
        (b"", Listing(Paging())),
        (b"limit=7&order=desc&after=c-1", Listing(Paging("c-1", 7, "desc"))),
        (b"model=gpt-4o", Listing(Paging(), "gpt-4o")),
        (b"metadata%5Ba%5D=x%20y&metadata[b]=x+y", Listing(Paging(), None, (("a", "x y"), ("b", "x y")))),
        (b"metadata[a]=1&metadata[a]=2", Listing(Paging(), None, (("a", "1"), ("a", "2")))),
        (b"metadata[a]=", Listing(Paging(), None, (("a", ""),))),
        (b"metadata[a%5D[b]=", Listing(Paging(), None, (("a][b", ""),))),
        (b"metadata=&after=&api-version=2024-10-01&api-key=s", Listing(Paging())),
        (b"metadata[%F0%9F%A5%83]=%C3%A9", Listing(Paging(), None, (("🥃", "é"),))),
    ],
)  # fmt: skip
def test_both_clients_spellings_are_read(
    query: bytes | None, expected: Listing
) -> None:
    assert expected == read_listing(query)


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        (b"limit=0", "limit", "invalid_value"),
        (b"limit=101", "limit", "invalid_value"),
        (b"limit=-1", "limit", "invalid_value"),
        (b"limit=1e1", "limit", "invalid_value"),
        (b"limit=%D9%A1", "limit", "invalid_value"),
        (b"limit=" + b"9" * 5000, "limit", "invalid_value"),
        (b"limit=", "limit", "invalid_value"),
        (b"order=ASC", "order", "invalid_value"),
        (b"order=asc;drop table exchanges", "order", "invalid_value"),
        (b"limit=1&limit=2", "limit", "invalid_value"),
        (b"after=" + b"x" * 1025, "after", "invalid_value"),
        (b"model=" + b"x" * 1025, "model", "invalid_value"),
        (b"model=%00", "the query", "invalid_value"),
        (b"model=%ED%A0%80", "the query", "invalid_value"),
        (b"model=%FF", "the query", "invalid_value"),
        (b"before=x", "before", "unknown_parameter"),
        (b"' OR 1=1", "' OR 1", "unknown_parameter"),
        (b"metadata[]=x", "metadata", "invalid_value"),
        (b"metadata[" + b"k" * 65 + b"]=x", "metadata", "invalid_value"),
        (b"metadata[k]=" + b"x" * 513, "metadata", "invalid_value"),
        (b"metadata=null", "metadata", "unknown_parameter"),
        (b"&".join(b"metadata[%d]=x" % n for n in range(17)), "metadata", "object_above_max_properties"),
    ],
)  # fmt: skip
def test_all_else_in_a_query_is_refused(query: bytes, param: str, code: str) -> None:
    with pytest.raises(ValueRefused) as caught:
        read_listing(query)
    assert (400, param, code) == (
        caught.value.status_hint,
        caught.value.param,
        caught.value.code,
    )
    assert len(str(caught.value)) < 200


@given(st.binary(max_size=60))
def test_any_query_is_read_or_refused(query: bytes) -> None:
    for read in (read_listing, lambda q: read_paging(q, order="asc"), refuse_all):
        with suppress(ValueRefused):
            read(query)


def test_what_a_call_cannot_do_is_not_asked_of_it() -> None:
    refuse_all(b"api-version=1")
    refuse_all(b"include[]=reasoning.encrypted_content&stream=false", including=True)
    for query in (b"limit=1", b"stream=true", b"include[]=x"):
        with pytest.raises(ValueRefused):
            refuse_all(query)
    with pytest.raises(ValueRefused):
        refuse_all(b"stream=true", including=True)
    assert Paging(None, 20, "desc") == read_paging(
        b"include=x", order="desc", including=True
    )


def test_an_id_is_decoded_once() -> None:
    assert ["a/b%2F", "messages"] == read_path(b"/a%2Fb%252F/messages")
    assert [] == read_path(b"")
    for path in (b"/%00", b"/%FF", b"/" + b"x" * 1025):
        with pytest.raises(ValueRefused):
            read_path(path)


def test_an_update_sets_the_whole_of_metadata() -> None:
    full = {f"{n}": "v" * 512 for n in range(16)}
    assert full == read_metadata(json.dumps({"metadata": full}).encode())
    assert {} == read_metadata(b'{"metadata": null}')
    assert {} == read_metadata(b'{"metadata": {}}')


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"a":' * 100_000, "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"{}", "missing_required_parameter"),
        (b'{"metadata":{},"model":"x"}', "unknown_parameter"),
        (b'{"metadata":{"a":1}}', "invalid_type"),
        (b'{"metadata":[]}', "invalid_type"),
        (b'{"metadata":"x"}', "invalid_type"),
        (b'{"metadata":{"a":"\\ud800"}}', "invalid_json"),
        (b'{"metadata":{"a\\u0000":""}}', "invalid_value"),
        (b'{"metadata":{"a":"\\u0000"}}', "invalid_value"),
        (b'{"metadata":{"":""}}', "invalid_value"),
        (b'{"metadata":{"a":"%b"}}' % (b"x" * 1_000_000), "invalid_value"),
        (b'{"metadata":{"%b":""}}' % (b"x" * 1_000_000), "invalid_value"),
        (json.dumps({"metadata": dict.fromkeys("abcdefghijklmnopq", "")}).encode(), "object_above_max_properties"),
    ],
    ids=range(17),
)  # fmt: skip
def test_all_else_in_an_update_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        read_metadata(body)
    assert (400, code) == (caught.value.status_hint, caught.value.code)
    assert len(str(caught.value)) < 200
