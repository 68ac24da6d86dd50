"""What may be sealed, written down a second time: the node's own checks are not asked.

It reads seals and transactions as bytes and holds them to the rules of the envelope, the chains and
the epochs. What the fold makes of them is compared elsewhere.
"""

import hashlib

from devnet.sim.witness import PropertyBroken, Witness
from node.state_manager import StateManager
from protocol.keys import is_valid_signature
from protocol.phases import SubmissionStatus, TaskStatus
from protocol.records import Submission, Task, Validation, VoteCommitment
from protocol.schema import encode_record
from protocol.seals import Seal, compute_seal_hash
from protocol.tables import SUBMISSIONS, TASKS, VALIDATIONS, VOTE_COMMITMENTS
from protocol.transactions import ANCHOR_BYTES, SignedTransaction
from storage.keys import prefix_end

ABSENT_EPOCHS = 5
"""Seals in a row without a sealer's vote: he is not just the last to sign."""
SIGNATURES_MAX = 8
"""Verified again in one run: the most expensive check, and the same for all."""


def check_history(state: StateManager, witness: Witness) -> None:
    """Check everything that a peer's seals took in.

    Raises:
        PropertyBroken: P1.
    """
    journal = state.store.journal
    next_seq: dict[bytes, int] = {}
    barred: dict[bytes, int] = {}
    verified = 0
    _check_votes(state, witness)
    for epoch in range(1, state.epoch + 1):
        ids = journal.sealed_ids(epoch)
        if ids != sorted(set(ids)):
            _fail("unsorted_seal", f"epoch {epoch}")
        sealed: list[SignedTransaction] = []
        for item in ids:
            tx = journal.get(item)
            if tx is not None:
                sealed.append(tx)
                continue
            place = journal.evidence_place(item)
            if place is None:
                _fail("unknown_item", f"epoch {epoch} {item.hex()[:16]}")
            else:
                barred[place[0]] = min(place[1], barred.get(place[0], place[1]))
        for tx in sorted(sealed, key=lambda tx: (tx.header.author, tx.header.seq)):
            _check_transaction(state, tx, epoch, next_seq, barred, witness)
            next_seq[tx.header.author] = tx.header.seq + 1
            if verified < SIGNATURES_MAX:
                verified += 1
                message = b"minesync/sig/1" + tx.tx_id
                if not is_valid_signature(tx.header.author, message, tx.signature):
                    _fail("bad_signature", tx.tx_id.hex()[:16])
    _check_answers(state)


def _check_votes(state: StateManager, witness: Witness) -> None:
    """Every seal has the signatures of more than two thirds of the sealers."""
    sealers, journal = state.genesis.sealers, state.store.journal
    absent = dict.fromkeys(sealers, 0)
    for epoch in range(1, state.epoch + 1):
        seal = Seal.from_bytes(journal.seal(epoch) or b"")
        voters = {vote.sealer for vote in seal.votes} & set(sealers)
        if 3 * len(voters) <= 2 * len(sealers):
            _fail("seal_without_quorum", f"epoch {epoch}: {len(voters)} of {len(sealers)}")
        if epoch == state.epoch:
            message = b"minesync/vote/1" + compute_seal_hash(state.network, seal.content)
            for vote in seal.votes:
                if not is_valid_signature(vote.sealer, message, vote.signature):
                    _fail("forged_vote", f"epoch {epoch}")
        for sealer in sealers:
            absent[sealer] = 0 if sealer in voters else absent[sealer] + 1
            if absent[sealer] == ABSENT_EPOCHS:
                witness.reach("seals go on without one of the sealers")


