"""The traffic side is plain ASGI: nothing of a framework stands in a stream's way."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Middleware that runs the rest in a task of its own and moves each chunk through a
# queue; what runs after an answer and is skipped when its client leaves; what reads
# forms.
BANNED = {
    "BaseHTTPMiddleware",
    "BackgroundTask",
    "BackgroundTasks",
    "StreamingResponse",
    "FormParser",
    "MultiPartParser",
    "add_middleware",
}


def names(path: Path) -> set[str]:
    """Return every name that a file uses or imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found.add(name)
            case _:
                pass
    return found


def test_h73_h65_no_middleware_background_task_or_form_stands_in_the_way() -> None:
    files = sorted((ROOT / "proxy").rglob("*.py"))
    assert {} == {
        path.name: names(path) & BANNED for path in files if names(path) & BANNED
    }
    assert {"Starlette", "Request"} <= names(ROOT / "proxy/api/routes.py")
