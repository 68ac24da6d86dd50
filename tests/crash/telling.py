"""A store that says what it does: each fact before it writes it, and that it is acknowledged."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from protocol.chains import Evidence
from protocol.fold import Change, Outcome
from protocol.genesis import Genesis
from protocol.lthash import LtHash
from protocol.seals import Seal
from protocol.transactions import SignedTransaction
from storage.engine import Batch, Engine
from storage.store import Store
from tests.crash.facts import UNSYNCED, Fact, Kind, Teller


class TellingStore(Store):
    """A real store with a teller; a hasty one acknowledges before it writes."""

    def __init__(self, engine: Engine, genesis: Genesis, teller: Teller, *, is_hasty: bool) -> None:
        super().__init__(engine, genesis)
        self._teller = teller
        self._is_hasty = is_hasty

    @contextmanager
    def telling(self, kind: Kind, parts: Iterable[bytes]) -> Iterator[None]:
        """Tell a fact, let it be written, acknowledge it if it is synced."""
        self._teller.tell(Fact(kind, tuple(parts)))
        if self._is_hasty and kind not in UNSYNCED:
            self._teller.acknowledge()
        yield
        if not self._is_hasty and kind not in UNSYNCED:
            self._teller.acknowledge()

    def put_transactions(
        self, transactions: Iterable[SignedTransaction], *, is_replacing: bool = False
    ) -> None:
        fresh = [tx for tx in transactions if not self.journal.has(tx.tx_id)]
        if fresh:
            with self.telling(Kind.TRANSACTIONS, (tx.wire for tx in fresh)):
                super().put_transactions(fresh, is_replacing=is_replacing)

    def bury(self, ids: Iterable[bytes]) -> None:
        gone = list(ids)
        with self.telling(Kind.BURIAL, gone):
            super().bury(gone)

    def put_evidence(self, proof: Evidence) -> None:
        with self.telling(Kind.EVIDENCE, [proof.to_bytes()]):
            super().put_evidence(proof)

    def put_blob(self, content_hash: bytes, data: bytes) -> None:
        with self.telling(Kind.BLOB, [content_hash, data]):
            super().put_blob(content_hash, data)

    def commit_epoch(
        self,
        seal: Seal,
        seal_hash: bytes,
        ids: Sequence[bytes],
        outcome: Outcome,
        rows_hash: LtHash,
    ) -> None:
        with self.telling(Kind.EPOCH, [seal.to_bytes(), *ids]):
            super().commit_epoch(seal, seal_hash, ids, outcome, rows_hash)

    def prune(
        self,
        batch: Batch,
        changes: Sequence[Change],
        *,
        tasks: int = 0,
        freed_bytes: int = 0,
        leaving: bytes | None = None,
        upto: int = 0,
    ) -> None:
        with self.telling(Kind.PRUNING, ()):
            super().prune(
                batch, changes, tasks=tasks, freed_bytes=freed_bytes, leaving=leaving, upto=upto
            )
