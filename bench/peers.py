"""Who is measured, and how each is started: on loopback, in front of one upstream.

What is not installed is skipped, loudly. `make bench-peers` installs those that come
from package indexes, into .bench/.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".bench"
MITM = PEERS / "mitmproxy/bin/mitmdump"
LITELLM = PEERS / "litellm/bin/litellm"
PORTKEY = PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"


@dataclass(frozen=True)
class Peer:
    """One program between the load and the upstream.

    Shapes: `command` takes the folder of this run, its port and the upstream's;
    `headers` what a request needs beyond the usual ones, with the upstream's port as
    `{upstream}`; `needs` must be there. `streams` says why it cannot stream, if so.
    """

    name: str
    keeps: str
    needs: Path
    command: Callable[[Path, int, int], list[str]]
    env: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    no_streams: str = ""

    @property
    def there(self) -> bool:
        """Whether it is installed."""
        return self.needs.exists()

    def headers_for(self, upstream: int) -> dict[str, str]:
        """Return the headers that its requests need."""
        return {n: v.format(upstream=upstream) for n, v in self.headers.items()}


def _nginx(place: Path, port: int, upstream: int) -> list[str]:
    folder = place / "nginx"
    folder.mkdir(exist_ok=True)
    temporary = " ".join(
        f"{kind}_temp_path {folder};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    path = folder / "conf"
    path.write_text(
        f"worker_processes 1; daemon off; pid {folder}/pid; error_log stderr; {user}\n"
        "worker_rlimit_nofile 20000; events { worker_connections 16384; }\n"
        f"http {{ {temporary} access_log off; keepalive_requests 100000000;\n"
        "client_body_buffer_size 256k; client_max_body_size 0;\n"
        f"upstream u {{ server 127.0.0.1:{upstream}; keepalive 128;\n"
        "  keepalive_requests 100000000; }\n"
        f"server {{ listen 127.0.0.1:{port} backlog=4096;\n"
        "  location / { proxy_pass http://u; proxy_http_version 1.1;\n"
        '    proxy_set_header Connection ""; } } }\n'
    )
    return [shutil.which("nginx") or "nginx", "-c", str(path)]


def _spiritsafe(durability: str) -> Callable[[Path, int, int], list[str]]:
    def command(place: Path, port: int, upstream: int) -> list[str]:
        return [
            str(ROOT / ".venv/bin/spiritsafe"), "serve",
            "--listen", f"127.0.0.1:{port}",
            "--upstream", f"http://127.0.0.1:{upstream}/v1",
            "--db", str(place / f"{durability}.db"),
            "--durability", durability, "--tag", "env=bench",
        ]  # fmt: skip

    return command


def _mitmdump(place: Path, port: int, upstream: int) -> list[str]:
    script = place / "stream.py"
    script.write_text(
        "def responseheaders(flow):\n"
        '    kind = flow.response.headers.get("content-type", "")\n'
        '    flow.response.stream = kind.startswith("text/event-stream")\n'
    )
    return [
        str(MITM), "-q", "--mode", f"reverse:http://127.0.0.1:{upstream}",
        "--listen-host", "127.0.0.1", "--listen-port", str(port),
        "-w", str(place / "mitmdump.flows"), "-s", str(script),
        "--set", f"confdir={place}",
    ]  # fmt: skip


def _litellm(place: Path, port: int, upstream: int) -> list[str]:
    config = place / "litellm.yaml"
    config.write_text(
        'model_list:\n  - model_name: "*"\n    litellm_params:\n'
        '      model: "openai/*"\n'
        f'      api_base: "http://127.0.0.1:{upstream}/v1"\n      api_key: sk-bench\n'
    )
    return [
        str(LITELLM), "--config", str(config), "--host", "127.0.0.1",
        "--port", str(port), "--num_workers", "1", "--telemetry", "False",
    ]  # fmt: skip


def _portkey(place: Path, port: int, upstream: int) -> list[str]:
    del upstream  # a header of the request names it
    loopback = place / "loopback.cjs"  # it has no option for the address
    loopback.write_text(
        'const { Server } = require("net");\nconst listen = Server.prototype.listen;\n'
        "Server.prototype.listen = function (port, ...rest) {\n"
        '  const calls = rest.filter((it) => typeof it === "function");\n'
        '  return listen.call(this, port, "127.0.0.1", ...calls);\n};\n'
    )
    node = shutil.which("node") or "node"
    return [
        node, "--require", str(loopback), str(PORTKEY), "--headless", f"--port={port}"
    ]  # fmt: skip


NGINX = Peer("nginx", "nothing", Path(shutil.which("nginx") or "/nginx"), _nginx)
SPIRITSAFE = Peer(
    "spiritsafe",
    "everything, synced before an answer ends",
    ROOT / ".venv/bin/spiritsafe",
    _spiritsafe("durable"),
)
RELAXED = Peer(
    "relaxed",
    "everything, synced soon after",
    ROOT / ".venv/bin/spiritsafe",
    _spiritsafe("relaxed"),
)
PEER_LIST = (
    NGINX,
    SPIRITSAFE,
    RELAXED,
    Peer("mitmdump", "flows to a file, no sync; streams without body", MITM, _mitmdump),
    Peer(
        "litellm",
        "nothing without a database",
        LITELLM,
        _litellm,
        env={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no download at its start
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "LITELLM_LOG": "ERROR",
        },
    ),
    Peer(
        "portkey",
        "nothing",
        PORTKEY,
        _portkey,
        headers={
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": "http://127.0.0.1:{upstream}/v1",
        },
        no_streams="answers each stream of a custom host with an error",
    ),
)
"""In the order of their visits and of the table."""
