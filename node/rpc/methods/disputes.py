"""dispute_*: object to what became of a task, judge, appeal, and follow it."""

from collections.abc import Sequence
from typing import Any

from node.peer import Peer
from node.rpc.dispute_views import show_dispute, show_dispute_briefly
from node.rpc.errors import not_found
from node.rpc.method import (
    CURSOR,
    LIMIT,
    Method,
    Param,
    bad_param,
    read_amount,
    read_bytes,
    read_choice,
    read_id,
    read_int,
    read_list,
    read_member,
    read_object,
    read_text,
)
from node.rpc.methods.tasks import require_task
from node.rpc.pages import build_table_page, show_as_of
from node.rpc.views import show_data
from protocol.dispute_records import (
    EVIDENCE_EACH_MAX,
    NAMED_MAX,
    REASON_BYTES_MAX,
    Choice,
    DisputeCase,
    DisputeType,
    EvidenceType,
)
from protocol.fees import compute_bond_min
from protocol.hashing import compute_content_hash
from protocol.kinds.add_evidence import AddEvidence
from protocol.kinds.appeal_dispute import AppealDispute
from protocol.kinds.open_dispute import Exhibit, OpenDispute
from protocol.kinds.vote_dispute import VoteDispute
from protocol.kinds.withdraw_dispute import WithdrawDispute
from protocol.params import SCALE
from protocol.phases import OPEN_DISPUTES, DisputeStatus
from protocol.tables import DISPUTES, dispute_key
from protocol.task_types import BLOB_BYTES_MAX
from storage.queries import Page

REASONING_CHARACTERS_MAX = 2_048

_ALL, _OPEN = "all", "open"

_read_data = read_bytes(BLOB_BYTES_MAX)
_read_evidence_type = read_member(EvidenceType)


async def open_dispute(
    peer: Peer,
    *,
    task_id: bytes,
    type: DisputeType,
    evidence: list[dict[str, Any]],
    submission_id: bytes | None,
    reason: str,
    bond: int | None,
) -> dict[str, Any]:
    """Object to a task; its evidence is stored first, so that nobody asks in vain."""
    task = require_task(peer, task_id)
    exhibits = tuple(
        _store_exhibit(peer, f"evidence[{place}]", one) for place, one in enumerate(evidence)
    )
    least = compute_bond_min(task.terms.reward)
    payload = OpenDispute(type, submission_id, exhibits, reason, least if bond is None else bond)
    tx = await peer.require_author().submit("open_dispute", payload, subject=task_id)
    return {"dispute_id": tx.tx_id.hex(), "tx_id": tx.tx_id.hex(), "bond": str(payload.bond)}


async def add_evidence(
    peer: Peer, *, dispute_id: bytes, evidence: dict[str, Any]
) -> dict[str, Any]:
    """Add an item to the file of a dispute."""
    case = require_dispute(peer, dispute_id)
    one = _store_exhibit(peer, "evidence", evidence)
    payload = AddEvidence(dispute_id, one.type, one.content_hash)
    tx = await peer.require_author().submit("add_evidence", payload, subject=case.task_id)
    return {"tx_id": tx.tx_id.hex(), "content_hash": one.content_hash.hex()}


async def vote(
    peer: Peer,
    *,
    dispute_id: bytes,
    choice: Choice,
    share: int,
    submissions: Sequence[bytes],
    validators: Sequence[bytes],
    reasoning: str,
) -> dict[str, Any]:
    """Vote as an arbiter in the present hearing."""
    case = require_dispute(peer, dispute_id)
    payload = VoteDispute(
        dispute_id=dispute_id,
        hearing=case.hearing,
        choice=choice,
        share=share,
        submissions=tuple(sorted(set(submissions))),
        validators=tuple(sorted(set(validators))),
        reasoning=reasoning,
    )
    tx = await peer.require_author().submit("vote_dispute", payload, subject=case.task_id)
    return {"tx_id": tx.tx_id.hex(), "hearing": case.hearing}


async def appeal(
    peer: Peer, *, dispute_id: bytes, reason: str, data: bytes | None, deposit: int | None
) -> dict[str, Any]:
    """Ask another panel to look at a judgment."""
    case = require_dispute(peer, dispute_id)
    task = require_task(peer, case.task_id)
    least = compute_bond_min(task.terms.reward)
    payload = AppealDispute(
        dispute_id=dispute_id,
        hearing=case.hearing,
        reason=reason,
        evidence=None if data is None else _store(peer, data),
        deposit=least if deposit is None else deposit,
    )
    tx = await peer.require_author().submit("appeal_dispute", payload, subject=case.task_id)
    return {"tx_id": tx.tx_id.hex(), "deposit": str(payload.deposit)}


async def withdraw(peer: Peer, *, dispute_id: bytes) -> dict[str, Any]:
    """Take a dispute back before a panel has it; half of the bond is lost."""
    case = require_dispute(peer, dispute_id)
    payload = WithdrawDispute(dispute_id)
    tx = await peer.require_author().submit("withdraw_dispute", payload, subject=case.task_id)
    return {"tx_id": tx.tx_id.hex()}


