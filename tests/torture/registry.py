"""All rounds there are: a new kind of fault is a function and a line here.

A round that this machine cannot run names what hinders it, and is listed as skipped.
"""

from functools import partial

from tests.torture import disk, faults, kills
from tests.torture.stage import Round

ROUNDS: tuple[Round, ...] = (
    Round("kills", "F-01", kills.kills, weight=6),
    Round("kills while stopping", "F-07", kills.kills_while_stopping),
    Round("kills while paused", "F-05", kills.kills_while_paused),
    Round("rough upstream", "F-33..F-42", faults.rough_upstream, weight=3),
    Round("flapping upstream", "F-38", faults.flapping_upstream),
    Round("leaving clients", "F-30", faults.leaving_clients, weight=2),
    Round("odd clients", "F-51, F-52", faults.odd_clients),
    Round("pauses", "F-05", faults.pauses),
    Round(
        "failing calls",
        "F-10..F-14",
        disk.failing_calls,
        weight=3,
        hinders=disk.without_strace,
    ),
    Round("kill at call", "F-02", disk.kill_at_call, hinders=disk.without_strace),
    Round("slow syncs", "F-13", disk.slow_syncs, hinders=disk.without_strace),
    Round("limited files", "F-14", disk.limited_files),
    Round("full disk", "F-11", disk.full_disk, hinders=disk.without_mounts),
    Round("starved", "F-60", faults.starved),
    Round(
        "narrow line",
        "F-46",
        faults.narrow_line,
        hinders=faults.without_networks,
    ),
)

SWEEP: tuple[Round, ...] = tuple(
    Round(f"{name} {nth}", ids, partial(play, nth=nth), hinders=disk.without_strace)
    for name, ids, play in (
        ("full at write", "F-11", disk.every_write),
        ("failing sync", "F-10", disk.every_sync),
    )
    for nth in range(1, 41)
)
"""Every one of the first forty calls, where `failing calls` draws one."""
