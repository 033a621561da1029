"""Answers an upgrade request: asks the upstream, and joins both ends if it switches."""

from collections.abc import Mapping

import httpx

from proxy import headers
from proxy.callers import Callers
from proxy.errors import NotFoundError, SpiritsafeError, answer
from proxy.front.tunnel import Tunnel, UpgradeHead
from proxy.front.turn import answer_head
from proxy.strangers import Strangers
from proxy.targets import Route, conversation_in, route
from proxy.upstream.errors import UpstreamError
from proxy.upstream.reply import Reply
from proxy.upstream.request import Lines
from proxy.upstream.send import Upstream

MAX_REFUSAL_BYTES = 1024 * 1024
"""Beyond this the body of an answer that refuses to switch is cut."""


async def upgrade(
    upstreams: Mapping[str, Upstream],
    strangers: Strangers,
    callers: Callers,
    *,
    head: UpgradeHead,
    client: Tunnel,
) -> None:
    """Serve one upgrade request; nothing is passed on before the upstream's 101."""
    try:
        path, mark, query = head.target.partition(b"?")
        way = route(head.method, path, upstreams)
        if way.kind in {"own", "stored"}:
            raise NotFoundError("No WebSocket is served at this path.")
        upstream = upstreams[way.upstream]
        held = upstream.authorization is not None
        _refuse_unseen(path, held=held, asked=route("POST", path, upstreams))
        headers.admit(head.headers, upstream.mark or b"")
        key = headers.credential(head.headers, query)
        callers.admit(key, held=held)
        strangers.refuse((name.lower(), value) for name, value in head.headers)
        wanted = headers.to_upstream(
            head.headers,
            host=upstream.host,
            authorization=upstream.authorization,
            via=upstream.mark,
        )
        wanted += [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
        reply = await upstream.send(
            head.method,
            way.suffix,
            query if mark else None,
            lines=Lines(wanted),
            body=b"",
        )
    except (SpiritsafeError, UpstreamError) as exc:
        status, own, body = answer(exc)
        await client.write(_head(status, own) + body)
        return
    try:
        if reply.status != httpx.codes.SWITCHING_PROTOCOLS:
            await _refuse(reply, client)
            return
        switched = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
        agreed = headers.to_client(reply.headers, switched)
        await client.write(answer_head(101, agreed))
        await client.join(reply.extensions["network_stream"])
    finally:
        await reply.stream.aclose()


def _refuse_unseen(path: bytes, *, held: bool, asked: Route) -> None:
    """Raise `NotFoundError` where frames could name what our key opens of others."""
    if held and (asked.endpoint == "responses" or conversation_in(path)):
        raise NotFoundError(
            "No WebSocket is served at this path, as the proxy sends a key of its own "
            "to this upstream and could not tell whose responses frames name."
        )


async def _refuse(reply: Reply, client: Tunnel) -> None:
    """Pass on an answer that does not switch, its end told by the close."""
    kept = [
        pair
        for pair in headers.to_client(reply.headers)
        if pair[0].lower() != b"content-length"
    ]
    await client.write(_head(reply.status, kept))
    sent = 0
    async for chunk in reply.stream:
        sent += len(chunk)
        if sent > MAX_REFUSAL_BYTES:
            return
        await client.write(chunk)


def _head(status: int, pairs: list[tuple[bytes, bytes]]) -> bytes:
    return answer_head(status, [*pairs, (b"connection", b"close")])
