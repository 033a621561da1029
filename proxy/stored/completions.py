"""Answers the stored-completions API from the file: one function for each call.

They run in a reader's thread, on a connection that only reads.
"""

from collections.abc import Iterator

import msgspec

from proxy.errors import NotFoundError
from proxy.inject import opted_out
from proxy.reread import whole
from proxy.stitch.values import read_members
from proxy.stored import shapes
from proxy.stored.parameters import Listing, Paging
from storage.assemble import Kept, Row
from storage.queries.named import Shelf, name_of, newest, tree_of
from storage.queries.pages import cursor_at, page
from storage.reading import Library
from storage.records import Json
from storage.verify import DAMAGE

MOST_PAGE_BYTES = 32 * 1024 * 1024
"""Of bodies that a page is made of: it ends earlier, and says that more follows."""

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def listed(
    library: Library, shelf: Shelf, asked: Listing, ended: int | None = None
) -> tuple[dict[str, Json], Row | None]:
    """Return a page of stored completions, with one at least if there is any.

    Shapes: with the last row of it; `ended` is where `after` stood that is no more.
    Raises: `NotFoundError` where `after` names none.
    """
    start, last = _start(library, shelf, asked.paging.after, ended), None
    most = asked.paging.limit
    data: list[dict[str, Json]] = []
    size_bytes = 0
    for row in _rows(library, shelf, asked, start):
        size_bytes += row.request_size + row.answer_size
        if data and size_bytes > MOST_PAGE_BYTES:
            return shapes.envelope(data, more=True), last
        kept = _kept(library, row)
        shown = None if kept is None else _shown(kept)
        if shown is None:
            continue
        if len(data) == most:
            return shapes.envelope(data, more=True), last
        data.append(shown)
        last = row
    return shapes.envelope(data, more=False), last


def retrieved(library: Library, shelf: Shelf, name: str) -> dict[str, Json]:
    """Return one stored completion.

    Raises: `NotFoundError`, in the same words for one that others recorded.
    """
    shown = _shown(found(library, shelf, name))
    if shown is None:
        raise no_completion(name)
    return shown


def messages(
    library: Library, shelf: Shelf, name: str, paging: Paging
) -> dict[str, Json]:
    """Return a page of the messages that a stored completion was asked with.

    Raises: `NotFoundError`; also where `after` names no message of it.
    """
    kept = found(library, shelf, name)
    listed = shapes.messages(name, read_members(kept.request))
    part = shapes.part_of(listed, paging)
    if part is None:
        raise NotFoundError(f"No message found with id '{paging.after}'.")
    return shapes.envelope(part[0], more=part[1])


def found(library: Library, shelf: Shelf, name: str) -> Kept:
    """Return the completion that an id names. Raises: `NotFoundError`."""
    row = newest(library.connection, name, shelf)
    kept = None if row is None else _kept(library, row)
    if kept is None:
        raise no_completion(name)
    return kept


def no_completion(name: str) -> NotFoundError:
    """Return what is told of an id that names nothing its caller may see."""
    return NotFoundError(f"No chat completion found with id '{name}'.")


def _start(
    library: Library, shelf: Shelf, after: str | None, ended: int | None
) -> int | None:
    """Return the number of the row that a list goes on behind."""
    if after is None:
        return None
    try:
        return found(library, shelf, after).row.seq
    except NotFoundError:
        if ended is None:
            raise
        return ended


def _rows(
    library: Library, shelf: Shelf, asked: Listing, start: int | None
) -> Iterator[Row]:
    """Yield the rows of a list, each id once: its newest."""
    tree = tree_of(shelf, model=asked.model, tags=asked.metadata)
    known: dict[str, int] = {}  # the newest of each id
    newest_first = asked.paging.order == "desc"
    cursor = None if start is None else cursor_at(start, newest_first=newest_first)
    while True:
        found = page(
            library,
            tree,
            projects=shelf.projects,
            newest_first=newest_first,
            cursor=cursor,
            limit=asked.paging.limit + 1,
        )
        for row in found.rows:
            name = name_of(row)
            if name not in known:
                latest = newest(library.connection, name, shelf)
                known[name] = row.seq if latest is None else latest.seq
            if known[name] == row.seq:
                yield row
        if found.cursor is None:
            return
        cursor = found.cursor


def _shown(kept: Kept) -> dict[str, Json] | None:
    row, answer = kept.row, whole(kept)
    if answer is None:
        return None
    return shapes.completion(
        answer,
        read_members(kept.request),
        name=name_of(row),
        created=row.created_at // 1_000_000,
        request_id=_request_id(kept),
        metadata=row.tags,
    )


def _kept(library: Library, row: Row) -> Kept | None:
    """Return the exchange of a row; None where its caller wanted nothing stored.

    Nor where the file has lost a part of it: `spiritsafe verify` tells of that.
    """
    try:
        kept = library.whole(row)
    except DAMAGE:
        return None
    return None if _opted_out(kept) else kept


def _opted_out(kept: Kept) -> bool:
    """Return whether the client said that it is not to be stored.

    Its content is here all the same where `respect_opt_out` is off.
    """
    if b'"store"' not in kept.request:
        return False
    try:
        members = _MEMBERS.decode(kept.request)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return opted_out(members, kept.row.endpoint)


def _request_id(kept: Kept) -> str | None:
    for name, value in kept.answer_headers:
        if name.lower() == b"x-request-id":
            return value.decode("latin-1")
    return None
