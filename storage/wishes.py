"""What a command may ask of whoever owns a file, and carrying it out."""

from collections.abc import Callable
from typing import Literal

import msgspec

from storage.judgements import Rejudged
from storage.retention import Policy
from storage.upkeep import Report, Upkeep


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change of what is kept.

    Shapes: `seqs` for `tag`, `remove` and `link`, `add` and `drop` for `tag`, `policy`
    for `prune`, `judged` for `judge`.
    """

    do: Literal["tag", "remove", "prune", "judge", "link"]
    seqs: list[int] = []
    add: dict[str, str] = {}
    drop: list[str] = []
    policy: Policy = Policy()
    judged: list[Rejudged] = []


async def carry_out(wish: Wish, upkeep: Upkeep, *, clock: Callable[[], int]) -> Report:
    """Do what is asked. Raises: as `Upkeep`'s methods."""
    if wish.do == "tag":
        return await upkeep.tag(wish.seqs, add=wish.add, remove=wish.drop)
    if wish.do == "remove":
        return await upkeep.remove(wish.seqs)
    if wish.do == "link":
        return await upkeep.link(wish.seqs)
    if wish.do == "judge":
        return await upkeep.judge(wish.judged, judged_at=clock())
    return await upkeep.prune(wish.policy, now_at=clock())
