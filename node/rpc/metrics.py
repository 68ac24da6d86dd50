"""/metrics: what the parts of a peer say of themselves at this moment, for Prometheus.

Nothing is counted here. Each figure is read from the part that owns it when somebody asks, so a
metric cannot disagree with what the RPC says. No label names a peer, a task or an account: their
number has no bound. The registry is the peer's own: a process may hold many peers.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from node.peer import Peer
from node.rpc.health import is_ready, run_checks
from node.rpc.metrics_db import list_database
from node.version import VERSION

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

Values = dict[tuple[str, ...], float]
"""Figures by the values of their labels."""


class PeerCollector:
    """The metrics of one peer, read anew for each scrape."""

    def __init__(self, peer: Peer, outcomes: Mapping[tuple[str, str], int]) -> None:
        self._peer = peer
        self._outcomes = outcomes

    def describe(self) -> Iterator[Metric]:
        """Name nothing in advance: only a scrape reads the peer."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as of now."""
        yield from _list_process(self._peer)
        yield from _list_state(self._peer)
        yield from list_database(self._peer.state.store.report_performance())
        yield from _list_network(self._peer)
        yield from _list_work(self._peer, self._outcomes)


class MetricsPage:
    """The text that a scrape of one peer gets."""

    def __init__(self, peer: Peer, outcomes: Mapping[tuple[str, str], int]) -> None:
        """Stand for `peer`; `outcomes` counts the calls answered, by method and error."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(PeerCollector(peer, outcomes))

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


def _list_process(peer: Peer) -> Iterator[Metric]:
    monitor = peer.monitor
    yield _info("build", "The release that runs.", {"version": VERSION})
    network = {"network_id": peer.genesis.network.hex(), "name": peer.genesis.name}
    yield _info("network", "The network it belongs to.", network)
    yield _gauge("uptime_seconds", "Since the start.", monitor.uptime_ms / 1_000)
    yield _gauge("loop_lag_seconds", "The worst lately.", monitor.lag_ms / 1_000)
    yield _gauge("memory_bytes", "Resident memory.", monitor.memory_bytes)
    checks = run_checks(peer)
    yield _gauge("ready", "Whether every check holds.", is_ready(checks))
    held: Values = {(name,): float(check["ok"]) for name, check in checks.items()}
    yield _gauges("ready_check", "Whether a check holds.", ("check",), held)


def _list_state(peer: Peer) -> Iterator[Metric]:
    state = peer.state
    totals = state.store.totals
    yield _gauge("epoch", "The last sealed epoch.", state.epoch)
    yield _gauge("alarm", "Whether folding has stopped.", state.alarm is not None)
    entries: Values = {
        ("stored",): float(totals.stored),
        ("sealed",): float(totals.sealed),
        ("open",): float(state.open.count),
        ("effective",): float(len(state.open.effective)),
        ("evidence",): float(totals.evidence),
        ("rows",): float(totals.rows),
    }
    yield _gauges("state_entries", "What is stored.", ("kind",), entries)
    counts: Values = {(name,): float(count) for name, count in peer.counts.read().items()}
    yield _gauges(
        "tasks", "Tasks that are not over, provisional moves included.", ("status",), counts
    )
    reversals: Values = {(): float(state.store.local.reversals.total)}
    yield _counters("reversals", "Provisional results that a seal changed.", (), reversals)
    conflicts = Counter((ruling.code,) for ruling in state.open.rulings())
    shown: Values = {key: float(count) for key, count in conflicts.items()}
    yield _gauges("conflicts_open", "Provisional rulings, by reason.", ("code",), shown)


def _list_network(peer: Peer) -> Iterator[Metric]:
    names = peer.transport.peers()
    records = [peer.sync.book.get(name) for name in names]
    equal = sum(record.equal for record in records)
    standing: Values = {("equal",): float(equal), ("other",): float(len(names) - equal)}
    yield _gauges("p2p_peers", "Connected peers.", ("state",), standing)
    dropped: Values = {(): float(peer.transport.gossip_dropped)}
    yield _counters("p2p_gossip_dropped", "Lost because nobody read fast enough.", (), dropped)
    behind = max(0, max((record.epoch for record in records), default=0) - peer.state.epoch)
    yield _gauge("sync_behind_epochs", "How far the best peer is ahead.", behind)


def _list_work(peer: Peer, outcomes: Mapping[tuple[str, str], int]) -> Iterator[Metric]:
    calls: Values = {key: float(count) for key, count in outcomes.items()}
    yield _counters("rpc_requests", "Calls answered.", ("method", "code"), calls)
    up: Values = {}
    done: Values = {}
    for desk in peer.desks:
        status = desk.status
        up[(desk.role,)] = float(status.hello is not None)
        done[(desk.role, "answered")] = float(status.answered)
        done[(desk.role, "failed")] = float(status.failed)
    yield _gauges("worker_up", "Whether a worker takes tasks.", ("role",), up)
    yield _counters("worker_tasks", "What workers did.", ("role", "result"), done)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"minesync_{name}", text, value=float(value))


def _gauges(name: str, text: str, labels: tuple[str, ...], values: Values) -> Metric:
    family = GaugeMetricFamily(f"minesync_{name}", text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _counters(name: str, text: str, labels: tuple[str, ...], values: Values) -> Metric:
    family = CounterMetricFamily(f"minesync_{name}", text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _info(name: str, text: str, labels: dict[str, str]) -> Metric:
    return _gauges(f"{name}_info", text, tuple(labels), {tuple(labels.values()): 1.0})