def get_dispute(peer: Peer, *, dispute_id: bytes) -> dict[str, Any]:
    """Return one dispute with its file; what this node has of the evidence is in it."""
    state = peer.state
    case = require_dispute(peer, dispute_id)
    key = dispute_key(case.task_id, case.round)
    shown = show_dispute(case, state.store.view.get(DISPUTES, key))
    for item, one in zip(shown["evidence"], case.evidence, strict=True):
        item["data"] = show_data(state.store.journal.blob(one.content_hash))
    return {**shown, "as_of": show_as_of(state)}


def list_disputes(
    peer: Peer,
    *,
    task_id: bytes | None,
    status: DisputeStatus | None,
    which: str,
    limit: int,
    cursor: str,
) -> dict[str, Any]:
    """Return disputes, the latest first; those that await a judgment oldest first."""
    queries = peer.state.store.queries

    def is_wanted(case: DisputeCase) -> bool:
        is_open = case.status in OPEN_DISPUTES
        return (
            task_id in (None, case.task_id)
            and status in (None, case.status)
            and (is_open or which == _ALL)
        )

    def read_sealed(items: int, place: bytes | None) -> Page[DisputeCase]:
        if task_id is not None:
            return queries.disputes_of_task(task_id, items, place)
        if which == _OPEN:
            return queries.disputes_pending(items, place)
        return queries.disputes(items, place)

    return build_table_page(
        peer.state,
        DISPUTES,
        limit=limit,
        cursor=cursor,
        get_key=lambda case: dispute_key(case.task_id, case.round),
        compute_order=lambda case: (-case.opened_at, case.dispute_id),
        is_wanted=is_wanted,
        read_sealed=read_sealed,
        show=show_dispute_briefly,
    )


def require_dispute(peer: Peer, dispute_id: bytes) -> DisputeCase:
    """Return a dispute as the next seal would leave it.

    Raises:
        RpcFault: `no_such_dispute`.
    """
    state = peer.state
    for case in state.open.rows(DISPUTES).values():
        if case.dispute_id == dispute_id:
            return case
    sealed = state.store.queries.dispute(dispute_id)
    if sealed is None:
        raise not_found("no_such_dispute", dispute_id)
    return sealed


def _store_exhibit(peer: Peer, name: str, given: dict[str, Any]) -> Exhibit:
    """Return an item of evidence; content that comes with it is stored."""
    unknown = sorted(set(given) - {"type", "data", "content_hash"})
    data, content_hash = given.get("data"), given.get("content_hash")
    if unknown or (data is None) == (content_hash is None):
        raise bad_param(name, unknown[0] if unknown else "another", "type, data or content_hash")
    type_ = _read_evidence_type(f"{name}.type", given.get("type", "technical_analysis"))
    if data is not None:
        return Exhibit(type_, _store(peer, _read_data(f"{name}.data", data)))
    return Exhibit(type_, read_id(f"{name}.content_hash", content_hash))


def _store(peer: Peer, data: bytes) -> bytes:
    content_hash = compute_content_hash(data)
    peer.state.store.put_blob(content_hash, data)
    return content_hash


_DISPUTE_ID = Param("dispute_id", read_id, "id of a dispute")
_REASON = Param("reason", read_text(REASON_BYTES_MAX), "text", "")
_NAMED = read_list(read_id, NAMED_MAX)

METHODS = (
    Method(
        "dispute_open",
        open_dispute,
        "Object to what became of a task.",
        (
            Param("task_id", read_id, "id of a task"),
            Param("type", read_member(DisputeType), "a type such as quality_assessment"),
            Param(
                "evidence",
                read_list(read_object, EVIDENCE_EACH_MAX),
                "list of objects: type, and data in hex or content_hash",
            ),
            Param("submission_id", read_id, "id of an answer; else the whole task", None),
            _REASON,
            Param("bond", read_amount, "nano-units; the least by default", None),
        ),
    ),
    Method("dispute_get", get_dispute, "One dispute with its file.", (_DISPUTE_ID,)),
    Method(
        "dispute_list",
        list_disputes,
        "Disputes, the latest first.",
        (
            Param("task_id", read_id, "id of a task", None),
            Param("status", read_member(DisputeStatus), "a status such as under_review", None),
            Param("which", read_choice(_ALL, _OPEN), "open for those that await a judgment", _ALL),
            LIMIT,
            CURSOR,
        ),
    ),
    Method(
        "dispute_evidence",
        add_evidence,
        "Add to the file of a dispute.",
        (
            _DISPUTE_ID,
            Param("evidence", read_object, "object: type, and data in hex or content_hash"),
        ),
    ),
    Method(
        "dispute_vote",
        vote,
        "Vote as an arbiter.",
        (
            _DISPUTE_ID,
            Param("choice", read_member(Choice), "a choice such as uphold"),
            Param("share", read_int(0, SCALE - 1), "basis points that go back; to split", 0),
            Param("submissions", _NAMED, "ids of guilty answers", ()),
            Param("validators", _NAMED, "addresses of guilty validators", ()),
            Param("reasoning", read_text(REASONING_CHARACTERS_MAX), "text", ""),
        ),
    ),
    Method(
        "dispute_appeal",
        appeal,
        "Ask another panel.",
        (
            _DISPUTE_ID,
            _REASON,
            Param("data", _read_data, "new evidence, hex", None),
            Param("deposit", read_amount, "nano-units; the least by default", None),
        ),
    ),
    Method("dispute_withdraw", withdraw, "Take a dispute back.", (_DISPUTE_ID,)),
)
