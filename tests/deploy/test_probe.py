"""The probe of the image, run as the kubelet runs it, before real servers."""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

PROBE = Path(__file__).parent.parent.parent / "deploy/probe.py"


class Answering(BaseHTTPRequestHandler):
    """Answers /readyz with 503 and everything else with 200."""

    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/readyz" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def probe(path: str, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(PROBE), path, str(port)],
        capture_output=True,
        text=True,
        check=False,
        env={"http_proxy": "http://127.0.0.1:1"},
    )


@pytest.mark.parametrize(("path", "code"), [("/healthz", 0), ("/readyz", 1)])
def test_only_200_is_well(path: str, code: int) -> None:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.handle_request, daemon=True).start()
        done = probe(path, server.server_port)
    assert code == done.returncode, done.stderr


def test_nobody_there_is_not_well() -> None:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        port = server.server_port
    done = probe("/healthz", port)
    assert 1 == done.returncode
    assert "/healthz: " in done.stderr
