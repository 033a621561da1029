"""What `/api` offers, each route once: the routes and their document are made of it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import ASGIApp

from proxy.api import models, registered
from proxy.api.changing import Changing
from proxy.api.desk import Desk
from proxy.api.judging import Judging
from proxy.api.live import Live
from proxy.api.looking import Looking
from proxy.api.registering import Registering
from proxy.api.who import Visitor

Method = Literal["GET", "POST", "PUT", "DELETE"]
Serve = Callable[[Request, Visitor], Awaitable[ASGIApp]]

LIST: Final = "/api/exchanges"
ONE: Final = "/api/exchanges/{id}"
SCHEMAS: Final = "/api/schemas"
BINDINGS: Final = "/api/bindings"


class Offer(NamedTuple):
    """One method of one path.

    Shapes: `answer` is a model, or the media type of what is no JSON; `refusals` are
    the statuses beside those that every route has.
    """

    method: Method
    path: str
    name: str
    about: str
    serve: Serve
    answer: type[BaseModel] | str
    parameters: type[BaseModel] = models.Nothing
    body: type[BaseModel] | None = None
    refusals: tuple[int, ...] = ()


def offers(desk: Desk, now_us: Callable[[], int]) -> Sequence[Offer]:
    """Return all that is offered."""
    return (
        *reading(desk, now_us),
        *changing(desk),
        *bodies(desk),
        *schemas(desk),
        *bindings(desk),
    )


def reading(desk: Desk, now_us: Callable[[], int]) -> Sequence[Offer]:
    """Return what tells of exchanges."""
    looking = Looking(desk)
    return (
        Offer(
            "GET", LIST, "listExchanges", "A page of exchanges that match a filter.",
            looking.many, models.Page, models.ListQuery,
        ),
        Offer(
            "GET", f"{LIST}/tail", "tailExchanges",
            "Each exchange as it ends, as an `exchange` event with a row as its data. "
            "With `Last-Event-ID` it goes on where one left off; what ended about then "
            "may come once more.",
            Live(desk, now_us).tail, "text/event-stream", models.TailQuery,
        ),
        Offer(
            "GET", f"{LIST}/facets", "countExchanges",
            "Counts of the values of fields, of as many as time allows.",
            looking.counts, models.Facets, models.FacetQuery,
        ),
        Offer(
            "GET", ONE, "getExchange", "An exchange with all that is kept of it.",
            looking.one, models.Exchange, refusals=(404,),
        ),
    )  # fmt: skip


def changing(desk: Desk) -> Sequence[Offer]:
    """Return what changes exchanges."""
    its = Changing(desk)
    return (
        Offer(
            "POST", f"{LIST}/tags", "tagExchanges", "Changes tags of several.",
            its.tag_many, models.Changed, body=models.ManyTagChange,
        ),
        Offer(
            "POST", f"{LIST}/delete", "deleteExchanges", "Removes several.",
            its.delete_many, models.Changed, body=models.Many,
        ),
        Offer(
            "DELETE", ONE, "deleteExchange", "Removes an exchange.",
            its.delete, models.Deleted, refusals=(404, 409),
        ),
        Offer(
            "POST", f"{ONE}/tags", "tagExchange", "Changes its tags.",
            its.tag, models.Row, body=models.TagChange, refusals=(404, 409),
        ),
    )  # fmt: skip


def bodies(desk: Desk) -> Sequence[Offer]:
    """Return what gives bodies byte for byte."""
    looking, octets = Looking(desk), "application/octet-stream"
    return (
        Offer(
            "GET", f"{ONE}/request", "getRequest",
            "The body of the request as it was received, byte for byte.",
            looking.request, octets, refusals=(404,),
        ),
        Offer(
            "GET", f"{ONE}/sent", "getSent",
            "The body that went upstream: as received, with the declared edits.",
            looking.sent, octets, refusals=(404,),
        ),
        Offer(
            "GET", f"{ONE}/answer", "getAnswer",
            "The body of the answer as it was received, byte for byte.",
            looking.answer, octets, refusals=(404,),
        ),
    )  # fmt: skip


def schemas(desk: Desk) -> Sequence[Offer]:
    """Return what registers and tries schemas; the operator's alone, as `bindings`."""
    its = Registering(desk.registrar)
    return (
        Offer(
            "GET", SCHEMAS, "listSchemas", "The newest version of every schema.",
            its.schemas, registered.Versions, refusals=(403,),
        ),
        Offer(
            "GET", f"{SCHEMAS}/{{name}}", "getSchema", "The newest version of one.",
            its.newest, registered.Whole, refusals=(403, 404),
        ),
        Offer(
            "PUT", f"{SCHEMAS}/{{name}}", "putSchema",
            "Registers a JSON Schema as the newest version; the newest one, given "
            "again byte for byte, stays as it is.",
            its.put, registered.Put, body=registered.Document, refusals=(403,),
        ),
        Offer(
            "GET", f"{SCHEMAS}/{{name}}/versions/{{version}}", "getSchemaVersion",
            "One version of a schema.",
            its.version, registered.Whole, refusals=(403, 404),
        ),
        Offer(
            "POST", f"{SCHEMAS}/{{name}}/versions/{{version}}/judgements",
            "judgeExchanges", "Judges recorded exchanges by it.",
            Judging(desk).judge, registered.Judgements,
            body=registered.Trial, refusals=(403, 404),
        ),
    )  # fmt: skip


def bindings(desk: Desk) -> Sequence[Offer]:
    """Return what binds schemas to traffic."""
    its = Registering(desk.registrar)
    return (
        Offer(
            "GET", BINDINGS, "listBindings", "All, in the order they are asked.",
            its.bindings, registered.Bindings, refusals=(403,),
        ),
        Offer(
            "POST", BINDINGS, "addBinding", "Binds a schema to some traffic.",
            its.bind, registered.Binding, body=registered.NewBinding,
            refusals=(403, 404),
        ),
        Offer(
            "POST", f"{BINDINGS}/{{number}}/position", "moveBinding",
            "Puts a binding at another place.",
            its.move, registered.Binding, body=registered.Place, refusals=(403, 404),
        ),
        Offer(
            "DELETE", f"{BINDINGS}/{{number}}", "deleteBinding", "Ends a binding.",
            its.unbind, registered.Ended, refusals=(403, 404),
        ),
    )  # fmt: skip
