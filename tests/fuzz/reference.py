"""What a strict reader makes of a client's bytes, by the letter of RFC 9112.

It stops at the first doubt: whatever is behind that is nobody's request. What a request
means, whether it has a Host or a method that is served, is not its business.
"""

import re
from typing import NamedTuple


class Read(NamedTuple):
    """One whole request as the reference reads it."""

    method: bytes
    target: bytes
    body: bytes


class DoubtError(Exception):
    """The bytes are no request, or not a whole one."""


_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# More than one space is as plain as one (§3), and we send one.
_LINE = re.compile(rb"(%b) +([!-~]+) +HTTP/1\.([01])" % _TOKEN)
_FIELD = re.compile(rb"(%b):[ \t]*([ \t!-~\x80-\xff]*)" % _TOKEN)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t !-~\x80-\xff]*)?")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def line(self) -> bytes:
        end = self.data.find(b"\r\n", self.at)
        if end < 0:
            raise DoubtError
        line, self.at = self.data[self.at : end], end + 2
        return line

    def skip_ends(self) -> None:
        """Pass over line ends before a request (§2.2), in any spelling: none hides."""
        while self.data[self.at : self.at + 1] in (b"\r", b"\n"):
            self.at += 1

    def take(self, size: int) -> bytes:
        if len(self.data) - self.at < size:
            raise DoubtError
        self.at += size
        return self.data[self.at - size : self.at]


def requests(data: bytes) -> list[Read]:
    """Return the requests that these bytes are, up to the first doubt or the close."""
    reader, found, going = _Reader(data), list[Read](), True
    try:
        while going:
            one, going = _request(reader)
            found.append(one)
    except DoubtError:
        pass
    return found


def _request(reader: _Reader) -> tuple[Read, bool]:
    """Return the next request, and whether another may follow."""
    reader.skip_ends()
    line = _LINE.fullmatch(reader.line())
    if line is None:
        raise DoubtError
    fields = _fields(reader)
    body = _body(reader, fields, old=line[3] == b"0")
    options = {
        option.strip(b" \t").lower()
        for value in fields.get(b"connection", [])
        for option in value.split(b",")
    }
    going = b"keep-alive" in options if line[3] == b"0" else b"close" not in options
    return Read(line[1], line[2], body), going


def _fields(reader: _Reader) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    while line := reader.line():
        field = _FIELD.fullmatch(line)
        if field is None:
            raise DoubtError
        found.setdefault(field[1].lower(), []).append(field[2].strip(b" \t"))
    return found


def _body(reader: _Reader, fields: dict[bytes, list[bytes]], *, old: bool) -> bytes:
    lengths = fields.get(b"content-length", [])
    codings = fields.get(b"transfer-encoding", [])
    if codings:
        if lengths or old or [coding.lower() for coding in codings] != [b"chunked"]:
            raise DoubtError
        return _chunks(reader)
    if not lengths:
        return b""
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise DoubtError
    return reader.take(int(lengths[0]))


def _chunks(reader: _Reader) -> bytes:
    body = b""
    while True:
        size = _SIZE.fullmatch(reader.line())
        if size is None:
            raise DoubtError
        if not int(size[1], 16):
            _fields(reader)
            return body
        body += reader.take(int(size[1], 16))
        if reader.take(2) != b"\r\n":
            raise DoubtError


_OUR_LINE = re.compile(rb"%b /[!-~]* HTTP/1\.1" % _TOKEN)


def well_formed(head: bytes) -> str:
    """Return what is wrong with the head of a request that we sent, or nothing."""
    first, *lines = head.split(b"\r\n")
    if not _OUR_LINE.fullmatch(first):
        return f"no request line: {first!r}"
    for line in lines:
        if not _FIELD.fullmatch(line):
            return f"no header: {line!r}"
    names = [line.partition(b":")[0].lower() for line in lines]
    for name in (b"host", b"content-length", b"transfer-encoding"):
        if names.count(name) > 1:
            return f"{name!r} twice"
    if b"content-length" in names and b"transfer-encoding" in names:
        return "framed twice"
    return "" if b"host" in names else "no host"
