"""A server as a child process: its address is read, its end is certain."""

import os
import sys

import pytest

from proxy.demo.serve import started

LISTENS = "print('listening on http://127.0.0.1:9', flush=True);"
TELLS = "import os; print('listening on', os.getpid(), flush=True);"


def test_the_address_is_the_first_line() -> None:
    with started([sys.executable, "-c", LISTENS + "input()"]) as address:
        assert "http://127.0.0.1:9" == address


def test_the_process_is_gone_after_the_block() -> None:
    with started([sys.executable, "-c", TELLS + "import time; time.sleep(99)"]) as told:
        os.kill(int(told), 0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(told), 0)


def test_a_process_that_will_not_end_is_killed() -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    command = [sys.executable, "-c", stubborn + TELLS + "import time; time.sleep(99)"]
    with started(command, end_timeout_s=0.1) as told:
        os.kill(int(told), 0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(told), 0)


def test_a_server_that_does_not_start_is_an_error_with_its_words() -> None:
    with (
        pytest.raises(RuntimeError, match="port is taken"),
        started([sys.executable, "-c", "print('port is taken')"]),
    ):
        pass
