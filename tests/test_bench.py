"""The load generator counts what happened: whole, failed, broken off and cancelled."""

import contextlib
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_house import ROOT

HEAD = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n"
PLAIN = '{"model":"m","messages":[{"role":"user","content":"@@@@@@@@"}]}'
STREAM = '{"stream":true,' + PLAIN[1:]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the two programs."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: the load generator of `make bench` is not tested")
    place = tmp_path_factory.mktemp("rig")
    for name in ("upstream", "loadgen"):
        source = str(ROOT / "bench/c" / f"{name}.c")
        command = [compiler, "-O1", "-Wall", "-Werror", "-o", str(place / name), source]
        subprocess.run([*command, "-lm"], check=True)
    return place


def load(rig: Path, port: int, body: str, *words: float) -> dict[str, Any]:
    """Run the generator: rate, seconds, streams, share to cancel, time-out, seed."""
    request = rig / "request"
    request.write_text(HEAD.format(len(body)) + body)
    command = [rig / "loadgen", port, request, *words]
    done = subprocess.run(
        [*map(str, command)], capture_output=True, check=True, timeout=60
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def count(told: dict[str, Any], name: str) -> int:
    return sum(times for _, times in told[name])


@contextlib.contextmanager
def upstream(rig: Path, *words: float) -> Iterator[int]:
    """Run the upstream: answer bytes, events, rate, seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    process = subprocess.Popen([*map(str, (rig / "upstream", port, *words))])
    try:
        while True:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port)),
            ):
                break
        yield port
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def scripted(answer: Callable[[socket.socket, bytes], None]) -> Iterator[int]:
    """Run a server whose every connection is answered by the function, then closed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    answer(connection, connection.recv(65536))

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_every_call_that_was_due_is_asked_and_counted(rig: Path) -> None:
    with upstream(rig, 1000, 1, 1, 0) as port:
        told = load(rig, port, PLAIN, 500, 0.5, 0, 0, 5, 7)
    assert told["arrived"] == told["done"] == count(told, "latency") > 100
    assert 0 == told["failed"]


def test_an_equal_seed_draws_equal_arrivals(rig: Path) -> None:
    with upstream(rig, 1000, 1, 1, 0) as port:
        runs = [load(rig, port, PLAIN, 500, 0.3, 0, 0, 5, 7) for _ in range(2)]
    assert runs[0]["arrived"] == runs[1]["arrived"]


def test_a_refused_call_counts_with_the_time_out(rig: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        told = load(rig, closed.getsockname()[1], PLAIN, 100, 0.2, 0, 0, 3, 7)
    assert told["arrived"] == told["failed"] > 0
    ((least_us, times),) = told["latency"]
    assert told["arrived"] == times
    assert 2_990_000 < least_us <= 3_000_000


def test_arrivals_do_not_wait_for_an_upstream_that_stalls(rig: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as silent:
        told = load(rig, silent.getsockname()[1], PLAIN, 300, 0.5, 0, 0, 1, 7)
    assert 100 < told["arrived"] == told["late"] == told["failed"]


def test_streams_are_read_to_their_end(rig: Path) -> None:
    with upstream(rig, 1000, 12, 50, 0) as port:
        told = load(rig, port, STREAM, 1000, 0.1, 20, 0, 10, 7)
    assert (20, 0, 240) == (told["done"], told["failed"], told["events"])
    assert 20 == count(told, "first_event") == count(told, "tail")
    assert 240 == count(told, "delay") + count(told, "ramp_delay")


def test_streams_that_are_cancelled_count_apart(rig: Path) -> None:
    with upstream(rig, 1000, 400, 50, 0) as port:
        told = load(rig, port, STREAM, 1000, 0.1, 20, 1, 20, 7)
    assert (20, 0, 0) == (told["cancelled"], told["done"], told["failed"])


def event(text: str) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % text.encode()


def test_a_stream_that_breaks_off_is_dropped(rig: Path) -> None:
    def answer(connection: socket.socket, _: bytes) -> None:
        first = event("T0000000000000001 and")
        connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(first), first)
        )

    with scripted(answer) as port:
        told = load(rig, port, STREAM, 100, 0.1, 3, 0, 5, 7)
    assert (0, 3, 3) == (told["done"], told["failed"], told["events"])


def test_a_stream_that_ends_without_its_last_event_is_dropped(rig: Path) -> None:
    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"content-length: %d\r\n\r\n" % len(event("done"))
        )
        connection.sendall(event("done"))

    with scripted(answer) as port:
        told = load(rig, port, STREAM, 100, 0.1, 3, 0, 5, 7)
    assert (0, 3) == (told["done"], told["failed"])


def test_stamps_and_the_end_are_found_whatever_the_slices(rig: Path) -> None:
    body = event("T0000000000000001 a") + event("T0000000000000002 b")
    body += b"data: [DONE]\n\n"

    def answer(connection: socket.socket, _: bytes) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for byte in body:
            for part in (b"1;x=y\r\n", bytes([byte]), b"\r\n"):
                connection.sendall(part)
        connection.sendall(b"0\r\n\r\n")

    with scripted(answer) as port:
        told = load(rig, port, STREAM, 100, 0.1, 2, 0, 5, 7)
    assert (2, 0, 4) == (told["done"], told["failed"], told["events"])
