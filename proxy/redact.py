"""Masks credentials in request targets, which are written down."""

from urllib.parse import unquote_to_bytes

MASK = "***"

# Query parameters whose value is a credential (S-01); names are compared decoded and
# lower-cased, `-` and `_` alike.
_SECRET_NAMES = frozenset(
    {
        b"key",
        b"api-key",
        b"apikey",
        b"x-api-key",
        b"x-goog-api-key",
        b"subscription-key",
        b"access-token",
        b"refresh-token",
        b"id-token",
        b"token",
        b"code",
        b"auth",
        b"authorization",
        b"bearer",
        b"password",
        b"secret",
        b"client-secret",
        b"sig",
        b"signature",
        b"x-amz-signature",
        b"x-amz-credential",
        b"x-amz-security-token",
    }
)


def query(text: bytes) -> bytes:
    """Return a query string with its credentials masked, all else byte for byte.

    >>> query(b"api-version=1&api%2Dkey=abc")
    b'api-version=1&api%2Dkey=***'
    """
    if not text:
        return text
    return b"&".join(map(_pair, text.split(b"&")))


def target(path: bytes, query_string: bytes | None = None) -> str:
    """Return path and query as the client sent them, credentials masked.

    Shapes: no query is None, an empty one `b""`. Bytes that are no ASCII show as
    escapes, so that a target is one printable line (S-41).
    """
    line = path if query_string is None else path + b"?" + query(query_string)
    shown = line.decode("ascii", "backslashreplace")
    if shown.isprintable():
        return shown
    return shown.encode("unicode_escape").decode("ascii")


def _pair(pair: bytes) -> bytes:
    name, equals, _ = pair.partition(b"=")
    if not equals:
        return pair
    plain = unquote_to_bytes(name).strip().lower().replace(b"_", b"-")
    return name + b"=" + MASK.encode() if plain in _SECRET_NAMES else pair
