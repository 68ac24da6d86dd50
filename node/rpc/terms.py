"""The terms of a task as JSON: read with a default for each field that the network can name."""

from collections.abc import Callable
from typing import Any

from node.rpc.method import bad_param, read_amount, read_int, read_list, read_member, read_text
from protocol.params import SCALE, Params
from protocol.task_types import (
    REVIEWERS_MAX,
    TYPE_SLUGS,
    AlgorithmOptimization,
    CodeAnalysis,
    Complexity,
    DataAnalysis,
    Difficulty,
    GeneralTask,
    LogicReasoning,
    SecurityAudit,
    TaskTerms,
    TaskType,
    check_terms,
)

TITLE_CHARACTERS_MAX = 128
TEXT_CHARACTERS_MAX = 2_048
SLUG_CHARACTERS_MAX = 64
PLACES_DEFAULT = 10
THRESHOLD_DEFAULT = SCALE * 6 // 10
WINDOW_DEFAULT_MS = 60_000
"""Where epochs are short, the least window is over before a person can answer."""
QUALITY_DEFAULT = 60

_slug = read_text(SLUG_CHARACTERS_MAX)


def choose_window(params: Params) -> int:
    """Return how many epochs answers are awaited if the publisher does not say."""
    wanted = max(params.submission_epochs_min, WINDOW_DEFAULT_MS // params.epoch_ms)
    return min(wanted, params.submission_epochs_max)


def _read_slugs(items_max: int) -> Callable[[str, Any], tuple[str, ...]]:
    read = read_list(_slug, items_max)
    return lambda name, value: tuple(sorted(set(read(name, value))))


_FIELDS: dict[type, dict[str, Callable[[str, Any], Any]]] = {
    CodeAnalysis: {"language": _slug, "complexity": read_member(Complexity)},
    SecurityAudit: {"scope": _slug, "standards": _read_slugs(8)},
    DataAnalysis: {"data_type": _slug, "analysis_type": _slug},
    AlgorithmOptimization: {"domain": _slug, "constraints": _read_slugs(16)},
    LogicReasoning: {"problem_type": _slug, "complexity": read_int(1, 10)},
    GeneralTask: {"category": _slug, "subcategory": _slug},
}
_OPTIONAL = frozenset({"subcategory"})


def read_terms(
    given: dict[str, Any], params: Params, data_hash: bytes, data_bytes: int
) -> TaskTerms:
    """Return the terms that a publisher asks for.

    Args:
        given: the JSON object.
        params: of the network; what is left out gets the least it allows.
        data_hash: of the input.
        data_bytes: its length.

    Raises:
        RpcFault: `invalid_params`, naming the field.
        Rejected: `bad_slug`, `bad_title`, `bad_description`, `unsorted`.
    """
    fields = dict(given)

    def take(name: str, read: Callable[[str, Any], Any], default: Any) -> Any:
        value = fields.pop(name, None)
        return default if value is None else read(f"terms.{name}", value)

    task_type = _read_task_type(fields.pop("task_type", None))
    difficulty: Difficulty = take("difficulty", read_member(Difficulty), Difficulty.BEGINNER)
    terms = TaskTerms(
        task_type=task_type,
        title=take("title", read_text(TITLE_CHARACTERS_MAX), ""),
        description=take("description", read_text(TEXT_CHARACTERS_MAX), ""),
        data_hash=data_hash,
        data_bytes=data_bytes,
        reward=take("reward", read_amount, 0),
        submission_epochs=take(
            "submission_epochs", read_int(1, (1 << 31) - 1), choose_window(params)
        ),
        stake_required=take("stake_required", read_amount, params.stake_min[difficulty]),
        max_participants=take("max_participants", read_int(1, 255), PLACES_DEFAULT),
        required_reviewers=take(
            "required_reviewers", read_int(1, REVIEWERS_MAX), params.reviewers_min
        ),
        consensus_threshold=take(
            "consensus_threshold",
            read_int(0, SCALE),
            max(params.consensus_threshold_min, THRESHOLD_DEFAULT),
        ),
        difficulty=difficulty,
        quality_threshold=take("quality_threshold", read_int(0, 100), QUALITY_DEFAULT),
        submission_requirements=take("submission_requirements", read_text(TEXT_CHARACTERS_MAX), ""),
    )
    if fields:
        raise bad_param("terms", min(fields), "fields of the terms of a task")
    check_terms(terms)
    return terms


def _read_task_type(given: Any) -> TaskType:
    by_slug = {slug: cls for cls, slug in TYPE_SLUGS.items()}
    if not isinstance(given, dict) or given.get("type") not in by_slug:
        raise bad_param(
            "terms.task_type", "another", "an object with a type: " + ", ".join(by_slug)
        )
    cls = by_slug[given["type"]]
    readers = _FIELDS[cls]
    unknown = sorted(set(given) - {"type", *readers})
    if unknown:
        raise bad_param("terms.task_type", unknown[0], ", ".join(readers))
    values: dict[str, Any] = {}
    for name, read in readers.items():
        value = given.get(name)
        if value is None and name not in _OPTIONAL:
            raise bad_param(f"terms.task_type.{name}", "nothing", "a value")
        values[name] = None if value is None else read(f"terms.task_type.{name}", value)
    task_type: TaskType = cls(**values)
    return task_type
