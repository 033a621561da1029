"""Tokens that the operator gives out: hard to guess, and never shown."""

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, SecretStr

LEAST_CHARACTERS = 16
"""Fewer could be guessed over a network."""


def _hard_to_guess(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if len(text) < LEAST_CHARACTERS or not text.isascii() or not text.isprintable():
        raise ValueError(
            f"a token has {LEAST_CHARACTERS} characters of ASCII at least: take what "
            "'openssl rand -hex 32' prints"
        )
    return token


Token: TypeAlias = Annotated[SecretStr, AfterValidator(_hard_to_guess)]
