"""The frozen Settings: the only reader of environment, file and flags."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from proxy.mask import Masker, RedactSettings, Rule
from proxy.tokens import Secret, Token
from proxy.upstream.settings import UpstreamSettings

MIB = 1024 * 1024

MOST_DAYS, MOST_BYTES = 36_500, 2**63 - 1
"""Beyond these a time or a size cannot be written down."""

FILE = Path("spiritsafe.toml")
"""Read where it is, in the working directory."""

NO_FILE = "db: it names no file: write a path, such as ./spiritsafe.db"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
OWN_PATHS = frozenset({"v1", "healthz", "readyz", "metrics", "api", "console"})
"""First segments of our own paths: no upstream could be reached under them."""


def is_loopback(listen: str) -> bool:
    """Return whether only this machine can reach an address."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Settings(BaseSettings):
    """All that can be set: flag over `SPIRITSAFE_…` over file over these defaults."""

    model_config = SettingsConfigDict(
        env_prefix="SPIRITSAFE_",
        env_nested_delimiter="__",
        toml_file=FILE,
        frozen=True,
        extra="forbid",
    )

    listen: str = Field(
        default="127.0.0.1:8787", description="host:port, or unix:/path/to/socket."
    )
    upstream: str = Field(
        default="https://api.openai.com/v1", description="Base URL served at /v1."
    )
    upstreams: dict[str, UpstreamSettings] = Field(
        default_factory=dict,
        description="Named upstreams, served at /{name}/v1; `default` refines /v1.",
    )
    db: Path = Field(
        default=Path("spiritsafe.db"), description="The file that keeps everything."
    )
    secret: Secret | None = Field(
        default=None,
        description="What keys are hashed with, 32 bytes in hex, not the `.secret`.",
    )
    console_token: Token | None = Field(
        default=None,
        description="Opens all of `/api`; needed where others reach `listen`.",
    )
    proxy_tokens: Annotated[tuple[Token, ...], NoDecode] = Field(
        default=(),
        description="Needed for upstreams with a `key_env`; comma-separated.",
    )
    served_names: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names of its own and of pages that may use it, comma-separated.",
    )
    tags: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, description="Default tags, as key=value,key=value."
    )
    durability: Literal["durable", "relaxed"] = Field(
        default="durable",
        description="Whether the end of an answer waits for the commit.",
    )
    respect_opt_out: bool = Field(
        default=True, description="Keep no content where the client said store: false."
    )
    record_embeddings: bool = Field(
        default=False, description="Record /v1/embeddings too."
    )
    finish_after_client_left_s: float = Field(
        default=60.0,
        ge=0,
        description="Seconds to go on reading an answer nobody waits for; 0 cancels.",
    )
    max_request_bytes: int = Field(
        default=128 * MIB, gt=0, description="Largest captured request body."
    )
    max_bodies_bytes: int = Field(
        default=0,
        ge=0,
        description="Captured request bodies in memory at once; 0: by memory.",
    )
    max_answers_bytes: int = Field(
        default=0,
        ge=0,
        description="Answers under way in memory; prefixes beyond. 0: by memory.",
    )
    max_requests_at_once: int = Field(
        default=6000, gt=0, description="Requests under way before 503 is answered."
    )
    room_timeout_s: float = Field(
        default=5.0, gt=0, description="Longest wait of a body for memory before 503."
    )
    head_timeout_s: float = Field(
        default=30.0, gt=0, description="Seconds for a whole request head."
    )
    body_timeout_s: float = Field(
        default=60.0, gt=0, description="Seconds in which some of a body has to come."
    )
    min_body_bytes_per_s: int = Field(
        default=100, ge=0, description="Least speed of a body over that time."
    )
    max_kept_answer_bytes: int = Field(
        default=64 * MIB, gt=0, description="Largest answer kept whole; prefix beyond."
    )
    max_queue_bytes: int = Field(
        default=64 * MIB, gt=0, description="Bytes waiting for the writer."
    )
    on_storage_failure: Literal["fail_open", "fail_closed"] = Field(
        default="fail_open",
        description="What happens to traffic that cannot be kept.",
    )
    reserve_bytes: int = Field(
        default=256 * MIB, ge=0, description="Held beside the file for a full disk."
    )
    max_spool_bytes: int = Field(
        default=512 * MIB, ge=0, description="Kept outside the file while it fails."
    )
    spool: Path | None = Field(
        default=None, description="Where that is kept; beside the file otherwise."
    )
    index: bool = Field(
        default=True,
        description="Index what is kept, in a file beside it, for quick filters.",
    )
    redact: tuple[RedactSettings, ...] = Field(
        default=(), description="Rules for what is masked in all that is kept."
    )
    schemas: Path | None = Field(
        default=None,
        description="Folder of `NAME.json`, read at start and on SIGHUP.",
    )
    keep_bodies_days: float = Field(
        default=0,
        ge=0,
        le=MOST_DAYS,
        allow_inf_nan=False,
        description="Days after which only numbers and tags are kept; 0: for ever.",
    )
    keep_rows_days: float = Field(
        default=0,
        ge=0,
        le=MOST_DAYS,
        allow_inf_nan=False,
        description="Days after which an exchange is removed; 0: never.",
    )
    max_file_bytes: int = Field(
        default=0,
        ge=0,
        le=MOST_BYTES,
        description="Size of the file; failed, untagged, oldest go. 0: no bound.",
    )
    hold_timeout_s: float = Field(
        default=2.0, gt=0, description="Longest wait for a commit before release."
    )
    drain_s: float = Field(
        default=25.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds for open exchanges at shutdown.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much is said on stderr."
    )

    @field_validator("tags", mode="before")
    @classmethod
    def _tags_from_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair for pair in value.split(",") if pair.strip()]
        if any("=" not in pair for pair in pairs):
            raise ValueError(f"'{value}' is no list of tags: write key=value,key=value")
        return {
            key.strip(): text.strip()
            for key, text in (pair.split("=", 1) for pair in pairs)
        }

    @field_validator("served_names", "proxy_tokens", mode="before")
    @classmethod
    def _names_from_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name.strip() for name in value.split(",") if name.strip())

    @field_validator("db")
    @classmethod
    def _names_a_file(cls, value: Path) -> Path:
        if value == Path():
            raise ValueError(NO_FILE.removeprefix("db: "))
        return value

    @field_validator("upstreams")
    @classmethod
    def _reachable(
        cls, value: dict[str, UpstreamSettings]
    ) -> dict[str, UpstreamSettings]:
        for name in value:
            if name in OWN_PATHS or not NAME.fullmatch(name):
                raise ValueError(
                    f"an upstream cannot be named '{name}': use letters, digits, '-' "
                    f"and '_', and none of {', '.join(sorted(OWN_PATHS))}"
                )
        return value

    @model_validator(mode="after")
    def _keys_stay_home(self) -> Self:
        held = [name for name, its in self.upstreams.items() if its.key_env]
        if held and not self.proxy_tokens and not is_loopback(self.listen):
            raise ValueError(
                f"upstream '{held[0]}' sends a key that the proxy holds (key_env), and "
                f"'{self.listen}' can be reached by others, who would spend it: give "
                "out proxy_tokens, or listen on 127.0.0.1 or unix:/path, or let "
                "clients send their own keys"
            )
        return self

    @model_validator(mode="after")
    def _opened_by_a_token(self) -> Self:
        named = bool(self.listen.rpartition(":")[0])  # else it is no address at all
        reached = named and not is_loopback(self.listen)
        if self.console_token is None and reached:
            raise ValueError(
                f"console_token: '{self.listen}' can be reached by others, and what is "
                "recorded is read there: set SPIRITSAFE_CONSOLE_TOKEN, for one to what "
                "'openssl rand -hex 32' prints, or listen on 127.0.0.1 or unix:/path"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the base class's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, strongest first: flags, environment, file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    def masker(self) -> Masker | None:
        """Return what masks the stored copy; None where nothing is to be."""
        rules = [Rule(its.name, its.pattern, its.path) for its in self.redact]
        return Masker(rules) if rules else None

    def mask_tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Return tags that are given later as they may be kept."""
        masker = self.masker()
        return dict(tags) if masker is None else masker.tags(tags)

    @property
    def fails_closed(self) -> bool:
        """Whether what cannot be recorded is refused, before any token is spent."""
        return self.on_storage_failure == "fail_closed"

    @property
    def tokens_issued(self) -> tuple[bytes, ...]:
        """The tokens that callers of upstreams with a held key present."""
        return tuple(it.get_secret_value().encode() for it in self.proxy_tokens)

    @property
    def secret_given(self) -> bytes | None:
        """The secret that is set, in place of the one beside the file."""
        return (
            None
            if self.secret is None
            else bytes.fromhex(self.secret.get_secret_value())
        )

    @property
    def is_unix(self) -> bool:
        """Whether it listens on a socket in a folder, which no browser opens."""
        return self.listen.startswith("unix:")

    def every_upstream(self) -> dict[str, UpstreamSettings]:
        """Return all upstreams by name; `default` is the one served at /v1."""
        named = dict(self.upstreams)
        default = named.setdefault("default", UpstreamSettings(url=self.upstream))
        if "upstream" in self.model_fields_set:  # said outright, it wins over a table
            url = UpstreamSettings(url=self.upstream).url
            named["default"] = default.model_copy(update={"url": url})
        return named


__all__ = ["MIB", "RedactSettings", "Settings", "UpstreamSettings", "ValidationError"]
