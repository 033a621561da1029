"""What tokens cost, by a table that says of what date it is."""

import tomllib
from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Self

import msgspec

from proxy.commands.errors import WrongUse
from storage.queries.sums import Sums

MILLION = 1_000_000


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model's tokens cost, by the million."""

    model: str
    input: float
    output: float
    cached: float | None = None

    def cost(self, used: Sums) -> float:
        """Return what these tokens cost: cached ones once, reasoning as output."""
        cached = min(used.cached_tokens, used.prompt_tokens)
        cached_price = self.input if self.cached is None else self.cached
        return (
            (used.prompt_tokens - cached) * self.input
            + cached * cached_price
            + used.completion_tokens * self.output
        ) / MILLION


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of prices.

    Shapes: `checked` where somebody compared it with what is really asked.
    """

    date: date
    currency: str
    checked: bool = True
    price: Sequence[Price] = ()

    def of(self, model: str) -> Price | None:
        """Return the price of a model; None where the table has none."""
        return next((it for it in self.price if fnmatchcase(model, it.model)), None)

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Return the table of a file, or the one that came with the program.

        Raises: `WrongUse`.
        """
        try:
            text = shipped() if path is None else path.read_text(encoding="utf-8")
            return msgspec.convert(tomllib.loads(text), cls, strict=False)
        except OSError as exc:
            raise WrongUse(f"--prices {path}: {exc.strerror}") from exc
        except (ValueError, msgspec.ValidationError) as exc:
            raise WrongUse(f"--prices {path}: {exc}") from exc


def shipped() -> str:
    """Return the table that came with the program, as text."""
    return (files("proxy.commands") / "prices.toml").read_text(encoding="utf-8")
