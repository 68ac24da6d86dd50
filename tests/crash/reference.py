"""The reference: what the facts make, folded anew in memory, and a store compared with it.

Nothing of the database is trusted: each fact is applied to a store in memory by the parent, which
folds every epoch itself. A sound store equals it in every table, byte for byte, at one point among
the facts: after the last one acknowledged, or after one of those told since.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from protocol.chains import read_evidence
from protocol.closing import compute_archive_epochs
from protocol.fold import Outcome
from protocol.genesis import Genesis
from protocol.intake import Intake
from protocol.seals import Seal
from protocol.transactions import SignedTransaction, compute_tx_id, split_wire
from storage.backup_folder import list_backups
from storage.engine import TABLES, Engine
from storage.errors import Corrupt, StorageError
from storage.memory import MemoryEngine
from storage.prune import Progress, Pruner
from storage.restore import check_stream
from storage.rocks import RocksSettings
from storage.scrub import scrub
from storage.store import Store
from tests.crash.facts import Fact, Kind
from tests.support.builders import CAST, a_genesis, an_address
from tests.support.stored import StoredWorld
from tests.support.world import Place

FORGERS = tuple(f"forger {number}" for number in range(40))
"""They have money, and each signs two transactions with one seq, once."""
GHOST = "ghost"
"""Somebody without an account; what he signs is stored and buried."""
_NAMES = {an_address(name): name for name in (*CAST, *FORGERS, GHOST)}
_UNSEALED = {an_address(name) for name in (*FORGERS, GHOST)}


def a_crash_genesis() -> Genesis:
    """Return the network that the writers live in."""
    return a_genesis(cast=(*CAST, *FORGERS), name="crash")


class OtherState(Exception):
    """A fact does not fit what the facts before it make."""


class _SliceDropped(Exception):
    """One slice was dropped."""


class _SlicingStore(Store):
    """A store whose clean-up stops after one slice, as at a crash."""

    def prune(self, *args: Any, **kwargs: Any) -> None:
        super().prune(*args, **kwargs)
        raise _SliceDropped


def prune_steps(store: Store) -> Iterator[Progress]:
    """Return the steps of a clean-up that drops what may be dropped at the earliest."""
    return Pruner(store, compute_archive_epochs(store.genesis.params)).steps()


class CrashWorld(StoredWorld):
    """A world that goes on where a dead writer stopped."""

    def seal(self, *transactions: SignedTransaction, evidence: Sequence[Place] = ()) -> Outcome:
        """End the epoch with these, and with all that an earlier life left open."""
        journal = self.store.journal
        taken = {tx.tx_id: tx for tx in transactions}
        for tx in journal.open_transactions():
            if tx.header.author not in _UNSEALED:
                taken.setdefault(tx.tx_id, tx)
        places = {*evidence, *journal.open_evidence().values()}
        return super().seal(*taken.values(), evidence=sorted(places))

    def find_forger(self) -> str | None:
        """Return a forger who has signed nothing yet."""
        return next((name for name in FORGERS if name not in self._chains), None)

    def apply(self, fact: Fact) -> None:
        """Do what a writer was asked to do.

        Raises:
            OtherState: an epoch folds to another seal than the writer's.
        """
        intake = Intake(self.network)
        match fact.kind:
            case Kind.TRANSACTIONS:
                self._take_in([intake.open(wire) for wire in fact.parts])
            case Kind.BURIAL:
                self.store.bury(fact.parts)
            case Kind.EVIDENCE:
                self.store.put_evidence(read_evidence(intake, fact.parts[0]))
            case Kind.BLOB:
                self.store.put_blob(*fact.parts)
            case Kind.EPOCH:
                self.seal()
                if self.store.journal.seal(self.epoch) != fact.parts[0]:
                    raise OtherState(f"epoch {self.epoch}: the facts fold to another seal")
            case Kind.PRUNING:
                # Begun again, a clean-up goes on; here it ends after each slice.
                with suppress(_SliceDropped):
                    for _ in prune_steps(self.store):
                        pass
            case Kind.BACKUP:
                pass

    def _take_in(self, transactions: list[SignedTransaction]) -> None:
        self.store.put_transactions(transactions)
        self.adopt(transactions)
        for tx in transactions:
            self._chains[_NAMES[tx.header.author]] = (tx.header.seq + 1, tx.tx_id)


def a_reference() -> CrashWorld:
    """Return the world before the first fact."""
    return CrashWorld(_SlicingStore(MemoryEngine(), a_crash_genesis()))


@dataclass(slots=True)
class Finding:
    """What is in a database after a crash.

    Attributes:
        point: how many of the facts are in it; None if no such number explains it.
        lost: what was acknowledged and is not there.
        half: what is neither the state before a fact nor that after it.
        faults: what else is wrong.
    """

    point: int | None = None
    lost: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def check_store(
    path: Path,
    reference: CrashWorld,
    history: Sequence[Fact],
    applied: int,
    acknowledged: int,
    *,
    settings: RocksSettings | None = None,
    is_full: bool = False,
) -> Finding:
    """Open the store in `path` and compare it with what the facts make.

    Args:
        path: its folder.
        reference: with the first `applied` facts in it; it is moved on.
        history: all facts ever told for this database.
        applied: at most `acknowledged`.
        acknowledged: how many of the facts must be there.
        settings: of the database.
        is_full: also scrub it, ask for everything ever acknowledged, and close it.
    """
    try:
        store = Store.open(path, reference.genesis, settings=settings)
    except StorageError as error:
        promised = [name for fact in history[:acknowledged] for name in name_items(fact)]
        return Finding(lost=promised, faults=[f"does not open: {error}"])
    finding = compare(store, reference, history, applied, acknowledged)
    if is_full and finding.point is not None:
        finding.lost += find_lost(store, history[:acknowledged])
        finding.faults += [line for line in scrub(store) if line is not None]
        store.close()
    # Without a close the end of this process is one more crash.
    return finding


def compare(
    store: Store,
    reference: CrashWorld,
    history: Sequence[Fact],
    applied: int,
    acknowledged: int,
) -> Finding:
    """Find the point among the facts at which a store stands. Arguments as of `check_store`."""
    finding = Finding()
    if store.needs_repair is not None:
        finding.faults.append(f"needs repair: {store.needs_repair}")
    difference: str | None = None
    try:
        for point in range(applied, len(history) + 1):
            if point > applied:
                reference.apply(history[point - 1])
            if point >= acknowledged:
                difference = find_difference(store.engine, reference.store.engine)
                if difference is None:
                    finding.point = point
                    return finding
        is_whole = find_earlier_point(store, history[:acknowledged]) is not None
    except OtherState as error:
        is_whole, difference = False, str(error)
    finding.lost = find_lost(store, history[:acknowledged])
    if not is_whole:
        finding.half.append(f"of no point among the facts: {difference}")
    return finding


def find_earlier_point(store: Store, history: Sequence[Fact]) -> int | None:
    """Return how many facts make exactly what is in a store, None if no number does."""
    world = a_reference()
    for point in range(len(history) + 1):
        is_near = world.store.totals == store.totals and world.epoch == store.head.epoch
        if is_near and find_difference(store.engine, world.store.engine) is None:
            return point
        if point < len(history):
            world.apply(history[point])
    return None


def find_difference(found: Engine, wanted: Engine) -> str | None:
    """Return the first row in which two databases differ."""
    for table in TABLES:
        for ours, theirs in zip_longest(found.scan(table), wanted.scan(table)):
            if ours != theirs:
                key = min(row[0] for row in (ours, theirs) if row is not None)
                return f"{table} at {key.hex()[:32]}"
    return None


def find_lost(store: Store, facts: Iterable[Fact]) -> list[str]:
    """Return what was promised and is not there, asked for one by one."""
    lost = []
    for fact in facts:
        names = name_items(fact)
        try:
            lost += [
                name
                for name, is_there in zip(names, _has(store, fact), strict=True)
                if not is_there
            ]
        except Corrupt as error:
            lost += [f"{name}: {error}" for name in names]
    return lost


def name_items(fact: Fact) -> list[str]:
    """Return a name for each thing that a fact promises in the database."""
    match fact.kind:
        case Kind.TRANSACTIONS:
            return [f"transaction {_read_id(wire).hex()[:16]}" for wire in fact.parts]
        case Kind.BURIAL | Kind.BACKUP | Kind.PRUNING:
            return []
        case Kind.EPOCH:
            return [f"epoch {Seal.from_bytes(fact.parts[0]).content.epoch}"]
        case _:
            return [f"{fact.kind.name.lower()} {fact.parts[0].hex()[:16]}"]


def _has(store: Store, fact: Fact) -> list[bool]:
    """Tell of each thing that a fact promises whether it is there."""
    journal = store.journal
    match fact.kind:
        case Kind.TRANSACTIONS:
            return [journal.wire(_read_id(wire)) == wire for wire in fact.parts]
        case Kind.BURIAL | Kind.BACKUP | Kind.PRUNING:
            return []
        case Kind.EVIDENCE:
            evidence_id = read_evidence(Intake(store.genesis.network), fact.parts[0]).evidence_id
            return [journal.evidence_proof(evidence_id) == fact.parts[0]]
        case Kind.BLOB:
            return [journal.blob(fact.parts[0]) == fact.parts[1]]
        case Kind.EPOCH:
            epoch = Seal.from_bytes(fact.parts[0]).content.epoch
            found = (journal.seal(epoch), *journal.sealed_ids(epoch))
            return [found == fact.parts]


def _read_id(wire: bytes) -> bytes:
    return compute_tx_id(split_wire(wire)[0])


def check_backups(folder: Path, genesis: Genesis, latest: int) -> list[str]:
    """Return what is wrong with the backups in a folder, the latest of which is read to its end.

    Args:
        folder: of all backups.
        genesis: of the network.
        latest: the number of the last one acknowledged, 0 if none was.
    """
    backups = list_backups(folder)
    faults = [f"backup {one.number}: {one.fault}" for one in backups if one.manifest is None]
    if latest > max((one.number for one in backups), default=0):
        faults.append(f"backup {latest} was acknowledged and is not listed")
    if backups and not faults:
        try:
            check_stream(backups[-1].path, genesis)
        except StorageError as error:
            faults.append(f"backup {backups[-1].number}: {error}")
    return faults
