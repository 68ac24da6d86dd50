"""The line protocol between the node and a worker program: one JSON object a line, both ways.

    node -> worker    task, score, cancel, ping          on the worker's stdin
    worker -> node    hello, progress, answer, scores, error, pong          on its stdout

Rule 1: a record that exists is valid; building one from bad fields raises `BadField`, reading one
        from a bad line raises `WorkerFault`, which shows the line.
Rule 2: nothing is guessed: an unknown type, an unknown, missing or doubled field is a fault.
Rule 3: every field is bounded, and so every line; the bounds stand together below.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, NoReturn

from node.workers.fields import (
    INTEGER_MAX,
    BadField,
    Record,
    Value,
    boolean,
    build_record,
    fraction,
    identity,
    integer,
    mapping,
    optional,
    record,
    several,
    show,
    slug,
    text,
)
from protocol.errors import BlamedError

PROTO = 1
"""Of this line protocol. A worker that says another number in its hello is refused."""

INPUT_BYTES_MAX = 1 << 20
"""Of a task's input as UTF-8: as much as a blob holds."""
OUTPUT_BYTES_MAX = 12 * 1024
"""Of an answer: what fits inside the transaction that reveals it."""
OUTPUTS_BYTES_MAX = 1 << 20
"""Of all answers in one `score`; somebody else's answer may be a blob."""
ANSWERS_MAX = 64
REASONING_BYTES_MAX = 2_048
NOTE_BYTES_MAX = 1_024
TEXT_BYTES_MAX = 2_048
"""Of title, description and requirements, as in the terms of a task."""
CONCURRENCY_MAX = 64
KINDS_MAX = 16
DEADLINE_MS_MAX = 30 * 86_400_000

_ESCAPED = 6
"""JSON writes a control character of one byte as `\\u0000`: six bytes, the worst there is."""
LINE_TO_WORKER_BYTES_MAX = _ESCAPED * (INPUT_BYTES_MAX + OUTPUTS_BYTES_MAX) + (1 << 17)
"""So that no input and no answer, however odd, keeps a worker from getting its task. A line of
ordinary text is hardly longer than the text."""
LINE_FROM_WORKER_BYTES_MAX = 1 << 20

assert ANSWERS_MAX * (_ESCAPED * REASONING_BYTES_MAX + 256) <= LINE_FROM_WORKER_BYTES_MAX
assert 2 * _ESCAPED * OUTPUT_BYTES_MAX <= LINE_FROM_WORKER_BYTES_MAX

SOLVER = "solver"
SCORER = "scorer"


class WorkerFault(BlamedError):
    """A worker program broke the line protocol or a limit, or failed at a task. The codes:

    message_malformed, message_unknown, message_field_bad, message_unexpected, line_too_long
    hello_late, hello_missing, hello_proto, hello_role, hello_kinds, hello_network
    worker_not_started, worker_died, worker_closed_stdin, worker_closed_stdout, worker_flood,
    worker_silent, worker_ignored_cancel
    worker_not_up, worker_busy, worker_broken, worker_stopped, kind_unsupported
    task_deadline, task_failed, task_refused

    Attributes:
        retryable: another attempt, later or elsewhere, may succeed; the task itself is not at fault
            as far as is known.
    """

    def __init__(
        self, code: str, found: object = "", wanted: object = "", *, retryable: bool = True
    ) -> None:
        super().__init__(code, found, wanted)
        self.retryable = retryable


