"""What there is to set about one upstream."""

import os
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


def _shown(url: str) -> str:
    """Return a URL that may be told: without user, key and query (S-03)."""
    _, at, host = url.rpartition("@")
    return ("***" + at) * bool(at) + host.partition("?")[0]


class UpstreamSettings(BaseModel):
    """One server that requests are forwarded to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="Base URL, with the /v1 where the server has one.")
    inject: Literal["auto", "off"] = Field(
        default="auto", description="Whether `store` and tags are added to requests."
    )
    key_env: str | None = Field(
        default=None,
        description="Variable with the key to send in place of the client's own.",
    )
    transport: Literal["own", "httpx"] = Field(
        default="own", description="`httpx` serves HTTP/2 and outbound proxies."
    )
    http2: bool = Field(default=False, description="HTTP/2, with `httpx` only.")
    proxy: str | None = Field(
        default=None, description="Outbound proxy URL, with `httpx` only."
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities to trust instead."
    )
    connect_timeout_s: float = Field(
        default=10.0, gt=0, description="Seconds to connect, TLS included."
    )
    first_byte_timeout_s: float = Field(
        default=900.0, gt=0, description="Seconds until the answer's head."
    )
    idle_timeout_s: float = Field(
        default=600.0, gt=0, description="Seconds between two reads of an answer."
    )
    max_connections: int = Field(
        default=6000, gt=0, description="Connections open to it at once."
    )
    pool_timeout_s: float = Field(
        default=10.0, gt=0, description="Seconds a request waits for a connection."
    )
    idle_expiry_s: float = Field(
        default=4.0, gt=0, description="Seconds an idle connection is kept."
    )

    @model_validator(mode="after")
    def _fits_its_transport(self) -> Self:
        if self.transport == "own" and (self.http2 or self.proxy):
            raise ValueError(
                "http2 and proxy need the other transport: set transport = 'httpx'"
            )
        return self

    @field_validator("ca_file")
    @classmethod
    def _is_there(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"there is no file {value}")
        return value

    @field_validator("url")
    @classmethod
    def _whole_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(
                f"'{_shown(value)}' is no base URL: write it like "
                "https://api.openai.com/v1"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "a base URL holds no user, query or fragment: keys go into `key_env`"
            )
        try:
            _ = parts.port
        except ValueError as exc:
            raise ValueError(f"'{_shown(value)}': {exc}") from None
        return value.rstrip("/")

    def held_key(self) -> bytes | None:
        """Return the key that replaces the client's own, where the proxy holds one.

        Raises: `ValueError` naming the variable when it is not set.
        """
        if self.key_env is None:
            return None
        key = os.environ.get(self.key_env)
        if not key:
            raise ValueError(
                f"upstream {self.url}: key_env names {self.key_env}, which is not set: "
                "export it, or remove key_env so that clients send their own keys"
            )
        return key.encode("ascii")
