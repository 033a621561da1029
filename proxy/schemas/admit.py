"""Decides whether a document may be registered, and under which name."""

from proxy.schemas.compile import Compiled
from proxy.schemas.document import SchemaRefused, check
from proxy.schemas.weight import weigh
from storage.schemas import NAME


def admit(name: str, document: bytes) -> None:
    """Let a document pass that is a schema within the bounds, under a usable name.

    Raises: `SchemaRefused`, with a pointer to the fault.
    """
    if not NAME.fullmatch(name):
        raise SchemaRefused(
            f"'{name[:64]}' is no name of a schema: write up to 64 letters, digits, "
            "'.', '_' or '-', a letter or a digit first"
        )
    schema = check(document)
    Compiled(schema, weigh(schema))
