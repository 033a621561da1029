"""What passes unread, through the official Python client: files, audio, models."""

import asyncio
import hashlib
import io
import threading
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

from tests.clients.joined import joined
from tests.clients.upstream import NOISE, TRANSCRIPT
from tests.scripted_upstream import RawRequest

pytestmark = pytest.mark.anyio


def parts_of(request: RawRequest) -> dict[str, Message]:
    """Return the parts of a multipart request by name, read by a parser of mail."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    whole = BytesParser().parsebytes(head + request.body)
    assert not whole.defects
    parts = whole.get_payload()
    assert isinstance(parts, list)
    return {
        str(part.get_param("name", header="content-disposition")): part
        for part in parts
        if isinstance(part, Message)
    }


async def test_an_upload_arrives_byte_for_byte(tmp_path: Path, face: str) -> None:
    """Boundary, length and every byte are the client's; nothing of it is recorded."""
    content = NOISE * 20
    async with joined(tmp_path, face) as here:
        answer = await here.client.ask(
            lambda c: c.files.create(
                file=("tr\u00e4in.jsonl", content), purpose="fine-tune"
            )
        )
        kept = here.kept()
    (request,) = here.upstream.requests
    assert len(request.body) == answer.bytes == int(request.headers["content-length"])
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    assert request.body.startswith(b"--" + boundary)
    assert request.body.rstrip().endswith(b"--" + boundary + b"--")
    assert content in request.body
    assert b'"purpose"\r\n\r\nfine-tune' in request.body
    assert [] == kept


class Halting(io.BytesIO):
    """A file whose second megabyte is there only once `seen` is set."""

    name = "large.bin"

    def __init__(self, content: bytes, seen: threading.Event) -> None:
        super().__init__(content)
        self.seen = seen
        self.waited = False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= 1024 * 1024:
            self.waited = self.seen.wait(30)
        return super().read(size)


async def test_an_upload_is_not_held_until_it_is_whole(tmp_path: Path) -> None:
    """The upstream reads the beginning while the client still waits with the rest."""
    seen = threading.Event()
    received = hashlib.sha256()
    file = Halting(NOISE * 20, seen)

    async def upstream(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
        start = await reader.readexactly(512 * 1024)
        seen.set()
        body = start + await reader.readexactly(length - len(start))
        received.update(body[body.index(NOISE) :][: len(NOISE) * 20])
        answer = b'{"id":"file-1","object":"file"}'
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (len(answer), answer)
        )
        writer.close()

    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    async with (
        server,
        joined(
            tmp_path,
            "sync",
            upstreams={
                "raw": {
                    "url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
                }
            },
        ) as here,
    ):
        base = f"{here.proxy.url}/raw/v1"
        answer = await here.client.ask(
            lambda c: c.with_options(base_url=base).files.create(
                file=file, purpose="batch"
            )
        )
    assert "file-1" == answer.id
    assert file.waited
    assert hashlib.sha256(NOISE * 20).digest() == received.digest()


async def test_the_content_of_a_file_is_what_it_was(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face) as here:
        answer = await here.client.ask(lambda c: c.files.content("file-1"))
        streamed = await here.client.raw(
            lambda c: c.files.with_streaming_response.content("file-1")
        )
        kept = here.kept()
    assert NOISE == answer.content == streamed.body
    assert "application/octet-stream" == streamed.headers["content-type"]
    assert "x-spiritsafe-id" not in streamed.headers
    assert [] == kept


async def test_speech_arrives_byte_for_byte(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face) as here:
        answer = await here.client.raw(
            lambda c: c.audio.speech.with_streaming_response.create(
                model="tts", voice="alloy", input="Say it."
            )
        )
        kept = here.kept()
    assert (200, "audio/mpeg") == (answer.status, answer.headers["content-type"])
    assert NOISE == answer.body
    assert {"model": "tts", "voice": "alloy", "input": "Say it."} == (
        here.upstream.requests[0].json
    )
    assert [] == kept


async def test_a_transcript_may_be_plain_text(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face) as here:
        answer = await here.client.ask(
            lambda c: c.audio.transcriptions.create(
                model="stt",
                file=("speech.wav", NOISE),
                response_format="text",
                timestamp_granularities=["word"],
            )
        )
        kept = here.kept()
    assert TRANSCRIPT == answer
    parts = parts_of(here.upstream.requests[0])
    assert {"model", "file", "response_format", "timestamp_granularities[]"} == set(
        parts
    )
    assert "speech.wav" == parts["file"].get_filename()
    assert NOISE in here.upstream.requests[0].body
    assert [] == kept


async def test_the_name_of_a_model_keeps_its_slash(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face) as here:
        listed = await here.client.ask(lambda c: c.models.list())
        one = await here.client.ask(lambda c: c.models.retrieve("org/name"))
        kept = here.kept()
    assert ["org/name"] == [model.id for model in listed.data]
    assert "org/name" == one.id
    targets = [request.target for request in here.upstream.requests]
    assert [b"/v1/models", b"/v1/models/org%2Fname"] == targets
    assert [] == kept


async def test_a_query_arrives_as_the_client_spelled_it(
    tmp_path: Path, face: str
) -> None:
    async with joined(tmp_path, face) as here:
        await here.client.ask(
            lambda c: c.models.list(extra_query={"a[]": ["1", "2"], "b": "x y/é"})
        )
        direct = here.upstream.requests[0].target
        url = here.upstream.url
        await here.client.ask(
            lambda c: c.with_options(base_url=url).models.list(
                extra_query={"a[]": ["1", "2"], "b": "x y/é"}
            )
        )
    assert here.upstream.requests[1].target == direct
