"""Tokens and secrets that the operator sets: hard to guess, and never shown."""

import re
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


_HEX = re.compile(r"[0-9a-fA-F]{64}")


def _hex_of_32_bytes(secret: SecretStr) -> SecretStr:
    if not _HEX.fullmatch(secret.get_secret_value()):
        raise ValueError(
            "it does not hold 32 bytes in hex: take what 'openssl rand -hex 32' prints"
        )
    return secret


Secret: TypeAlias = Annotated[SecretStr, AfterValidator(_hex_of_32_bytes)]
"""What callers' keys are hashed with."""
