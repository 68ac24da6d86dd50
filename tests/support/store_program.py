"""A life of a store drawn from a seed: everything that is ever asked of one, in any order.

`python -m tests.support.store_program SEED` lives one life alone and prints each step.
"""

import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from operator import methodcaller
from pathlib import Path
from typing import TypeVar

from protocol.chains import Evidence, build_evidence, is_alive
from protocol.errors import InvariantBroken, Rejected
from protocol.hashing import compute_content_hash
from protocol.kinds.cancel_task import CancelTask
from protocol.lthash import LtHash
from protocol.seals import compute_seal_hash
from protocol.tables import TASKS
from protocol.transactions import SignedTransaction
from storage.blobs import BLOBS, PIECE_BYTES, PIECES
from storage.local import METRICS_EPOCHS_MAX
from storage.local_records import RISK_FLAGGED_ABOVE
from storage.queries import PAGE_ITEMS_MAX
from storage.store import Store
from tests.support.builders import (
    CAST,
    PUBLISHER,
    SOLVERS,
    VALIDATORS,
    a_genesis,
    a_hash,
    an_address,
)
from tests.support.opinions import a_pattern, a_performance, an_analysis, some_metrics
from tests.support.store_questions import Questions
from tests.support.stored import act_on, build_seal, compute_rows_hash
from tests.support.twin_stores import TwinStores, clean_up, delete_blob, draw_bytes
from tests.support.world import World

T = TypeVar("T")

AGAIN = ".venv/bin/python -m tests.support.store_program"
STEPS = range(8, 30)
RESTORED_EVERY = 25
"""One life in so many is backed up and restored at its end; that takes ten times as long as it."""


