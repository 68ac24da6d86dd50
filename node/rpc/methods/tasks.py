"""task_*: put work on offer, follow it, call it off."""

from typing import Any

from node.peer import Peer
from node.rpc.errors import NOT_FOUND, RpcFault, not_found
from node.rpc.method import (
    CURSOR,
    LIMIT,
    Method,
    Param,
    bad_param,
    read_bytes,
    read_id,
    read_object,
    read_text,
)
from node.rpc.methods.answers import list_answers, show_votes
from node.rpc.pages import build_table_page, show_as_of
from node.rpc.terms import read_terms
from node.rpc.views import show_distribution, show_submission, show_task, show_task_briefly
from protocol import kinds
from protocol.fees import compute_publish_fee
from protocol.hashing import compute_content_hash
from protocol.kinds.cancel_task import CancelTask
from protocol.phases import TaskStatus, get_label
from protocol.records import Task
from protocol.tables import ACCOUNTS, REWARDS, SUBMISSIONS, TASKS, reward_key
from protocol.task_types import BLOB_BYTES_MAX, TaskTerms
from storage.queries import Page

REASON_CHARACTERS_MAX = 256
ENVELOPE_BYTES = 256
"""A header and its framing: what an estimate adds to the terms themselves."""

_STATUSES = {get_label(status).replace("_", ""): status for status in TaskStatus}


async def publish(
    peer: Peer, *, terms: dict[str, Any], data: bytes | None, data_hash: bytes | None
) -> dict[str, Any]:
    """Sign and store a publication; its input is stored first, so that nobody asks in vain."""
    typed = _read_offer(peer, terms, data, data_hash)
    author = peer.require_author()
    if data:
        peer.state.store.put_blob(typed.data_hash, data)
    tx = await author.submit(kinds.BY_NAME["publish_task"].name, typed)
    return {"task_id": tx.header.subject.hex(), "tx_id": tx.tx_id.hex()}


def estimate(
    peer: Peer, *, terms: dict[str, Any], data: bytes | None, data_hash: bytes | None
) -> dict[str, Any]:
    """Return what a publication would cost; nothing is signed."""
    typed = _read_offer(peer, terms, data, data_hash)
    author = peer.require_author()
    size = ENVELOPE_BYTES + len(typed.title) + len(typed.description) + typed.data_bytes
    fee = compute_publish_fee(peer.state.params, typed.difficulty, size, typed.reward)
    account = peer.state.open.get(ACCOUNTS, author.address)
    sealed = peer.state.store.view.get(ACCOUNTS, author.address)
    return {
        "fee": str(fee),
        "reward": str(typed.reward),
        "total": str(fee + typed.reward),
        "balance": str(account.balance if account else 0),
        "provisional": account != sealed,
    }


def get_task(peer: Peer, *, task_id: bytes) -> dict[str, Any]:
    """Return one task with its answers, votes and rewards."""
    state = peer.state
    task = require_task(peer, task_id)
    shown = show_task(task, state.store.view.get(TASKS, task_id))
    shown["submissions"] = [_show_judged(peer, one.submission_id) for one in task.participants]
    shown["rewards"] = []
    for round_ in range(task.lifecycle.round + 1):
        key = reward_key(task_id, round_)
        distribution = state.open.get(REWARDS, key)
        if distribution is not None:
            sealed = state.store.view.get(REWARDS, key)
            shown["rewards"].append(show_distribution(distribution, sealed))
    shown["has_data"] = task.terms.data_bytes == 0 or state.store.journal.has_blob(
        task.terms.data_hash
    )
    shown["as_of"] = show_as_of(state)
    return shown


def list_tasks(
    peer: Peer,
    *,
    status: TaskStatus | None,
    publisher: bytes | None,
    limit: int,
    cursor: str,
) -> dict[str, Any]:
    """Return tasks, the latest first."""
    state = peer.state
    queries = state.store.queries

    def is_wanted(task: Task) -> bool:
        return status in (None, task.status) and publisher in (None, task.publisher)

    def read_sealed(items: int, place: bytes | None) -> Page[Task]:
        if publisher is not None:
            return queries.tasks_by_publisher(publisher, items, place)
        if status is not None:
            return queries.tasks_by_status(status, items, place)
        return queries.tasks(items, place)

    return build_table_page(
        state,
        TASKS,
        limit=limit,
        cursor=cursor,
        get_key=lambda task: task.task_id,
        compute_order=lambda task: (-task.lifecycle.published_at, task.task_id),
        is_wanted=is_wanted,
        read_sealed=read_sealed,
        show=show_task_briefly,
    )


