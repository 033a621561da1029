"""Settings refuse what could not work or would not be safe."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from proxy.settings import Settings, UpstreamSettings, is_loopback

TOKEN = SecretStr("t" * 16)
ELSEWHERE = UpstreamSettings(url="https://elsewhere.example/v1")


@pytest.mark.parametrize("name", ["v1", "metrics", "api", "a/b", "", "ä"])
def test_no_upstream_takes_the_name_of_an_own_path(name: str) -> None:
    with pytest.raises(ValidationError, match="cannot be named"):
        Settings(upstreams={name: ELSEWHERE})


def test_an_upstream_said_outright_wins_over_the_table() -> None:
    table = {"default": ELSEWHERE.model_copy(update={"inject": "off"})}
    said = Settings(upstream="http://127.0.0.1:9/v1", upstreams=table)
    assert "http://127.0.0.1:9/v1" == said.every_upstream()["default"].url
    assert "off" == said.every_upstream()["default"].inject
    assert ELSEWHERE.url == Settings(upstreams=table).every_upstream()["default"].url


@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "[::]:8787", "10.1.2.3:80", ":80"])
def test_a_held_key_is_not_offered_to_a_network(listen: str) -> None:
    held = {"default": ELSEWHERE.model_copy(update={"key_env": "A_KEY"})}
    token = SecretStr("t" * 16)
    with pytest.raises(ValidationError, match="key_env"):
        Settings(listen=listen, upstreams=held, console_token=token)
    upstreams = {"default": ELSEWHERE}
    assert Settings(listen=listen, upstreams=upstreams, console_token=token)
    assert Settings(
        listen=listen, upstreams=held, console_token=token, proxy_tokens=(token,)
    )
    assert Settings(listen="127.0.0.1:0", upstreams=held)


def test_tokens_come_as_a_text_or_a_list_and_are_hard_to_guess() -> None:
    one, two = "a" * 16, "b" * 32
    text: Any = f" {one}, {two},"
    assert (one.encode(), two.encode()) == Settings(proxy_tokens=text).tokens_issued
    listed = (SecretStr(one),)
    assert (one.encode(),) == Settings(proxy_tokens=listed).tokens_issued
    assert one not in repr(Settings(proxy_tokens=listed))
    for weak in ("a" * 15, "é" * 16, "a" * 15 + "\n" + "a"):
        with pytest.raises(ValidationError, match="openssl rand"):
            Settings(proxy_tokens=(SecretStr(weak),))
    assert () == Settings().tokens_issued


@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "[::]:8787", "10.1.2.3:80"])
def test_what_others_reach_takes_a_console_token(listen: str) -> None:
    with pytest.raises(ValidationError, match="console_token"):
        Settings(listen=listen)
    assert Settings(listen=listen, console_token=TOKEN)
    assert Settings(listen="unix:/somewhere").console_token is None


@pytest.mark.parametrize("token", ["", "t" * 15, "t" * 15 + "\n", "t" * 15 + "é"])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ValidationError, match="16 characters of ASCII"):
        Settings(console_token=SecretStr(token))
    assert "t" * 16 not in repr(Settings(console_token=TOKEN))


@pytest.mark.parametrize("secret", ["", "ab" * 31, "ab" * 33, "xy" * 32])
def test_a_secret_that_is_not_32_bytes_is_refused_and_none_is_shown(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIRITSAFE_SECRET", secret)
    with pytest.raises(ValidationError, match="32 bytes in hex"):
        Settings()
    monkeypatch.setenv("SPIRITSAFE_SECRET", "ab" * 32)
    assert b"\xab" * 32 == Settings().secret_given
    assert "abab" not in repr(Settings())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keep_rows_days", 1e300),
        ("keep_bodies_days", 36_501),
        ("max_file_bytes", 10**400),
    ],
)
def test_what_no_clock_or_file_can_tell_is_refused(name: str, value: float) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(ValidationError, match="less than or equal"):
        Settings(**given)


def test_names_come_as_a_text_or_a_list() -> None:
    assert ("a.example", "b") == Settings(served_names=" a.example, b,").served_names
    assert ("a.example",) == Settings(served_names=("a.example",)).served_names


def test_loopback_is_known_in_every_spelling() -> None:
    for listen in ("127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "localhost:1", "unix:/a"):
        assert is_loopback(listen)
