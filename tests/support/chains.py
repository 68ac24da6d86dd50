"""Signed chains of the cast and exchanges between states, for tests of the door and of sync."""

from collections.abc import Iterable, Sequence

from node.events import Broadcast
from node.state_manager import StateManager
from protocol.genesis import Genesis
from protocol.keys import Signer
from protocol.kinds.cancel_task import CANCEL_TASK, CancelTask
from protocol.kinds.publish_task import PUBLISH_TASK
from protocol.messages import unpack_ids
from protocol.seals import Seal
from protocol.transactions import (
    VERSION,
    Header,
    SignedTransaction,
    compute_task_id,
    sign_transaction,
)
from storage.store import Store
from tests.support.peers import a_genesis, a_signer, some_terms

GAPS_MAX = 64


def a_state(genesis: Genesis | None = None, store: Store | None = None) -> StateManager:
    """Return a state of the cast's network, in memory unless a store is given."""
    genesis = genesis or a_genesis()
    return StateManager(genesis, store or Store.in_memory(genesis), Broadcast())


def a_header(
    state: StateManager,
    signer: Signer,
    *,
    seq: int,
    prev: bytes | None,
    epoch: int | None = None,
    kind: int = PUBLISH_TASK.code,
    subject: bytes | None = None,
) -> Header:
    """Return a header dated by what `state` knows unless told otherwise."""
    dated = state.epoch + 1 if epoch is None else epoch
    return Header(
        version=VERSION,
        network=state.network,
        kind=kind,
        author=signer.address,
        seq=seq,
        prev=prev,
        epoch=dated,
        anchor=state.store.journal.seal_hash(min(dated - 1, state.epoch))[:16],
        subject=subject or compute_task_id(state.network, signer.address, seq),
        refs=(),
    )


def publish(
    state: StateManager,
    signer: Signer,
    *,
    seq: int = 0,
    prev: bytes | None = None,
    epoch: int | None = None,
    title: str = "A task",
) -> SignedTransaction:
    """Return a publication."""
    header = a_header(state, signer, seq=seq, prev=prev, epoch=epoch)
    return sign_transaction(header, some_terms(title=title), signer)


def cancel(
    state: StateManager,
    signer: Signer,
    *,
    seq: int = 0,
    prev: bytes | None = None,
    subject: bytes = bytes([9]) * 32,
) -> SignedTransaction:
    """Return a cancellation, which costs nothing; by default of a task that is not there."""
    code = CANCEL_TASK.code
    header = a_header(state, signer, seq=seq, prev=prev, kind=code, subject=subject)
    return sign_transaction(header, CancelTask("never mind"), signer)


def publish_chain(
    state: StateManager,
    signer: Signer,
    count: int,
    *,
    after: SignedTransaction | None = None,
    epoch: int | None = None,
) -> list[SignedTransaction]:
    """Return publications that follow one another."""
    chain: list[SignedTransaction] = []
    for _ in range(count):
        last = chain[-1] if chain else after
        seq, prev = (0, None) if last is None else (last.header.seq + 1, last.tx_id)
        title = f"Task {seq}"
        chain.append(publish(state, signer, seq=seq, prev=prev, epoch=epoch, title=title))
    return chain


def seal(state: StateManager) -> tuple[Seal, list[bytes]]:
    """End an epoch; return the seal and what it takes in."""
    sealed = state.seal(a_signer("alice"), 0)
    return Seal.from_bytes(sealed.seal), unpack_ids(sealed.ids or b"")


def wires_of(state: StateManager, ids: Iterable[bytes]) -> list[SignedTransaction]:
    """Return what is stored of transactions, as it would arrive elsewhere."""
    wires = (state.store.journal.wire(item) for item in ids)
    return [state.intake.read(wire) for wire in wires if wire is not None]


def proofs_of(state: StateManager, ids: Iterable[bytes]) -> list[bytes]:
    """Return what is stored of evidence."""
    proofs = (state.store.journal.evidence_proof(item) for item in ids)
    return [proof for proof in proofs if proof is not None]


def read_chain(
    state: StateManager, author: bytes, first: int, last: int
) -> list[SignedTransaction]:
    """Return what is stored of a chain from `last` downwards."""
    run: list[SignedTransaction] = []
    for seq in range(last, first - 1, -1):
        tx = state.store.journal.at(author, seq)
        if tx is None:
            break
        run.append(tx)
    return run


def apply_from(
    taker: StateManager, giver: StateManager, sealed: Seal, ids: Sequence[bytes]
) -> None:
    """Apply a seal, taking what lacks from `giver`."""
    for _ in range(1 + len(ids) + GAPS_MAX):
        result = taker.apply_seal(sealed, ids)
        if result.applied:
            return
        taker.store_for_seal(wires_of(giver, result.missing))
        for proof in proofs_of(giver, result.missing):
            taker.take_evidence(proof, for_seal=True)
        for gap in result.gaps:
            taker.store_for_seal(read_chain(giver, gap.author, gap.first, gap.last))
    raise AssertionError("a seal that cannot be applied")


def exchange(taker: StateManager, giver: StateManager) -> None:
    """Let `taker` learn what `giver` has, as a conversation does."""
    for epoch in range(taker.epoch + 1, giver.epoch + 1):
        data = giver.store.journal.seal(epoch)
        assert data is not None
        apply_from(taker, giver, Seal.from_bytes(data), giver.store.journal.sealed_ids(epoch))
    if taker.epoch == giver.epoch:
        there = {*giver.open.transactions, *giver.open.evidence}
        here = {*taker.open.transactions, *taker.open.evidence}
        lacking = sorted(there - here)
        taker.accept(wires_of(giver, lacking), None)
        for proof in proofs_of(giver, lacking):
            taker.take_evidence(proof)
    for gap in taker.open.find_gaps(GAPS_MAX):
        taker.accept(read_chain(giver, gap.author, gap.first, gap.last), None)
