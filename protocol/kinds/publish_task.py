"""publish_task: a task is put on offer, its reward in escrow."""

from typing import Any

from protocol.book import Book, Pot, Refused
from protocol.errors import Rejected
from protocol.fees import compute_publish_fee, is_reward_in_range, split_fee
from protocol.kind import Kind, Stage
from protocol.panel import require_judges
from protocol.params import Params
from protocol.phases import TaskStatus
from protocol.records import Lifecycle, RewardPool, Task
from protocol.tables import TASKS
from protocol.task_types import TaskTerms, check_terms
from protocol.transactions import Header, SignedTransaction, compute_task_id


def _check(header: Header, payload: Any) -> None:
    if header.subject != compute_task_id(header.network, header.author, header.seq):
        raise Rejected("wrong_subject", header.subject.hex()[:16], "the task id of author and seq")
    check_terms(payload)


def _compute_fee(tx: SignedTransaction, params: Params) -> int:
    terms: TaskTerms = tx.payload
    size = len(tx.body) + terms.data_bytes
    return compute_publish_fee(params, terms.difficulty, size, terms.reward)


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return int(tx.payload.reward) + _compute_fee(tx, params)


def _apply(book: Book, tx: SignedTransaction) -> None:
    terms: TaskTerms = tx.payload
    params = book.params
    _check_against_params(terms, params)
    # Less than the least nobody can ask for: there whoever answers looks who could judge.
    if terms.required_reviewers > params.reviewers_min:
        require_judges(book, terms.required_reviewers, {tx.header.author})
    treasury, burned = split_fee(_compute_fee(tx, params), params)
    book.pay(tx.header.author, Pot.ESCROW, terms.reward)
    book.pay(tx.header.author, Pot.TREASURY, treasury)
    book.pay(tx.header.author, Pot.BURNED, burned)
    submission = book.epoch + terms.submission_epochs
    reveal = submission + params.compute_reveal_epochs(terms.submission_epochs)
    validation = reveal + params.validation_epochs
    task_id = tx.header.subject
    book.put(
        TASKS,
        task_id,
        Task(
            task_id=task_id,
            publisher=tx.header.author,
            publish_tx=tx.tx_id,
            terms=terms,
            status=TaskStatus.PUBLISHED,
            lifecycle=Lifecycle(
                published_at=book.epoch,
                submission_deadline=submission,
                reveal_deadline=reveal,
                validation_deadline=validation,
                finalize_deadline=validation + params.finalize_epochs,
                completed_at=None,
                dispute_deadline=None,
                round=0,
                transitions=(),
            ),
            participants=(),
            panel=(),
            pool=RewardPool(terms.reward, terms.reward, 0, 0),
            winner=None,
            settled=False,
        ),
    )


def _check_against_params(terms: TaskTerms, params: Params) -> None:
    level = terms.difficulty
    least, most = params.reward_min[level], params.reward_max[level]
    if not is_reward_in_range(params, level, terms.reward):
        wanted = f"{least} to {most} nano for {level.name.lower()}"
        raise Refused("reward_out_of_range", f"{terms.reward} nano", wanted)
    shortest, longest = params.submission_epochs_min, params.submission_epochs_max
    if not shortest <= terms.submission_epochs <= longest:
        raise Refused("window_out_of_range", terms.submission_epochs, f"{shortest}..{longest}")
    if terms.stake_required < params.stake_min[level]:
        raise Refused(
            "stake_too_small", terms.stake_required, f"at least {params.stake_min[level]}"
        )
    if terms.required_reviewers < params.reviewers_min:
        raise Refused("too_few_reviewers", terms.required_reviewers, params.reviewers_min)
    if terms.consensus_threshold < params.consensus_threshold_min:
        raise Refused(
            "threshold_too_low", terms.consensus_threshold, params.consensus_threshold_min
        )


PUBLISH_TASK = Kind(0, "publish_task", Stage.PUBLISH, TaskTerms, _check, _compute_debit, _apply)
