"""Reads the filter of a request, and says where it is wrong."""

from proxy.errors import ClientError
from storage.errors import BadQuery
from storage.queries.language import parse
from storage.queries.tree import Node


def parsed(text: str, param: str = "q") -> Node | None:
    """Return what a filter reads as; None lets everything through.

    Raises: `ClientError` that points at the column.
    """
    try:
        return parse(text)
    except BadQuery as exc:
        raise refused(exc, param) from None


def refused(error: BadQuery, param: str = "q") -> ClientError:
    """Return what to tell of a filter that cannot be read."""
    return ClientError(f"{param}: {error}.", code="invalid_query", param=param)
