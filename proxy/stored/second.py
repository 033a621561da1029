"""Holds back an upstream's word that it has nothing, until we have looked here."""

from starlette.types import Message, Send

NOTHING = frozenset({404, 405, 501})
"""How servers answer for a path that they do not serve; 404 for an id as well."""

MOST_BYTES = 64 * 1024


class Second:
    """A `send` that lets every answer pass but that one.

    Shapes: `name` is the id that was asked for, as it stood in the path. An upstream
    that names it in its 404 knows the API, and not the id: that passes too.
    """

    def __init__(self, send: Send, name: bytes) -> None:
        self.passed = False
        self._send = send
        self._name = name
        self._status = 0
        self._held: list[Message] = []
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Take the next event of the upstream's answer."""
        if self.passed:
            await self._send(message)
            return
        self._held.append(message)
        if message["type"] == "http.response.start":
            self._status = message["status"]
        self._body += message.get("body", b"")
        if (
            self._status not in NOTHING
            or len(self._body) > MOST_BYTES
            or (self._ends(message) and self._knows_better())
        ):
            await self.release()

    async def release(self) -> None:
        """Let the answer pass after all."""
        self.passed = True
        for message in self._held:
            await self._send(message)
        self._held.clear()

    @staticmethod
    def _ends(message: Message) -> bool:
        return message["type"] == "http.response.body" and not message["more_body"]

    def _knows_better(self) -> bool:
        """Return whether it is the id that the upstream does not know.

        Some servers repeat the whole path where they do not know that.
        """
        told = self._body.replace(b"/responses/" + self._name, b"")
        return self._status == 404 and self._name in told
