"""What a task asks for: its type, difficulty and terms, as the publisher signed them."""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from protocol.errors import Rejected
from protocol.params import Amount, Bps, Epochs
from protocol.schema import AtMost, Between, Exactly

Id = Annotated[bytes, Exactly(32)]
Address = Annotated[bytes, Exactly(32)]
Score = Annotated[int, Between(0, 100)]
Slug = Annotated[str, AtMost(64)]

DESCRIPTION_BYTES_MIN = 10
REVIEWERS_MAX = 32
BLOB_BYTES_MAX = 1 << 20

_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Complexity(IntEnum):
    """Size class of code: up to 500, 2,000, 10,000 lines, or more."""

    SIMPLE = 0
    MEDIUM = 1
    COMPLEX = 2
    ENTERPRISE = 3


class Difficulty(IntEnum):
    """The publisher's class of a task; it bounds the reward and the least stake."""

    BEGINNER = 0
    INTERMEDIATE = 1
    ADVANCED = 2
    EXPERT = 3


@dataclass(frozen=True, slots=True)
class CodeAnalysis:
    """Analyse a source text."""

    language: Slug
    complexity: Complexity


@dataclass(frozen=True, slots=True)
class SecurityAudit:
    """Audit a system of some scope against standards."""

    scope: Slug
    standards: Annotated[tuple[Slug, ...], AtMost(8)]


@dataclass(frozen=True, slots=True)
class DataAnalysis:
    """Analyse data of some kind in some manner."""

    data_type: Slug
    analysis_type: Slug


@dataclass(frozen=True, slots=True)
class AlgorithmOptimization:
    """Make an algorithm of some domain better under constraints."""

    domain: Slug
    constraints: Annotated[tuple[Slug, ...], AtMost(16)]


@dataclass(frozen=True, slots=True)
class LogicReasoning:
    """Solve a puzzle of some kind; complexity 1..10."""

    problem_type: Slug
    complexity: Annotated[int, Between(1, 10)]


@dataclass(frozen=True, slots=True)
class GeneralTask:
    """Anything else, by category."""

    category: Slug
    subcategory: Slug | None


TaskType = (
    CodeAnalysis
    | SecurityAudit
    | DataAnalysis
    | AlgorithmOptimization
    | LogicReasoning
    | GeneralTask
)

TYPE_SLUGS: dict[type, str] = {
    CodeAnalysis: "code_analysis",
    SecurityAudit: "security_audit",
    DataAnalysis: "data_analysis",
    AlgorithmOptimization: "algorithm_optimization",
    LogicReasoning: "logic_reasoning",
    GeneralTask: "general_task",
}


def get_type_slug(task_type: TaskType) -> str:
    """Return the stable name of a task's type; miners name their specialisations by it."""
    return TYPE_SLUGS[type(task_type)]


def check_slug(text: str, field: str) -> None:
    """Check that a text is a slug: lower-case letters, digits, `_` and `-`.

    Raises:
        Rejected: `bad_slug`.
    """
    if not _SLUG.fullmatch(text):
        raise Rejected("bad_slug", f"{field} of {len(text)} characters", "[a-z0-9_-], 1 to 64")


@dataclass(frozen=True, slots=True)
class TaskTerms:
    """The payload of publish_task: what is wanted, by when, for how much. Never changes."""

    task_type: TaskType
    title: Annotated[str, AtMost(128)]
    description: Annotated[str, AtMost(2048)]
    data_hash: Id
    """SHA-256 of the input; the input itself travels as a content-addressed blob."""
    data_bytes: Annotated[int, Between(0, BLOB_BYTES_MAX)]
    reward: Amount
    submission_epochs: Epochs
    stake_required: Amount
    max_participants: Annotated[int, Between(1, 255)]
    required_reviewers: Annotated[int, Between(1, REVIEWERS_MAX)]
    consensus_threshold: Bps
    difficulty: Difficulty
    quality_threshold: Score
    submission_requirements: Annotated[str, AtMost(2048)]


def check_terms(terms: TaskTerms) -> None:
    """Check what the terms alone can show.

    Raises:
        Rejected: `bad_slug`, `bad_title`, `bad_description` or `unsorted`.
    """
    task_type = terms.task_type
    for field in task_type.__dataclass_fields__:
        value = getattr(task_type, field)
        if isinstance(value, tuple):
            if list(value) != sorted(set(value)):
                raise Rejected("unsorted", f"{field} of {len(value)}", "sorted and unique")
            for entry in value:
                check_slug(entry, field)
        elif isinstance(value, str):
            check_slug(value, field)
    if not terms.title.strip():
        raise Rejected("bad_title", "an empty title", "1 to 128 bytes")
    size = len(terms.description.encode("utf-8"))
    if size < DESCRIPTION_BYTES_MIN:
        raise Rejected("bad_description", f"{size} bytes", f"at least {DESCRIPTION_BYTES_MIN}")