class StoreProgram(World):
    """One life: a model of what must be stored, and the twins that are asked to store it."""

    def __init__(self, twins: TwinStores, seed: int) -> None:
        super().__init__(twins.genesis)
        self.twins = twins
        self.seed = seed
        self.chance = random.Random(seed)
        self.trace: list[str] = []
        self._stored: dict[bytes, SignedTransaction] = {}
        self._open: dict[bytes, SignedTransaction] = {}
        self._sealed = 0
        self._evidence: dict[bytes, tuple[Evidence, bool]] = {}
        self._barred: dict[bytes, int] = {}
        self._blobs: dict[bytes, bytes] = {}
        self._risks: dict[bytes, int] = {}
        self._questions = Questions(self.chance)

    def live(self) -> None:
        """Live from an empty store through some steps, then check everything.

        Raises:
            Exception: whatever went wrong, with the steps that led there and the command that
                repeats them.
        """
        try:
            self.twins.begin()
            if self.chance.random() < 0.7:
                self._prepare()
            for _ in range(self.chance.choice(STEPS)):
                self._step()
            self._check()
            self.trace.append("clean up")
            if self.twins.each(clean_up).rows:
                self.twins.check_alike()
            if self.seed % RESTORED_EVERY == 0:
                self.trace.append("backup and restore")
                self.twins.backup_and_restore()
        except Exception as error:
            error.add_note(f"seed {self.seed} after: {', '.join(self.trace)}")
            error.add_note(f"again: {AGAIN} {self.seed}")
            raise

    def _prepare(self) -> None:
        """Register the cast, publish, and let some epochs pass, so that tasks are in all phases."""
        self._put(self.register(who) for who in (*SOLVERS, *VALIDATORS))
        self._put(self.publish(PUBLISHER) for _ in range(self.chance.randrange(1, 3)))
        for _ in range(self.chance.randrange(2, 14)):
            self._seal()
            self._act()

    def _step(self) -> None:
        (step,) = self.chance.choices(list(STEPS_BY_WEIGHT), list(STEPS_BY_WEIGHT.values()))
        self.trace.append(step.__name__.strip("_"))
        step(self)

    def _check(self) -> None:
        self.trace.append("check")
        self.twins.check(self.view.rows)
        ids = dict.fromkeys(self._stored)
        wires = self.twins.each(lambda store: [store.journal.wire(tx_id) for tx_id in ids])
        assert wires == [tx.wire for tx in self._stored.values()]
        totals = self.twins.each(lambda store: store.totals)
        assert (totals.stored, totals.open, totals.sealed, totals.evidence) == (
            len(self._stored),
            len(self._open),
            self._sealed,
            len(self._evidence),
        )
        blobs = self.twins.each(
            lambda store: {key: store.journal.blob(key) for key, _ in store.engine.scan(BLOBS)}
        )
        assert blobs == self._blobs
        pieces = self.twins.each(lambda store: [key for key, _ in store.engine.scan(PIECES)])
        assert len(pieces) == sum(-(-len(data) // PIECE_BYTES) for data in self._blobs.values())
        listed = self.twins.each(lambda store: store.local.flagged(PAGE_ITEMS_MAX).items)
        assert {row.submission_id: row.overall_risk for row in listed} == {
            key: risk for key, risk in self._risks.items() if risk > RISK_FLAGGED_ABOVE
        }

    # ---------------------------------------------------------------------------- what is signed

    def _put(self, transactions: Iterable[SignedTransaction]) -> None:
        fresh = [tx for tx in transactions if not self._is_barred(tx)]
        self.twins.each(lambda store: store.put_transactions(fresh))
        for tx in fresh:
            self._stored[tx.tx_id] = self._open[tx.tx_id] = tx

    def _is_barred(self, tx: SignedTransaction) -> bool:
        least = self._barred.get(tx.header.author)
        return least is not None and tx.header.seq >= least

    def _act(self) -> None:
        tasks = [key for name, key in sorted(self.view.rows) if name == TASKS.name]
        if tasks:
            self._put(act_on(self, self.chance, self.chance.choice(tasks)))

    def _publish(self) -> None:
        self._put([self.publish(self.chance.choice(CAST), max_participants=2)])

    def _register(self) -> None:
        who = self.chance.choice((*SOLVERS, *VALIDATORS))
        self._put([self.register(who, roles=self.chance.randrange(1, 4))])

    def _put_again(self) -> None:
        known = self._draw(self._stored.values())
        if known is not None:
            self.twins.each(lambda store: store.put_transactions([known, known]))

    def _take_a_taken_place(self) -> None:
        tx = self._draw(self._tails())
        if tx is not None:
            rival = self._sign_rival(tx)
            for taken in ([rival], [rival, tx]):
                put = methodcaller("put_transactions", taken)
                self.twins.each_fails(InvariantBroken, put)

    def _replace(self) -> None:
        tx = self._draw(self._tails())
        if tx is not None:
            rival = self._sign_rival(tx)
            self.twins.each(lambda store: store.put_transactions([rival], is_replacing=True))
            del self._open[tx.tx_id]
            self._stored[rival.tx_id] = self._open[rival.tx_id] = rival
            self._chains[self._name(tx)] = (tx.header.seq + 1, rival.tx_id)
            self.links[(tx.header.author, tx.header.seq)] = rival

    def _bury(self) -> None:
        tx = self._draw(self._tails())
        if tx is not None:
            self._bury_all([tx, tx])

    def _bury_all(self, transactions: Sequence[SignedTransaction]) -> None:
        ids = [*(tx.tx_id for tx in transactions), a_hash("nothing")]
        self.twins.each(lambda store: store.bury(ids))
        for tx in transactions:
            self._open.pop(tx.tx_id, None)

    def _equivocate(self) -> None:
        tx = self._draw(self._tails())
        if tx is not None and not self._is_barred(tx):
            proof = build_evidence(tx, self._sign_rival(tx))
            for _ in range(2):
                self.twins.each(lambda store: store.put_evidence(proof))
            self._evidence[proof.evidence_id] = proof, False
            self._barred[proof.author] = proof.seq
            self._bury_all([one for one in self._open.values() if self._is_barred(one)])

    def _drop_evidence(self) -> None:
        evidence_id = self._draw(self._evidence)
        if evidence_id is not None:
            self.twins.each(lambda store: store.drop_evidence([evidence_id, a_hash("nothing")]))
            if not self._evidence[evidence_id][1]:
                del self._evidence[evidence_id]

    def _tails(self) -> list[SignedTransaction]:
        """Return the open transactions that end their author's chain."""
        heads = dict(sorted(self.links))
        return [
            tx for _, tx in sorted(self._open.items()) if heads[tx.header.author] == tx.header.seq
        ]

    def _sign_rival(self, tx: SignedTransaction) -> SignedTransaction:
        reason = CancelTask(f"rival {self.chance.random()}")
        return self.sign(self._name(tx), "cancel_task", reason, seq=tx.header.seq)

    def _name(self, tx: SignedTransaction) -> str:
        return next(who for who in CAST if an_address(who) == tx.header.author)

    # ----------------------------------------------------------------------------------- seals

    def _choose(self) -> tuple[list[SignedTransaction], list[Evidence]]:
        """Return what the next seal takes in: of each open chain a part from its beginning."""
        number = self.epoch + 1
        late = self.params.late_epochs
        opened = list(self._open.values())
        self._bury_all([tx for tx in opened if not is_alive(tx.header.epoch, number, late)])
        chains: dict[bytes, list[SignedTransaction]] = {}
        for tx in sorted(self._open.values(), key=lambda tx: (tx.header.author, tx.header.seq)):
            chains.setdefault(tx.header.author, []).append(tx)
        taken = []
        for chain in chains.values():
            taken += chain[: self.chance.randrange(len(chain) + 1)] if self._flip() else chain
        proofs = [proof for _, (proof, sealed) in sorted(self._evidence.items()) if not sealed]
        return taken, [proof for proof in proofs if self._flip()]

    def _seal(self) -> None:
        taken, proofs = self._choose()
        places = [(proof.author, proof.seq) for proof in proofs]
        outcome = super().seal(*taken, evidence=places)
        ids = sorted([*(tx.tx_id for tx in taken), *(proof.evidence_id for proof in proofs)])
        rows_hash = compute_rows_hash(self.twins.stores[0], outcome)

        def commit(store: Store) -> bytes:
            seal = build_seal(store, ids, rows_hash)
            seal_hash = compute_seal_hash(self.network, seal.content)
            store.commit_epoch(seal, seal_hash, ids, outcome, rows_hash)
            return seal.to_bytes()

        if self.chance.random() < 0.1:
            self.twins.each_is_full(commit)
        self.twins.each(commit)
        self.seal_hash = self.twins.each(lambda store: store.head.seal_hash)
        self.anchors[self.epoch] = self.seal_hash
        self._sealed += len(taken)
        for tx in taken:
            del self._open[tx.tx_id]
        for proof in proofs:
            self._evidence[proof.evidence_id] = proof, True

    def _fail_to_seal(self) -> None:
        """Try what no store must take: another root, another epoch, an id that is not stored."""
        taken, _ = self._choose()
        outcome = self.fold(taken)[1]
        ids = sorted(tx.tx_id for tx in taken)
        rows_hash = compute_rows_hash(self.twins.stores[0], outcome)
        fault = self.chance.randrange(3)

        def commit(store: Store) -> None:
            wanted = sorted([*ids, a_hash("not stored")]) if fault == 0 else ids
            seal = build_seal(store, wanted, rows_hash)
            other = LtHash() if fault == 1 else rows_hash
            late = outcome if fault != 2 else type(outcome)(self.epoch + 2, outcome.changes, ())
            store.commit_epoch(seal, bytes(32), wanted, late, other)

        self.twins.each_fails(InvariantBroken, commit)

    # ------------------------------------------------------------------- what nobody else hears of

    def _put_blob(self) -> None:
        data = draw_bytes(self.chance, 200_000)
        content_hash = compute_content_hash(data)
        for _ in range(2):
            self.twins.each(lambda store: store.put_blob(content_hash, data))
        self._blobs[content_hash] = data
        if self.chance.random() < 0.3:
            self._delete_blob()
        self.twins.each_fails(Rejected, lambda store: store.put_blob(a_hash("other"), data))

    def _delete_blob(self) -> None:
        content_hash = self._draw(self._blobs)
        if content_hash is not None:
            freed = self.twins.each(lambda store: delete_blob(store, content_hash))
            assert freed == len(self._blobs.pop(content_hash))

    def _think_of_an_answer(self) -> None:
        risk = self.chance.choice((0, 2_000, 6_999, 7_000, 7_001, 9_000, 10_000))
        analysis = an_analysis(f"answer {self.chance.randrange(3)}", risk)
        self.twins.each(lambda store: store.local.put_analysis(analysis))
        self._risks[analysis.submission_id] = risk

    def _think_of_a_miner(self) -> None:
        who, epoch = self.chance.choice(SOLVERS), self.chance.randrange(5)
        self.twins.each(lambda store: store.local.put_behavior(a_pattern(who, epoch)))
        self.twins.each(lambda store: store.local.put_analytics(a_performance(who, epoch)))

    def _think_of_the_network(self) -> None:
        epoch = self.chance.choice((1, 2, 3, METRICS_EPOCHS_MAX + 2))
        figures = some_metrics(epoch, self.chance.randrange(3))
        self.twins.each(lambda store: store.local.put_metrics(figures))

    def _forget_opinions(self) -> None:
        steps = self.chance.choice((1, 100))

        def forget(store: Store) -> None:
            # Given up in the middle or driven to the end.
            for _, _ in zip(range(steps), store.local.clear_steps(1), strict=False):
                pass

        self.twins.each(forget)
        self._risks.clear()
        if steps == 1:
            self._reopen()

    def _note(self) -> None:
        name, value = f"name {self.chance.randrange(3)}", draw_bytes(self.chance, 50)
        self.twins.each(lambda store: store.meta_put(name, value))

    # ------------------------------------------------------------------------ what must not matter

    def _fail_to_write(self) -> None:
        tx = self.publish("eve")
        data = draw_bytes(self.chance, 100) + bytes([self.chance.randrange(256)])
        attempts: list[Callable[[Store], object]] = [
            lambda store: store.put_transactions([tx]),
            lambda store: store.meta_put("name", b"value"),
            lambda store: store.local.put_metrics(some_metrics(1, tasks=99)),
        ]
        if compute_content_hash(data) not in self._blobs:
            attempts.append(lambda store: store.put_blob(compute_content_hash(data), data))
        self.twins.each_is_full(self.chance.choice(attempts))
        # The place in eve's chain is free again.
        self._put([tx])

    def _reopen(self) -> None:
        self.twins.reopen(is_real=self.chance.random() < 0.05)

    def _clear_the_cache(self) -> None:
        self.twins.each(lambda store: store.rows.cache.clear())

    def _flush(self) -> None:
        # As rare as it is slow: every table is written to a file of its own.
        if self.chance.random() < 0.1:
            self.twins.each(lambda store: store.engine.flush())
            self.twins.each(lambda store: store.engine.compact(TASKS.name))

    def _ask(self) -> None:
        known = [*self._stored, *self._evidence, *self._blobs]
        known += [key for _, key in sorted(self.view.rows)]
        for _ in range(5):
            question = self._questions.draw(known, self.epoch)
            self._questions.learn(self.twins.each(question))

    def _flip(self) -> bool:
        return self.chance.random() < 0.5

    def _draw(self, known: Iterable[T]) -> T | None:
        """Return one of what is known; None if nothing is."""
        choices = list(known)
        return self.chance.choice(choices) if choices else None


STEPS_BY_WEIGHT: dict[Callable[[StoreProgram], None], int] = {
    StoreProgram._seal: 20,
    StoreProgram._act: 20,
    StoreProgram._ask: 20,
    StoreProgram._publish: 6,
    StoreProgram._register: 4,
    StoreProgram._put_again: 3,
    StoreProgram._take_a_taken_place: 2,
    StoreProgram._replace: 3,
    StoreProgram._bury: 3,
    StoreProgram._equivocate: 8,
    StoreProgram._drop_evidence: 8,
    StoreProgram._fail_to_seal: 2,
    StoreProgram._put_blob: 5,
    StoreProgram._delete_blob: 2,
    StoreProgram._think_of_an_answer: 12,
    StoreProgram._think_of_a_miner: 3,
    StoreProgram._think_of_the_network: 3,
    StoreProgram._forget_opinions: 1,
    StoreProgram._note: 2,
    StoreProgram._fail_to_write: 3,
    StoreProgram._reopen: 3,
    StoreProgram._clear_the_cache: 2,
    StoreProgram._flush: 1,
}


def live_through(seeds: range, folder: Path) -> None:
    """Live each seed's life on one pair of stores; the first that goes wrong ends it."""
    twins = TwinStores(folder, a_genesis())
    try:
        for seed in seeds:
            StoreProgram(twins, seed).live()
    finally:
        twins.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        pair = TwinStores(Path(folder), a_genesis())
        program = StoreProgram(pair, int(sys.argv[1]))
        try:
            program.live()
        finally:
            print("\n".join(program.trace))