def _check_transaction(
    state: StateManager,
    tx: SignedTransaction,
    epoch: int,
    next_seq: dict[bytes, int],
    barred: dict[bytes, int],
    witness: Witness,
) -> None:
    header, journal = tx.header, state.store.journal
    name = f"epoch {epoch} {tx.tx_id.hex()[:16]}"
    if header.network != state.network:
        _fail("wrong_network", name)
    if not header.epoch <= epoch <= header.epoch + state.params.late_epochs:
        _fail("wrong_epoch", name)
    if header.epoch < epoch:
        witness.reach("a transaction is sealed late")
    if header.anchor != journal.seal_hash(header.epoch - 1)[:ANCHOR_BYTES]:
        _fail("wrong_anchor", name)
    if header.seq < next_seq.get(header.author, 0):
        _fail("seq_went_back", name)
    if header.author in barred and header.seq >= barred[header.author]:
        _fail("barred_author", name)
    if header.seq:
        below = journal.at(header.author, header.seq - 1)
        if below is None or below.tx_id != header.prev:
            _fail("broken_chain", name)


def _check_answers(state: StateManager) -> None:
    """No answer counts that was not committed to in time and shown in time, and none is copied."""
    view = state.store.view
    opened: dict[bytes, bytes] = {}
    answers: list[Submission] = [row for _, row in state.store.rows.scan(SUBMISSIONS)]
    for one in answers:
        task: Task | None = view.get(TASKS, one.task_id)
        if task is None and one.task_id == state.store.pruned.leaving:
            continue
        if task is None:
            _fail("answer_without_task", one.submission_id.hex()[:16])
            continue
        times = task.lifecycle
        if one.committed_at > times.submission_deadline:
            _fail("committed_too_late", one.submission_id.hex()[:16])
        if one.status is SubmissionStatus.PENDING or one.revealed_at is None:
            continue
        if not times.submission_deadline < one.revealed_at <= times.reveal_deadline:
            _fail("revealed_out_of_time", one.submission_id.hex()[:16])
        if opened.setdefault(one.commitment, one.miner) != one.miner:
            _fail("copied_commitment_opened", one.submission_id.hex()[:16])
        if len(task.participants) > task.terms.max_participants:
            _fail("too_many_answers", one.task_id.hex()[:16])
    _check_judgments(state)
    for _, row in state.store.rows.scan(TASKS):
        if row.status is TaskStatus.COMPLETED and not row.participants:
            _fail("completed_by_nobody", row.task_id.hex()[:16])


def _check_judgments(state: StateManager) -> None:
    """No judgment counts but what its author was bound to before any of them was shown."""
    rows, journal = state.store.rows, state.store.journal
    for key, vote in rows.scan(VALIDATIONS):
        name = vote.validation_id.hex()[:16]
        bound, shown = rows.get(VOTE_COMMITMENTS, key), journal.get(vote.validation_id)
        if bound is None or shown is None or shown.header.author != vote.validator:
            _fail("vote_of_nobody", name)
            continue
        if journal.sealed_epoch(bound.commit_tx) != bound.committed_at:
            _fail("vote_bound_at_another_time", name)
        if _find_last_bound(state, vote, bound) >= vote.voted_at:
            _fail("vote_shown_too_early", name)
        opening = encode_record(shown.payload)
        parts = (state.network, vote.validator, bytes([vote.round]), opening)
        if hashlib.sha256(b"minesync/vote/1" + b"".join(parts)).digest() != bound.commitment:
            _fail("vote_changed", name)


def _find_last_bound(state: StateManager, vote: Validation, bound: VoteCommitment) -> int:
    """Return when the last of a vote's panel was bound: a divided panel is followed by a second."""
    rows, first = state.store.rows, vote.submission_id
    span = (first, prefix_end(first))
    shown = min(one.voted_at for _, one in rows.scan(VALIDATIONS, *span) if one.round == vote.round)
    all_bound = [one for _, one in rows.scan(VOTE_COMMITMENTS, *span) if one.round == vote.round]
    task = rows.get(TASKS, vote.task_id)
    if task is not None and vote.round == task.lifecycle.round:
        panel_max = task.terms.required_reviewers + state.params.panel_spares
        if len(task.panel) <= panel_max and any(one.committed_at >= shown for one in all_bound):
            _fail("bound_too_late", vote.validation_id.hex()[:16])
    is_of_second = bound.committed_at >= shown
    return max(one.committed_at for one in all_bound if (one.committed_at >= shown) == is_of_second)


def _fail(code: str, text: str) -> None:
    raise PropertyBroken("P1", code, text)
