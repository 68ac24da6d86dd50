"""answer_*: what miners committed to, revealed, and were told it is worth."""

import itertools
from typing import Any

from node.peer import Peer
from node.rpc.errors import not_found
from node.rpc.method import CURSOR, LIMIT, Method, Param, read_id
from node.rpc.pages import build_table_page, show_as_of
from node.rpc.views import Vote, show_data, show_submission, show_vote
from protocol.kinds.reveal_answer import REVEAL_ANSWER
from protocol.records import Submission
from protocol.tables import SUBMISSIONS, VALIDATIONS, VOTE_COMMITMENTS, Table
from protocol.view import RowReader
from storage.keys import prefix_end
from storage.queries import Page


def get_answer(peer: Peer, *, submission_id: bytes) -> dict[str, Any]:
    """Return one answer with its content, as far as it was shown, and the votes on it."""
    state = peer.state
    submission = state.open.get(SUBMISSIONS, submission_id)
    if submission is None:
        raise not_found("no_such_answer", submission_id)
    shown = show_submission(submission, state.store.view.get(SUBMISSIONS, submission_id))
    shown["content"] = show_data(read_content(peer, submission))
    shown["validations"] = show_votes(peer, submission)
    shown["as_of"] = show_as_of(state)
    return shown


def show_votes(peer: Peer, submission: Submission) -> list[dict[str, Any]]:
    """Return the votes on an answer, those of all rounds; of hidden ones, that there are some."""
    state, first = peer.state, submission.submission_id
    keys: set[bytes] = set()
    tables: tuple[Table[Any], ...] = (VOTE_COMMITMENTS, VALIDATIONS)
    for table in tables:
        keys.update(key for key, _ in state.store.rows.scan(table, first, prefix_end(first)))
        keys.update(key for key in state.open.rows(table) if key.startswith(first))
    return [
        show_vote(*(_read_vote(view, key) for view in (state.open, state.store.view)))
        for key in sorted(keys)
    ]


def _read_vote(rows: RowReader, key: bytes) -> Vote:
    return Vote(rows.get(VOTE_COMMITMENTS, key), rows.get(VALIDATIONS, key))


def list_answers(
    peer: Peer, *, task_id: bytes | None, miner: bytes | None, limit: int, cursor: str
) -> dict[str, Any]:
    """Return the answers to a task, of a miner, or all there are."""
    queries = peer.state.store.queries

    def is_wanted(submission: Submission) -> bool:
        return task_id in (None, submission.task_id) and miner in (None, submission.miner)

    def read_sealed(items: int, place: bytes | None) -> Page[Submission]:
        if task_id is not None:
            return queries.submissions_of_task(task_id, items, place)
        if miner is not None:
            return queries.submissions_of_miner(miner, items, place)
        return _read_all(peer, items, place)

    return build_table_page(
        peer.state,
        SUBMISSIONS,
        limit=limit,
        cursor=cursor,
        get_key=lambda submission: submission.submission_id,
        compute_order=lambda submission: (submission.committed_at, submission.submission_id),
        is_wanted=is_wanted,
        read_sealed=read_sealed,
        show=show_submission,
    )


def _read_all(peer: Peer, items: int, place: bytes | None) -> Page[Submission]:
    """Return a page of all sealed answers, by id."""
    lower = b"" if place is None else place + b"\x00"
    scan = peer.state.store.rows.scan(SUBMISSIONS, lower)
    rows = list(itertools.islice(scan, items + 1))
    cursor = rows[items - 1][0] if len(rows) > items else None
    return Page(tuple(row for _, row in rows[:items]), cursor)


def read_content(peer: Peer, submission: Submission) -> bytes | None:
    """Return what an answer says, None until it is revealed and known here."""
    journal = peer.state.store.journal
    if submission.reveal_tx is None:
        return None
    tx = journal.get(submission.reveal_tx)
    if tx is not None and tx.header.kind == REVEAL_ANSWER.code and tx.payload.content is not None:
        content: bytes = tx.payload.content
        return content
    return None if submission.content_hash is None else journal.blob(submission.content_hash)


METHODS = (
    Method(
        "answer_get",
        get_answer,
        "One answer with its content and the votes on it.",
        (Param("submission_id", read_id, "id of an answer"),),
    ),
    Method(
        "answer_list",
        list_answers,
        "The answers to a task, of a miner, or all.",
        (
            Param("task_id", read_id, "id of a task", None),
            Param("miner", read_id, "address of a miner", None),
            LIMIT,
            CURSOR,
        ),
    ),
)