async def cancel(peer: Peer, *, task_id: bytes, reason: str) -> dict[str, Any]:
    """Call off a task that nobody has taken up."""
    author = peer.require_author()
    tx = await author.submit("cancel_task", CancelTask(reason), subject=task_id)
    return {"tx_id": tx.tx_id.hex()}


def list_task_answers(peer: Peer, *, task_id: bytes, limit: int, cursor: str) -> dict[str, Any]:
    """Return the answers to a task."""
    require_task(peer, task_id)
    return list_answers(peer, task_id=task_id, miner=None, limit=limit, cursor=cursor)


def require_task(peer: Peer, task_id: bytes) -> Task:
    """Return a task as the next seal would leave it.

    Raises:
        RpcFault: `no_such_task`; `task_pruned` for one that clean-up dropped here.
    """
    task = peer.state.open.get(TASKS, task_id)
    if task is None:
        closed = peer.state.store.view.closed_at(task_id)
        if closed is not None:
            found = f"{task_id.hex()}, closed in epoch {closed}"
            raise RpcFault(NOT_FOUND, "task_pruned", found, "a task that clean-up left here")
        raise not_found("no_such_task", task_id)
    return task


def _read_offer(
    peer: Peer, terms: dict[str, Any], data: bytes | None, data_hash: bytes | None
) -> TaskTerms:
    if (data is None) == (data_hash is None):
        raise bad_param("data", "neither or both", "either data or data_hash")
    size = len(data or b"")
    if data_hash is not None:
        blob = peer.state.store.journal.blob(data_hash)
        if blob is None:
            raise not_found("no_such_blob", data_hash)
        size = len(blob)
    content_hash = compute_content_hash(data) if data is not None else data_hash
    return read_terms(terms, peer.state.params, content_hash or b"", size)


def _show_judged(peer: Peer, submission_id: bytes) -> dict[str, Any]:
    submission = peer.state.open.get(SUBMISSIONS, submission_id)
    if submission is None:
        raise not_found("no_such_answer", submission_id)
    sealed = peer.state.store.view.get(SUBMISSIONS, submission_id)
    return {**show_submission(submission, sealed), "validations": show_votes(peer, submission)}


def _read_status(name: str, value: Any) -> TaskStatus:
    word = value.lower().replace("_", "").replace(" ", "") if isinstance(value, str) else ""
    if word not in _STATUSES:
        known = " or ".join(get_label(status) for status in TaskStatus)
        raise bad_param(name, str(value)[:40], known)
    return _STATUSES[word]


_TERMS = Param("terms", read_object, "object: title, description, reward, task_type, ...")
_DATA = Param("data", read_bytes(BLOB_BYTES_MAX), "input of the task, hex", None)
_DATA_HASH = Param("data_hash", read_id, "hash of an input that is stored already", None)
_TASK_ID = Param("task_id", read_id, "id of a task")

METHODS = (
    Method("task_publish", publish, "Put a task on offer.", (_TERMS, _DATA, _DATA_HASH)),
    Method("task_estimate", estimate, "What that would cost.", (_TERMS, _DATA, _DATA_HASH)),
    Method("task_get", get_task, "One task with answers, votes and rewards.", (_TASK_ID,)),
    Method(
        "task_list",
        list_tasks,
        "Tasks, the latest first.",
        (
            Param("status", _read_status, "a status such as published", None),
            Param("publisher", read_id, "address of a publisher", None),
            LIMIT,
            CURSOR,
        ),
    ),
    Method(
        "task_cancel",
        cancel,
        "Call off a task that nobody has taken up.",
        (_TASK_ID, Param("reason", read_text(REASON_CHARACTERS_MAX), "text", "")),
    ),
    Method("task_answers", list_task_answers, "The answers to a task.", (_TASK_ID, LIMIT, CURSOR)),
)
