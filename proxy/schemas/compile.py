"""Compiles schemas, once per document, and tells where a value breaks one.

The home of jsonschema-rs: patterns run in its linear-time engine only, and nothing is
ever fetched.
"""

from itertools import islice

import jsonschema_rs

from proxy.schemas import document, strict
from proxy.schemas.document import SchemaRefused
from storage.records import Fault, Json

KEPT_SCHEMAS = 512
"""Compiled ones at a time: tens of kilobytes each."""

PATTERN_BYTES = 1024 * 1024
"""Of a compiled pattern: ten times what `\\w{100}` takes."""

_PATTERNS = jsonschema_rs.RegexOptions(
    size_limit=PATTERN_BYTES, dfa_size_limit=PATTERN_BYTES
)


class Compiled:
    """One schema, ready to judge."""

    def __init__(self, schema: Json) -> None:
        try:
            self._validator = jsonschema_rs.validator_for(
                schema, offline=True, pattern_options=_PATTERNS
            )
        except jsonschema_rs.ValidationError as error:
            raise SchemaRefused(
                _cut(error.message), strict.pointer(error.instance_path)
            ) from None
        except jsonschema_rs.ReferencingError as error:
            raise SchemaRefused(_cut(error.message)) from None
        except ValueError as error:
            raise SchemaRefused(_cut(str(error))) from None

    def faults(self, value: Json, most: int = strict.MAX_FAULTS) -> tuple[Fault, ...]:
        """Return the first faults of a value, none where it is valid.

        Raises: `RecursionError` where it nests too deep.
        """
        if self._validator.is_valid(value):
            return ()
        return tuple(
            Fault(
                strict.pointer(error.instance_path),
                strict.pointer(error.schema_path),
                _cut(error.message),
            )
            for error in islice(self._validator.iter_errors(value), most)
        )


class Compiler:
    """Compiled schemas by the digest of their document, the least used let go."""

    def __init__(self, kept: int = KEPT_SCHEMAS) -> None:
        self._kept = kept
        self._known: dict[bytes, Compiled | SchemaRefused] = {}

    def compiled(self, digest: bytes, text: bytes) -> Compiled:
        """Return the compiled schema of a document.

        Raises: `SchemaRefused`, also from the second time on.
        """
        known = self._known.pop(digest, None)
        if known is None:
            try:
                known = Compiled(document.check(text))
            except SchemaRefused as refused:
                known = refused.with_traceback(None)
        self._known[digest] = known  # now the last to go
        while len(self._known) > self._kept:
            self._known.pop(next(iter(self._known)), None)
        if isinstance(known, SchemaRefused):
            raise SchemaRefused(known.message, known.path)
        return known


def _cut(message: str) -> str:
    if len(message) <= strict.MESSAGE_CHARACTERS:
        return message
    return f"{message[: strict.MESSAGE_CHARACTERS]}…"
