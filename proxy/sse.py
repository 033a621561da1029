"""Cuts the bytes of an event stream into its events, incrementally.

Works on bytes and splits at CR and LF only: U+2028, U+0085 and their like are legal
inside JSON strings, and `str.splitlines` would cut there.
"""

from msgspec import Struct

BOM = b"\xef\xbb\xbf"
# The kept part of an answer is at most this long, so no event of it can be longer.
MAX_EVENT_BYTES = 64 * 1024 * 1024


class Event(Struct, frozen=True):
    """One event, as its blank line closed it.

    Shapes: `data` is all `data:` lines joined with LF; `name` is empty where no
    `event:` line stood; `unfinished` marks a last event that no blank line closed.
    Units: `seen_us` is the time given with the event's last byte.
    """

    data: bytes
    seen_us: int
    name: bytes = b""
    unfinished: bool = False


class Events:
    """One event stream, fed in any slices.

    Shapes: `oversized_count` counts the events left out because their data passed
    `max_event_bytes`; the events after them are read as usual.
    Source: WHATWG HTML, section 9.2, Server-sent events.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.oversized_count = 0
        self._max_event_bytes = max_event_bytes
        self._seen_us = 0
        self._started = False  # whether the stream's first line is behind us
        self._after_cr = False  # a LF that comes next belongs to that CR
        self._line: list[bytes] = []  # slices of the line that is not yet ended
        self._data: list[bytes] = []  # the values of this event's data lines
        self._name = b""
        self._size_bytes = 0  # of `_line` and `_data`
        self._skipping = False  # this event is too long; its blank line ends that

    def feed(self, data: bytes, *, seen_us: int) -> list[Event]:
        r"""Return the events that these bytes complete, in the order they arrived.

        Shapes: `data` is any slice of a stream; an event may span slices, a slice may
        hold many events.

        >>> events = Events()
        >>> events.feed(b"data: hi\n\ndata: th", seen_us=7)
        [Event(data=b'hi', seen_us=7, name=b'', unfinished=False)]
        >>> events.feed(b"ere\n\n", seen_us=9)
        [Event(data=b'there', seen_us=9, name=b'', unfinished=False)]
        """
        self._seen_us = seen_us
        if self._after_cr or b"\r" in data:
            data = self._with_lf(data)
        lines = data.split(b"\n")
        rest = lines.pop()
        events: list[Event] = []
        for line in lines:
            if self._line:
                self._end_line(line)
            elif line:
                self._take_line(line)
            elif (event := self._end_event()) is not None:
                events.append(event)
        if rest:
            self._hold(rest)
        return events

    def close(self) -> list[Event]:
        """Return the event that the end of the stream cut off, if there is one."""
        if self._line:
            self._end_line(b"")
        event = self._end_event(unfinished=True)
        return [] if event is None else [event]

    def _with_lf(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _hold(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        if self._size_bytes > self._max_event_bytes:
            self._skipping = True
            self._data.clear()
        if not (self._skipping and self._line):  # one slice shows a line is open
            self._line.append(piece)

    def _end_line(self, piece: bytes) -> None:
        if piece:
            self._hold(piece)
        line = b"".join(self._line)
        self._line.clear()
        if not self._skipping:
            self._size_bytes -= len(line)
            self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        if not self._started:
            self._started = True
            line = line.removeprefix(BOM)
        if line.startswith(b"data:"):
            value = line[6:] if line.startswith(b" ", 5) else line[5:]
            self._data.append(value)
            self._size_bytes += len(value)
            if self._size_bytes > self._max_event_bytes:
                self._skipping = True
                self._data.clear()
        elif line.startswith(b"event:"):
            self._name = line[6:].removeprefix(b" ")
        elif line == b"data":
            self._data.append(b"")

    def _end_event(self, *, unfinished: bool = False) -> Event | None:
        self._started = True
        data, name = self._data, self._name
        self._data, self._name, self._size_bytes = [], b"", 0
        if self._skipping:
            self._skipping = False
            self.oversized_count += 1
            return None
        if not data:
            return None
        whole = data[0] if len(data) == 1 else b"\n".join(data)
        return Event(whole, self._seen_us, name, unfinished)
