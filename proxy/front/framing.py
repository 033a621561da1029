"""What says how a request is framed, looked at closer than llhttp does.

llhttp reads these with more leniency than we forward: H-03, H-04, H-05, H-12.
"""

from proxy.errors import ClientError, ExpectationError

MAX_LENGTH_DIGITS = 18
"""Of a `Content-Length`: more overflow what some read it into."""

LENGTH = b"content-length"
CODING = b"transfer-encoding"
EXPECT = b"expect"

FRAMING = frozenset(
    {
        EXPECT,
        LENGTH,
        b"content_length",  # what some read as the names with hyphens (H-05)
        CODING,
        b"transfer_encoding",
    }
)
"""Names whose values are to be checked, in lower case."""

MALFORMED = ClientError(
    "This is no HTTP/1.1 request that can be trusted: its head or its framing is "
    "malformed. Check the client, or what stands between it and this proxy.",
    code="malformed_request",
)


def check(name: bytes, value: bytes) -> None:
    """Let one of the `FRAMING` headers pass, or say why not.

    Raises: `ExpectationError`, and `MALFORMED` for all else.
    """
    if name == EXPECT:
        if value.lower() != b"100-continue":
            raise ExpectationError(
                "Of the header Expect only 100-continue can be met here."
            )
    elif name == LENGTH:
        digits = value.strip(b" \t")
        zeros = len(digits) > 1 and digits.startswith(b"0")
        if zeros or not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS:
            raise MALFORMED
    elif name != CODING or value.lower() != b"chunked":
        raise MALFORMED
