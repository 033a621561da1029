"""Makes a file of many exchanges, in SQL: each filter has something to find.

Bodies are stored once: a pool of prompts, each a piece that many requests are, and a
pool of answers. Whatever a row has is a function of its number.
"""

import sqlite3
import time
from pathlib import Path

import orjson
from recorder import text

from storage import epochs
from storage.bodies import Packer
from storage.engines.migrate import migrate
from storage.records import Chunk, Exchange
from storage.rows import pack_chunks, pack_extras

POOL = 20_000
SLICE_ROWS = 100_000
FIRST_AT = 1_790_000_000_000_000
STEP_US = 400_000  # 10 million in 46 days

# r(n) is a number below n that looks drawn, another in each place.
ROWS = """
INSERT INTO exchanges
SELECT seq, printf('ex_%032x', seq), 1, 'key' || (h1 % 50),
  CASE WHEN h2 % 10 THEN 'default' ELSE 'together' END,
  CASE h3 % 20 WHEN 0 THEN 'responses' WHEN 1 THEN 'completions' ELSE 'chat' END,
  '/v1/chat/completions', h4 % 2, at, state,
  CASE WHEN state = 'incomplete' THEN
    CASE h5 % 3 WHEN 0 THEN 'timeout' WHEN 1 THEN 'client_aborted'
    ELSE 'upstream_truncated' END END,
  status, at + 200000 + h6 % 900000, at + 300000 + (h7 % 100) * (h8 % 100) * 2000, 200,
  printf('chatcmpl-%016x', (seq * 2654435761) % 9007199254740881),
  'model-' || ((h9 % 5) * (h10 % 5)), 'model-' || ((h9 % 5) * (h10 % 5)) || '-2026',
  CASE WHEN state = 'complete' THEN
    CASE h11 % 12 WHEN 0 THEN 'length' WHEN 1 THEN 'tool_calls' ELSE 'stop' END END,
  50 + (h12 % 100) * (h13 % 100), (h12 % 3) * 128, (h14 % 60) * (h15 % 60), 0,
  CASE WHEN status >= 400 THEN x'7b7d' END,
  '{"env":"' || CASE h16 % 10 WHEN 0 THEN 'dev' ELSE 'prod' END
    || '","task":"task-' || (h17 % 40) || '","user":"user-' || (h18 % 20000) || '"}',
  CASE WHEN h19 % 4 = 0 THEN 'invoice@' || (h20 % 3) END,
  CASE WHEN h19 % 4 = 0 THEN
    CASE WHEN h21 % 15 = 0 THEN 'invalid' ELSE 'valid' END END,
  CASE WHEN h19 % 4 = 0 AND h21 % 15 = 0 THEN '/total/' || (h22 % 30) END,
  substr(prompt, 60, 100), substr(answer, 100, 100), 400, 500, 1, '', 0, NULL, NULL,
  CASE WHEN h23 % 3 = 0 AND seq > 3 THEN seq - 3 END, seq - seq % 3
FROM (SELECT *, :first + seq * :step + (seq * 7919) % 60000000 AS at,
    CASE WHEN h24 % 50 THEN 'complete' ELSE 'incomplete' END AS state,
    CASE WHEN h25 % 40 THEN 200 ELSE
      CASE h26 % 4 WHEN 0 THEN 400 WHEN 1 THEN 429 ELSE 500 END END AS status
  FROM drawn)
JOIN pool ON pool.id = 1 + seq % :pool
"""
DRAWN = "(((seq + {0}) * {1}) % 2147483647 * 48271 % 2147483647 >> 7) AS h{0}"
BODIES = """
INSERT INTO payloads
SELECT seq, 1 + seq % :pool, NULL, NULL, zeroblob(32), zeroblob(32), zeroblob(32), 500,
  :extras, packed, :chunks
FROM numbers JOIN pool ON pool.id = 1 + (seq * 7919) % :pool
"""


def make(path: Path, rows: int) -> float:
    """Make the file; return the seconds it took."""
    began = time.monotonic()
    making = path.with_name(path.name + ".making")
    making.unlink(missing_ok=True)
    connection = sqlite3.connect(making, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -262144"):
        connection.execute(f"PRAGMA {pragma}")
    migrate(connection)
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql <> ''"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    epochs.start(connection, started_at=FIRST_AT)
    _fill_pool(connection)
    some = Exchange(
        id="", project="", upstream="", endpoint="chat", target="", streamed=False,
        created_at=0, state="complete",
    )  # fmt: skip
    packer = Packer()
    given = {
        "pool": POOL, "first": FIRST_AT, "step": STEP_US,
        "extras": packer.pack(pack_extras(some)),
        "chunks": packer.pack(pack_chunks((Chunk(500, 1000),))),
    }  # fmt: skip
    drawn = ", ".join(DRAWN.format(n, 40_503 + 2 * n * n) for n in range(1, 27))
    numbers = (
        "WITH RECURSIVE numbers(seq) AS (SELECT :low UNION ALL "
        "SELECT seq + 1 FROM numbers WHERE seq < :high), "
        f"drawn AS (SELECT seq, {drawn} FROM numbers) "
    )
    for low in range(1, rows + 1, SLICE_ROWS):
        given |= {"low": low, "high": min(low + SLICE_ROWS - 1, rows)}
        for statement in (ROWS, BODIES):
            connection.execute("BEGIN")
            connection.execute(_with(statement, numbers), given)
            connection.execute("COMMIT")
    for _, sql in indexes:
        connection.execute(sql)
    connection.execute("DROP TABLE pool")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    making.rename(path)
    return time.monotonic() - began


def _with(statement: str, numbers: str) -> str:
    insert, _, select = statement.strip().partition("\n")
    return f"{insert} {numbers} {select}"


def _fill_pool(connection: sqlite3.Connection) -> None:
    """Store each prompt once, and each answer for as long as rows are made."""
    connection.execute(
        "CREATE TABLE pool (id INTEGER PRIMARY KEY, prompt, answer, packed)"
    )
    packer = Packer()
    connection.execute("BEGIN")
    for number in range(1, POOL + 1):
        asked = orjson.dumps(
            {
                "model": "m",
                "messages": [{"role": "user", "content": _prose(number, 200)}],
            }
        )
        said = {"role": "assistant", "content": _prose(-number, 250)}
        choices = [{"index": 0, "message": said, "finish_reason": "stop"}]
        answer = orjson.dumps({"id": f"chatcmpl-{number}", "choices": choices})
        connection.execute(
            "INSERT INTO pieces VALUES (?, ?, ?, ?)",
            (number, b"%032d" % number, len(asked), packer.pack(asked)),
        )
        connection.execute(
            "INSERT INTO pool VALUES (?, ?, ?, ?)",
            (number, asked.decode(), answer.decode(), packer.pack(answer)),
        )
    connection.execute("COMMIT")


def _prose(number: int, size: int) -> str:
    """Return text with words of all sorts: common ones, rare ones, one of its own."""
    rare = f"rare{abs(number) % 997} seldom{abs(number) % 4001} only{number + POOL}"
    return f"{rare} {text(abs(number), size)}"
