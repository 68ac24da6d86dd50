"""A task as a worker is told of it: its terms and its input, as text."""

from node.state_manager import StateManager
from node.workers.fields import BadField, Value
from node.workers.messages import Assignment
from protocol.records import Task
from protocol.task_types import TaskType, get_type_slug

SEED_BITS = 53
"""What every JSON reader keeps exact."""


class Unbriefable(Exception):
    """A task that no worker can be told of: its input is no text."""


def compute_seed(task_id: bytes) -> int:
    """Return the seed of a task: the same for everybody who works on it."""
    return int.from_bytes(task_id[:8], "big") % (1 << SEED_BITS)


def build_assignment(state: StateManager, task: Task) -> Assignment | None:
    """Return what a worker is told of a task; None while its input has not arrived.

    Raises:
        Unbriefable: the input is no text, or the terms hold what a line cannot.
    """
    terms = task.terms
    data: bytes | None = b""
    if terms.data_bytes:
        data = state.store.journal.blob(terms.data_hash)
    if data is None:
        return None
    try:
        return Assignment(
            kind=get_type_slug(terms.task_type),
            params=_list_params(terms.task_type),
            input=data.decode("utf-8"),
            title=terms.title,
            description=terms.description,
            requirements=terms.submission_requirements,
            seed=compute_seed(task.task_id),
        )
    except (UnicodeDecodeError, BadField) as error:
        raise Unbriefable(str(error)) from error


def _list_params(task_type: TaskType) -> dict[str, Value]:
    """Return the fields of a task type; enumerations by their numbers."""
    params: dict[str, Value] = {}
    for name in task_type.__dataclass_fields__:
        value = getattr(task_type, name)
        params[name] = int(value) if isinstance(value, int) else value
    return params
