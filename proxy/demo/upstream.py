"""The scripted upstream as a real HTTP server on a port of its own."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Final

import uvicorn
from starlette.types import Receive, Scope, Send

from proxy.demo.script import reply

PAUSE_S: Final = 0.02  # between two parts, so that a stream looks like one


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request as the script says, a part at a time."""
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    answer = reply(scope["path"], body)
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"x-request-id", b"req_scripted"),
    ]
    await send(
        {"type": "http.response.start", "status": answer.status, "headers": headers}
    )
    for part in answer.parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(PAUSE_S)
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def serving() -> Iterator[str]:
    """Serve on a free loopback port while the block runs; the value is the base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, lifespan="off", log_level="warning", ws="none")
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()
