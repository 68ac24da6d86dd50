"""/metrics: what the parts of a peer say of themselves at this moment, for Prometheus.

Nothing is counted here. Each figure is read from the part that owns it when somebody asks, so a
metric cannot disagree with what the RPC says. No label names a peer, a task or an account: their
number has no bound.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from node.peer import Peer
from node.rpc.health import is_ready, run_checks
from node.version import VERSION

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Values = dict[tuple[str, ...], float]
"""Figures by the values of their labels."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: a gauge, or a counter if its name ends in `_total`."""

    name: str
    text: str
    labels: tuple[str, ...]
    values: Values

    def render(self) -> Iterator[str]:
        """Yield its lines in Prometheus' text format."""
        kind = "counter" if self.name.endswith("_total") else "gauge"
        yield f"# HELP minesync_{self.name} {self.text}"
        yield f"# TYPE minesync_{self.name} {kind}"
        for key, value in sorted(self.values.items()):
            pairs = zip(self.labels, key, strict=True)
            shown = ",".join(f'{label}="{_escape(text)}"' for label, text in pairs)
            place = f"{{{shown}}}" if shown else ""
            yield f"minesync_{self.name}{place} {value:.15g}"


def render_metrics(peer: Peer, outcomes: Mapping[tuple[str, str], int]) -> bytes:
    """Return all metrics in Prometheus' text format.

    Args:
        peer: whose.
        outcomes: the calls answered, by method and name of the error.
    """
    metrics = (
        *_list_process(peer),
        *_list_state(peer),
        *_list_network(peer),
        *_list_work(peer, outcomes),
    )
    lines = [line for metric in metrics for line in metric.render()]
    return "\n".join([*lines, ""]).encode("utf-8")


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
    yield Metric("ready_check", "Whether a check holds.", ("check",), held)


def _list_state(peer: Peer) -> Iterator[Metric]:
    state = peer.state
    totals, cache = state.store.totals, state.store.rows.cache
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
    yield Metric("state_entries", "What is stored.", ("kind",), entries)
    counts: Values = {(name,): float(count) for name, count in peer.counts.read().items()}
    yield Metric("tasks", "Tasks that are not over.", ("status",), counts)
    conflicts = Counter((ruling.code,) for ruling in state.open.rulings())
    shown: Values = {key: float(count) for key, count in conflicts.items()}
    yield Metric("conflicts_open", "Provisional rulings, by reason.", ("code",), shown)
    reads: Values = {("hit",): float(cache.hits), ("miss",): float(cache.misses)}
    yield Metric("row_cache_reads_total", "Reads of sealed rows.", ("result",), reads)


def _list_network(peer: Peer) -> Iterator[Metric]:
    names = peer.transport.peers()
    records = [peer.sync.book.get(name) for name in names]
    equal = sum(record.equal for record in records)
    standing: Values = {("equal",): float(equal), ("other",): float(len(names) - equal)}
    yield Metric("p2p_peers", "Connected peers.", ("state",), standing)
    dropped: Values = {(): float(peer.transport.gossip_dropped)}
    yield Metric("p2p_gossip_dropped_total", "Lost because nobody read fast enough.", (), dropped)
    behind = max(0, max((record.epoch for record in records), default=0) - peer.state.epoch)
    yield _gauge("sync_behind_epochs", "How far the best peer is ahead.", behind)


def _list_work(peer: Peer, outcomes: Mapping[tuple[str, str], int]) -> Iterator[Metric]:
    calls: Values = {key: float(count) for key, count in outcomes.items()}
    yield Metric("rpc_requests_total", "Calls answered.", ("method", "code"), calls)
    up: Values = {}
    done: Values = {}
    for desk in peer.desks:
        status = desk.status
        up[(desk.role,)] = float(status.hello is not None)
        done[(desk.role, "answered")] = float(status.answered)
        done[(desk.role, "failed")] = float(status.failed)
    yield Metric("worker_up", "Whether a worker takes tasks.", ("role",), up)
    yield Metric("worker_tasks_total", "What workers did.", ("role", "result"), done)


def _gauge(name: str, text: str, value: float) -> Metric:
    return Metric(name, text, (), {(): float(value)})


def _info(name: str, text: str, labels: dict[str, str]) -> Metric:
    return Metric(f"{name}_info", text, tuple(labels), {tuple(labels.values()): 1.0})


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
