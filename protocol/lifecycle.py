"""What the kinds share: reading a task's rows, checking who and when, moving a task on."""

from dataclasses import replace

from protocol.book import Book, Pot, Refused
from protocol.closing import compute_archive_epochs
from protocol.consensus import compute_weight
from protocol.params import Params
from protocol.phases import MinerStatus, TaskStatus, Trigger, require_move
from protocol.records import TRANSITIONS_MAX, Miner, Submission, Task, Transition
from protocol.tables import ACCOUNTS, MINERS, SUBMISSIONS, TASKS
from protocol.view import RowReader, StateView


def require_task(book: Book, task_id: bytes) -> Task:
    """Return a task.

    Raises:
        Refused: `no_such_task`.
    """
    return book.require(TASKS, task_id, "no_such_task")


def require_status(task: Task, *allowed: TaskStatus) -> None:
    """Check the phase of a task.

    Raises:
        Refused: `wrong_phase`, naming the transaction that caused the last move.
    """
    if task.status not in allowed:
        wanted = " or ".join(status.name.lower() for status in allowed)
        history = task.lifecycle.transitions
        cause = history[-1].tx if history else task.publish_tx
        raise Refused("wrong_phase", task.status.name.lower(), wanted, cause)


def require_before(epoch: int, deadline: int) -> None:
    """Check a deadline; the epoch of the deadline itself is still in time.

    Raises:
        Refused: `deadline_passed`.
    """
    if epoch > deadline:
        raise Refused("deadline_passed", f"epoch {epoch}", f"at most {deadline}")


def find_archived(view: StateView, params: Params, subject: bytes, epoch: int) -> Refused | None:
    """Return why transactions about a subject are refused in an epoch, if it is archived.

    Args:
        view: the state as the last seal left it.
        params: the numbers of the network.
        subject: of the transactions; what is no task is never archived.
        epoch: the one that takes them in.
    """
    closed = view.closed_at(subject)
    if closed is None or epoch <= closed + compute_archive_epochs(params):
        return None
    wanted = f"at most {compute_archive_epochs(params)} epochs after that"
    return Refused("task_archived", f"closed in epoch {closed}", wanted)


def is_taking_part(miner: Miner) -> bool:
    """Tell whether a miner may act; one who merely slept wakes by acting."""
    return miner.status in (MinerStatus.ACTIVE, MinerStatus.INACTIVE, MinerStatus.DORMANT)


def is_barred(rows: RowReader, author: bytes) -> bool:
    """Tell whether evidence bars an author for good: nothing he signs will be sealed again."""
    account = rows.get(ACCOUNTS, author)
    return account is not None and account.barred_from is not None


def is_lost(book: Book, author: bytes) -> bool:
    """Tell whether an author will never claim anything: he is barred, or is caught just now."""
    return author in book.caught or is_barred(book.sealed, author)


def require_miner(book: Book, address: bytes, role: int, specialization: str | None) -> Miner:
    """Return the sealed row of an active miner who has the role and the specialisation.

    Raises:
        Refused: `not_registered`, `not_active`, `wrong_role` or `not_specialized`.
    """
    miner = book.sealed.get(MINERS, address)
    if miner is None:
        raise Refused("not_registered", address.hex()[:16], "a miner registered at the last seal")
    if not is_taking_part(miner):
        raise Refused("not_active", miner.status.name.lower(), "an active miner")
    if not miner.roles & role:
        raise Refused("wrong_role", miner.roles, f"a miner with role {role}")
    if specialization is not None and specialization not in miner.specializations:
        raise Refused("not_specialized", " ".join(miner.specializations), specialization)
    return miner


def require_submission(book: Book, task: Task, submission_id: bytes) -> Submission:
    """Return a submission of the task.

    Raises:
        Refused: `no_such_answer`.
    """
    submission = book.require(SUBMISSIONS, submission_id, "no_such_answer")
    if submission.task_id != task.task_id:
        raise Refused("no_such_answer", submission_id.hex()[:16], "an answer to this task")
    return submission


def compute_vote_weight(book: Book, miner: Miner) -> int:
    """Return the weight of a validator's vote, from what the last seal says of him."""
    idle = max(0, book.epoch - miner.last_active)
    return compute_weight(miner.reputation.score, idle, book.params.epochs_per_day)


def move_task(
    task: Task, to_status: TaskStatus, trigger: Trigger, epoch: int, tx: bytes | None
) -> Task:
    """Return the task moved to another phase, the move in its history.

    Raises:
        Rejected: `wrong_phase`, when the table of moves has no such move.
    """
    require_move(task.status, to_status, trigger)
    step = Transition(task.status, to_status, epoch, trigger, tx)
    history = (*task.lifecycle.transitions, step)[-TRANSITIONS_MAX:]
    return replace(task, status=to_status, lifecycle=replace(task.lifecycle, transitions=history))


def refund_task(book: Book, task: Task) -> Task:
    """Return the task with all that its escrow still holds paid back to the publisher."""
    pool = task.pool
    book.pay(Pot.ESCROW, task.publisher, pool.escrowed)
    return replace(task, pool=replace(pool, escrowed=0, refunded=pool.refunded + pool.escrowed))
