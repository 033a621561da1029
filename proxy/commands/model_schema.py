"""Writes the JSON Schema of a pydantic model; runs alone, in a process of its own.

It is handed to any Python as text, so it imports nothing of this program.
"""

import importlib
import json
import os
import resource
import sys
from operator import attrgetter
from pathlib import Path

MOST_MEMORY_BYTES = 2 * 1024**3
MOST_FILE_BYTES = 4 * 1024**2
MOST_CPU_S = 60


def bound() -> None:
    """Take no more than this from the machine, whatever the import does."""
    for what, most in (
        (resource.RLIMIT_AS, MOST_MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, MOST_FILE_BYTES),
        (resource.RLIMIT_CPU, MOST_CPU_S),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def schema_of(spec: str) -> object:
    """Import what `module:Class` names; return its JSON Schema."""
    module, _, name = spec.partition(":")
    model = attrgetter(name)(importlib.import_module(module))
    for method in ("model_json_schema", "schema"):  # the second is pydantic 1's
        if isinstance(model, type) and hasattr(model, method):
            return getattr(model, method)()
    return importlib.import_module("pydantic").TypeAdapter(model).json_schema()


if __name__ == "__main__":
    bound()
    written = json.dumps(schema_of(sys.argv[1]), indent=2, ensure_ascii=False)
    Path(sys.argv[2]).write_text(written, encoding="utf-8")
    os._exit(0)  # threads that the import began are not waited for