Identity = Annotated[str, identity]
"""1 to 80 of `0-9 A-Z a-z . _ : -`; for a task its id in hex."""
Slug = Annotated[str, slug]
Terms = Annotated[str, text(TEXT_BYTES_MAX)]
Params = Annotated[Mapping[str, Value], mapping]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment(Record):
    """What is to be done.

    Attributes:
        kind: slug of the task type, such as `code_analysis`.
        params: the fields of that type, such as `{"language": "python", "complexity": 0}`.
        input: the data of the task, as text.
        seed: the same for the same task, for programs that draw.
    """

    kind: Slug
    params: Params = field(default_factory=dict)
    input: Annotated[str, text(INPUT_BYTES_MAX)]
    title: Terms = ""
    description: Terms = ""
    requirements: Terms = ""
    seed: Annotated[int, integer(0, INTEGER_MAX)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest(Assignment):
    """`task`: solve this and send exactly one `answer` or `error`.

    Attributes:
        deadline_ms: milliseconds from now.
        attempt: 1 at first.
    """

    id: Identity
    deadline_ms: Annotated[int, integer(1, DEADLINE_MS_MAX)]
    attempt: Annotated[int, integer(1, INTEGER_MAX)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Record):
    """One answer to be scored, as its miner revealed it."""

    id: Identity
    output: Annotated[str, text(OUTPUTS_BYTES_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest(Record):
    """`score`: judge these answers to this task and send exactly one `scores` or `error`."""

    id: Identity
    task: Annotated[Assignment, record(Assignment)]
    answers: Annotated[
        tuple[Candidate, ...], several(record(Candidate), 1, ANSWERS_MAX, lambda one: one.id)
    ]
    deadline_ms: Annotated[int, integer(1, DEADLINE_MS_MAX)]
    attempt: Annotated[int, integer(1, INTEGER_MAX)] = 1

    def __post_init__(self) -> None:
        """Check each field, then that the outputs are not too large together.

        Raises:
            BadField: they are.
        """
        # Not super(): a slotted dataclass is not the class its methods were compiled in.
        Record.__post_init__(self)
        size = sum(len(one.output.encode("utf-8")) for one in self.answers)
        if size > OUTPUTS_BYTES_MAX:
            raise BadField(f"answers: {size} bytes", f"at most {OUTPUTS_BYTES_MAX} bytes together")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Record):
    """`cancel`: stop working on `id` and close it with an `answer` or `error`, soon."""

    id: Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Record):
    """`ping`: send a `pong` with the same number. Sent only while no task is running."""

    id: Annotated[int, integer(0, INTEGER_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Record):
    """`hello`: the first line of a worker, once it is ready to work.

    Attributes:
        worker: name and version, for people.
        roles: `solver` for `task`, `scorer` for `score`, or both.
        kinds: the task types it can do.
        concurrency: how many tasks it can have open at a time.
        network_id: the one network it is made for, in hex; None for any.
    """

    proto: Annotated[int, integer(0, INTEGER_MAX)]
    worker: Annotated[str, text(64, "[ -~]+")]
    roles: Annotated[tuple[str, ...], several(text(6, f"{SOLVER}|{SCORER}"), 1, 2)]
    kinds: Annotated[tuple[str, ...], several(slug, 1, KINDS_MAX)]
    concurrency: Annotated[int, integer(1, CONCURRENCY_MAX)] = 1
    network_id: Annotated[str | None, optional(text(16, "[0-9a-f]{16}"))] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Record):
    """`progress`: how far the work on `id` has come, for people. Never needed."""

    id: Identity
    fraction: Annotated[float, fraction]
    note: Annotated[str, text(NOTE_BYTES_MAX)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Record):
    """`answer`: the output, whose exact bytes are hashed. `meta` stays on this machine."""

    id: Identity
    output: Annotated[str, text(OUTPUT_BYTES_MAX)]
    meta: Params = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Record):
    """The judgement of one candidate: 0 to 100, or None to abstain."""

    id: Identity
    score: Annotated[int | None, optional(integer(0, 100))]
    reasoning: Annotated[str, text(REASONING_BYTES_MAX)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores(Record):
    """`scores`: one verdict for each candidate asked about, in the order asked."""

    id: Identity
    scores: Annotated[
        tuple[Verdict, ...], several(record(Verdict), 1, ANSWERS_MAX, lambda one: one.id)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError(Record):
    """`error`: no answer to `id`.

    Attributes:
        retryable: true if the trouble is the worker's own and another attempt may do; false if it
            is the task's. Only the former counts against the worker.
    """

    id: Identity
    retryable: Annotated[bool, boolean]
    message: Annotated[str, text(NOTE_BYTES_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(Record):
    """`pong`: the answer to a `ping`."""

    id: Annotated[int, integer(0, INTEGER_MAX)]


Request = TaskRequest | ScoreRequest
Reply = Answer | Scores | TaskError
Message = (
    TaskRequest
    | ScoreRequest
    | Cancel
    | Ping
    | Hello
    | Progress
    | Answer
    | Scores
    | TaskError
    | Pong
)

TO_WORKER: dict[str, type] = {
    "task": TaskRequest,
    "score": ScoreRequest,
    "cancel": Cancel,
    "ping": Ping,
}
FROM_WORKER: dict[str, type] = {
    "hello": Hello,
    "progress": Progress,
    "answer": Answer,
    "scores": Scores,
    "error": TaskError,
    "pong": Pong,
}
_NAMES = {cls: name for table in (TO_WORKER, FROM_WORKER) for name, cls in table.items()}


def get_message_name(message: Message) -> str:
    """Return the `type` of a message."""
    return _NAMES[type(message)]


def encode_line(message: Message) -> bytes:
    """Return the message as one line, its newline included."""
    plain = {"type": get_message_name(message), **_to_plain(message)}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"


def decode_line(line: bytes, known: Mapping[str, type] = FROM_WORKER) -> Any:
    """Return the message of one line, one of the `known` types.

    Raises:
        WorkerFault: `message_malformed`, `message_unknown` or `message_field_bad`.
    """
    plain = _read_object(line)
    name = plain.pop("type", None)
    cls = known.get(name) if isinstance(name, str) else None
    if cls is None:
        raise WorkerFault("message_unknown", show(line), f"a type of {', '.join(known)}")
    try:
        return build_record(cls, plain)
    except BadField as bad:
        raise WorkerFault(
            "message_field_bad", f"{bad.found} in {show(line)}", f"{name}: {bad.wanted}"
        ) from bad


def _read_object(line: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(
            line.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        # Both UnicodeDecodeError and JSONDecodeError are ValueErrors.
        raise WorkerFault("message_malformed", show(line), "one JSON object a line") from error
    if not isinstance(plain, dict):
        raise WorkerFault("message_malformed", show(line), "one JSON object a line")
    return plain


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) != len(pairs):
        raise ValueError("a field twice")
    return plain


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _to_plain(value: Any) -> Any:
    if is_dataclass(value):
        return {one.name: _to_plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, tuple):
        return [_to_plain(one) for one in value]
    return dict(value) if isinstance(value, Mapping) else value
