"""Planted bugs of storage, marks and restarts."""

from collections.abc import Callable, Iterable
from typing import Any

from devnet.sim import core_peer
from devnet.sim.plan import CORE, NODE, Plan
from devnet.sim.zoo import Bug, Patch
from node.high_water import HighWater
from node.sealer import Sealer
from node.transport import memory
from protocol.errors import InvariantBroken
from storage import prune
from storage.cache import RowCache
from storage.engine import Batch
from storage.gated import GatedEngine
from storage.indexes import INDEX_TABLE
from storage.journal import SEALS, Journal
from storage.store import Store

_write: Callable[..., None] = Store._write
_delete = Batch.delete


def _never_synced() -> list[Patch]:
    def write(store: Store, batch: Batch, totals: Any, *, sync: bool) -> None:
        _write(store, batch, totals, sync=False)

    return [Patch(Store, "_write", write)]


def _write_seals_unsynced(store: Store, batch: Batch, totals: Any, *, sync: bool) -> None:
    is_seal = any(table == SEALS for table, _, _ in batch.operations)
    _write(store, batch, totals, sync=sync and not is_seal)


def _seals_unsynced() -> list[Patch]:
    return [Patch(Store, "_write", _write_seals_unsynced)]


def _sealer_trusts_its_disk() -> list[Patch]:
    return [
        Patch(Store, "_write", _write_seals_unsynced),
        Patch(Sealer, "_is_behind", lambda sealer: False),
        Patch(HighWater, "raise_to", lambda marks, address, seq: None),
    ]


def _batch_in_pieces() -> list[Patch]:
    def write(store: Store, batch: Batch, totals: Any, *, sync: bool) -> None:
        for operation in batch.operations:
            piece = Batch()
            piece.operations.append(operation)
            store.engine.write(piece, sync=False)
        _write(store, Batch(), totals, sync=sync)

    return [Patch(Store, "_write", write)]


def _buried_alive() -> list[Patch]:
    def stage(journal: Journal, batch: Batch, ids: Iterable[bytes]) -> int:
        return 0

    return [Patch(Journal, "stage_burial", stage)]


def _stale_rows() -> list[Patch]:
    return [Patch(RowCache, "update", lambda cache, changes: None)]


def _stale_indexes() -> list[Patch]:
    def delete(batch: Batch, table: str, key: bytes) -> None:
        if table != INDEX_TABLE:
            _delete(batch, table, key)

    return [Patch(Batch, "delete", delete)]


def _evidence_forgotten() -> list[Patch]:
    return [Patch(Journal, "open_evidence", lambda journal: {})]


def _mark_forgotten() -> list[Patch]:
    return [Patch(HighWater, "get", lambda marks, address: None)]


def _failing_disk_ignored() -> list[Patch]:
    return [
        Patch(memory, "OWN_FAULTS", (InvariantBroken,)),
        Patch(GatedEngine, "shut", lambda engine, fault: None),
    ]


def _cleaned_too_early() -> list[Patch]:
    def at_once(params: Any) -> int:
        return 0

    return [
        Patch(core_peer, "compute_archive_epochs", at_once),
        Patch(prune, "compute_archive_epochs", at_once),
    ]


def _has_rotten_disk(plan: Plan) -> bool:
    return sum(event.kind == "disk" for event in plan.events) > 4


def _cleans(plan: Plan) -> bool:
    return any(event.kind == "clean" for event in plan.events)


BUGS: tuple[Bug, ...] = (
    Bug("cleaned_too_early", "tasks are dropped at once", CORE, _cleaned_too_early, _cleans),
    Bug("never_synced", "acknowledged before it is synced", CORE, _never_synced),
    Bug("seals_unsynced", "a seal is told before it is synced", CORE, _seals_unsynced),
    Bug("batch_in_pieces", "a batch is written piece by piece", CORE, _batch_in_pieces),
    Bug("buried_alive", "what is dead stays in the open set on disk", CORE, _buried_alive),
    Bug("stale_rows", "the row cache does not follow a seal", CORE, _stale_rows),
    Bug("stale_indexes", "old index keys are never deleted", CORE, _stale_indexes),
    Bug("evidence_forgotten", "a restart forgets unsealed evidence", CORE, _evidence_forgotten),
    Bug("mark_forgotten", "signing marks are not read", CORE, _mark_forgotten),
    Bug(
        "failing_disk_ignored",
        "a node goes on after a failed write",
        NODE,
        _failing_disk_ignored,
        _has_rotten_disk,
    ),
    Bug(
        "sealer_trusts_its_disk",
        "seals unsynced, and the sealer keeps no mark",
        NODE,
        _sealer_trusts_its_disk,
    ),
)
