"""Shows the plain counters as Prometheus metrics, on a registry of our own."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from proxy.meters import OWN_TIME_BUCKETS_US, Meters
from proxy.upstream.send import Upstream
from proxy.upstream.transport import Transport
from storage.counters import Counters
from storage.index.behind import Behind
from storage.recorder import Recorder


class Held(NamedTuple):
    """What the process holds: all of it comes back to what it was when traffic ends.

    Shapes: `clients` counts their connections, `tasks` the loop's.
    """

    clients: Callable[[], int]
    tasks: Callable[[], int]
    upstreams: Mapping[str, Upstream]
    behind: Behind | None = None


class Exposition(Collector):
    """Turns counters into metric families when somebody asks."""

    def __init__(
        self, meters: Meters, recorder: Recorder, held: Held | None = None
    ) -> None:
        self._meters = meters
        self._recorder = recorder
        self._held = held
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Return the exposition in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every family; P3 reads: accepted = the other three and in flight."""
        yield from self._recorder_families()
        yield from self._traffic_families()
        if self._held is not None:
            yield from self._held_families(self._held)
            if self._held.behind is not None:
                yield from _index_families(self._held.behind)

    def _recorder_families(self) -> Iterator[Metric]:
        now = self._recorder.counters
        accepted = CounterMetricFamily(
            "spiritsafe_exchanges_accepted", "Exchanges taken in to be recorded."
        )
        accepted.add_metric([], now.accepted)
        yield accepted
        ended = CounterMetricFamily(
            "spiritsafe_exchanges",
            "Exchanges by how they ended.",
            labels=["state", "reason"],
        )
        ended.add_metric(["complete", ""], now.complete)
        for reason, count in now.incomplete.items():
            ended.add_metric(["incomplete", reason], count)
        for reason, count in now.unrecorded.items():
            ended.add_metric(["unrecorded", reason], count)
        yield ended
        yield GaugeMetricFamily(
            "spiritsafe_exchanges_in_flight", "Under way now.", now.in_flight
        )
        yield GaugeMetricFamily(
            "spiritsafe_recorder_queue_bytes",
            "Waiting for the writer.",
            now.queue_bytes,
        )
        yield from _storage_families(now, self._recorder)
        commits = CounterMetricFamily("spiritsafe_commits", "Group commits.")
        commits.add_metric([], now.batches)
        yield commits
        spent = CounterMetricFamily(
            "spiritsafe_commit_seconds", "Time spent in group commits."
        )
        spent.add_metric([], now.commit_s)
        yield spent

    def _traffic_families(self) -> Iterator[Metric]:
        meters = self._meters
        answers = CounterMetricFamily(
            "spiritsafe_answers",
            "Captured exchanges by upstream, endpoint and its status (0: none came).",
            labels=["upstream", "endpoint", "status"],
        )
        for (upstream, endpoint, status), count in meters.answers.items():
            answers.add_metric([upstream, endpoint, str(status)], count)
        yield answers
        relayed = CounterMetricFamily(
            "spiritsafe_relayed", "Requests passed through unread.", labels=["upstream"]
        )
        for upstream, count in meters.relayed.items():
            relayed.add_metric([upstream], count)
        yield relayed
        verdicts = CounterMetricFamily(
            "spiritsafe_verdicts",
            "Judgements by registered schema (empty: what a request carried).",
            labels=["schema", "verdict"],
        )
        for (schema, verdict), count in meters.verdicts.items():
            verdicts.add_metric([schema, verdict], count)
        yield verdicts
        yield self._own_time()

    def _held_families(self, held: Held) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "spiritsafe_client_connections",
            "Open now, idle ones and this one included.",
            held.clients(),
        )
        yield GaugeMetricFamily("spiritsafe_tasks", "Of the loop, now.", held.tasks())
        connections = GaugeMetricFamily(
            "spiritsafe_upstream_connections",
            "Open now; one that is being opened counts as used.",
            labels=["upstream", "state"],
        )
        waiting = GaugeMetricFamily(
            "spiritsafe_upstream_waiting",
            "Requests that wait for a connection.",
            labels=["upstream"],
        )
        for name, upstream in held.upstreams.items():
            if isinstance(upstream.transport, Transport):
                stats = upstream.transport.stats()
                connections.add_metric([name, "used"], stats.used_count)
                connections.add_metric([name, "idle"], stats.idle_count)
                waiting.add_metric([name], stats.waiting_count)
        yield connections
        yield waiting

    def _own_time(self) -> Metric:
        buckets, total = [], 0
        bounds = [str(bound / 1e6) for bound in OWN_TIME_BUCKETS_US] + ["+Inf"]
        for bound, count in zip(bounds, self._meters.own_buckets, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family = HistogramMetricFamily(
            "spiritsafe_own_seconds", "Time the proxy itself added to an exchange."
        )
        family.add_metric([], buckets, self._meters.own_us_total / 1e6)
        return family


def _storage_families(now: Counters, recorder: Recorder) -> Iterator[Metric]:
    report = recorder.report
    for name, told, value in (
        ("storage_failing", "1 while the database does not take batches.",
         int(recorder.failing)),
        ("storage_low", "1 while the disk is nearly full.", int(recorder.low)),
        ("storage_free_bytes", "Left on the disk, the reserve not counted.",
         now.free_bytes),
        ("reserve_bytes", "Held for a full disk.", now.reserve_bytes),
        ("spool_bytes", "Kept outside the database.", now.spool_bytes),
        ("recovered_unclean_runs", "Runs found at the start that did not end cleanly.",
         report.unclean_epochs),
        ("recovered_cut_off", "Exchanges that they left open.", report.crashed),
        ("recovered_lost", "Exchanges that no row tells of.", report.lost),
        ("recovered_spooled", "Exchanges brought in from the spool.", report.replayed),
    ):  # fmt: skip
        yield GaugeMetricFamily(f"spiritsafe_{name}", told, value)
    for name, told, value in (
        ("storage_failures", "Batches that the database did not take.", now.failures),
        ("storage_damaged", "Files found damaged and set aside.", now.set_aside),
    ):
        family = CounterMetricFamily(f"spiritsafe_{name}", told)
        family.add_metric([], value)
        yield family


def _index_families(behind: Behind) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "spiritsafe_index_rows_behind",
        "Exchanges that filters look at one by one until they are indexed.",
        behind.rows_behind,
    )
    yield GaugeMetricFamily(
        "spiritsafe_index_words_behind",
        "Exchanges whose words are not indexed yet.",
        behind.words_behind,
    )
