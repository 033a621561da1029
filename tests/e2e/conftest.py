"""The installed program in front of the server that `scripts/e2e` has started."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from openai import OpenAI

from proxy.demo.serve import started

PROGRAM = str(Path(sys.executable).with_name("spiritsafe"))


class Seen(NamedTuple):
    """One answer as it reached the client's socket."""

    status: int
    headers: httpx2.Headers
    body: bytearray


class Copying(httpx2.SyncByteStream):
    """A body that keeps what is read of it."""

    def __init__(self, stream: httpx2.SyncByteStream, kept: bytearray) -> None:
        self._stream = stream
        self._kept = kept

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self._kept.extend(part)
            yield part

    def close(self) -> None:
        self._stream.close()


class Witness(httpx2.HTTPTransport):
    """The official client's transport, which remembers every answer."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Seen] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = super().handle_request(request)
        seen = Seen(answer.status_code, answer.headers, bytearray())
        self.answers.append(seen)
        assert isinstance(answer.stream, httpx2.SyncByteStream)
        answer.stream = Copying(answer.stream, seen.body)
        return answer


class Program(NamedTuple):
    """The running proxy, its file, and a client before it."""

    client: OpenAI
    witness: Witness
    db: Path

    def ask(self, *command: str) -> Any:
        """Return what a command of the installed program prints as JSON."""
        (document,) = self.lines(*command)
        return document

    def lines(self, *command: str) -> list[Any]:
        """Return what it prints as JSON, document by document."""
        done = subprocess.run(
            [PROGRAM, *command, "--db", str(self.db), "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        found, at, read = [], 0, json.JSONDecoder().raw_decode
        text = done.stdout.rstrip()
        while at < len(text):
            document, at = read(text, at)
            found.append(document)
            at += 1  # the line feed
        return found


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Serve in front of the real upstream, on a free port, into a file for one module."""
    upstream = os.environ.get("E2E_UPSTREAM")
    if upstream is None:
        pytest.fail("no upstream: run 'make e2e', which starts one")
    db = tmp_path_factory.mktemp("e2e") / "e2e.db"
    command = [PROGRAM, "serve", "--listen", "127.0.0.1:0"]
    witness = Witness()
    with (
        started([*command, "--upstream", upstream, "--db", str(db)]) as address,
        OpenAI(
            base_url=f"{address}/v1",
            api_key="e2e-key",
            max_retries=0,
            http_client=httpx2.Client(transport=witness),
        ) as client,
    ):
        yield Program(client, witness, db)
