"""Text as files and databases take it: UTF-8 has no halves of characters."""


def writable(text: str) -> str:
    r"""Return text with `?` for lone surrogates, which JSON may spell.

    Each character stays in its place.

    >>> writable("\ud800 is a half")
    '? is a half'
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
