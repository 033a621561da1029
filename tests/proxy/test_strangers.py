"""Which names and pages are ours, and which are a stranger's."""

import pytest

from proxy.errors import HostError, OriginError, SpiritsafeError, UnknownHostError
from proxy.strangers import Strangers

OURS = [
    "localhost",
    "LOCALHOST.",
    "a.localhost:8787",
    "127.0.0.1",
    "127.0.0.1:8787",
    "[::1]:8787",
    "10.1.2.3",
    "spiritsafe:8787",
    "printer.local",
    "host.docker.internal:8787",
    "named.example",
    "Named.Example.:80",
]
STRANGE = [
    "evil.example",
    "evil.example:8787",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evillocalhost.example",
    "127.1",
    "sub.named.example",
]
NO_HOST = [
    "a/",
    "a b",
    "x/docs?",
    "a/?x=",
    "u@a",
    "a:b",
    "[::1",
    "a:1:2",
    "a:123456",
    "ä",
]


def verdict(
    strangers: Strangers, *pairs: tuple[str, str]
) -> type[SpiritsafeError] | None:
    try:
        strangers.refuse((name.encode(), value.encode()) for name, value in pairs)
    except SpiritsafeError as exc:
        return type(exc)
    return None


@pytest.mark.parametrize("everyone", [False, True])
def test_s22_hosts_are_told_apart(everyone: bool) -> None:  # noqa: FBT001  a parameter
    strangers = Strangers(["Named.example."], everyone=everyone)
    for _ in range(2):  # what was let in once is remembered
        for host in OURS:
            assert (host, None) == (host, verdict(strangers, ("host", host)))
        for host in STRANGE:
            assert (host, UnknownHostError) == (
                host,
                verdict(strangers, ("host", host)),
            )


def test_h39_s21_what_is_no_host_is_refused_everywhere() -> None:
    for host in NO_HOST:
        for everyone in (False, True):
            strangers = Strangers([], everyone=everyone)
            assert (host, HostError) == (host, verdict(strangers, ("host", host)))


def test_beyond_loopback_without_names_any_name_is_taken() -> None:
    strangers = Strangers([], everyone=True)
    for host in OURS + STRANGE:
        assert (host, None) == (host, verdict(strangers, ("host", host)))
        page = ("origin", f"https://{host}")
        assert (host, None) == (host, verdict(strangers, page))


def test_s23_pages_are_told_apart() -> None:
    strangers = Strangers(["named.example"])
    for host in OURS:
        for scheme in ("http", "https", "HTTP"):
            assert None is verdict(strangers, ("origin", f"{scheme}://{host}"))
    for host in STRANGE + NO_HOST:
        page = ("origin", f"https://{host}")
        assert (host, OriginError) == (host, verdict(strangers, page))
    for other in ("vscode-webview://1a2b", "app://-", "tauri://localhost", ""):
        assert (other, None) == (other, verdict(strangers, ("origin", other)))
    for hidden in ("null", "NULL", "http://localhost, http://evil.example"):
        assert OriginError is verdict(strangers, ("origin", hidden))


def test_s48_very_many_names_are_not_all_remembered() -> None:
    strangers = Strangers([])
    for number in range(1000):
        assert None is verdict(strangers, ("host", f"h{number}"))
    assert len(strangers._known) <= 256
