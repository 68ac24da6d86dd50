"""The language of conditions: what `wait` waits for, when events happen, what checks demand.

    condition  = all { "or" all }
    all        = one { "and" one }
    one        = "not" one | "(" condition ")" | comparison | equality | fact
    comparison = quantity ( ">=" | "<=" | "==" | "!=" | ">" | "<" ) number [ place ]
    equality   = "equal" field [ place ]
    fact       = name [ place ]
    quantity   = "epoch" | "tasks.completed" | ... | "metric" name
    place      = "on" ( "any" | node { "," node } )

Without a place it must hold on every node that runs and does not cheat. Text becomes a tree here
and nothing is ever evaluated as Python; what a tree says of a network is `devnet.facts`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from devnet.errors import DevnetError
from node.text import suggest
from protocol.phases import TaskStatus, get_label

CHARACTERS_MAX = 1_024
DEPTH_MAX = 32

ANY = "any"
OPERATORS = (">=", "<=", "==", "!=", ">", "<")
STATUSES = tuple(get_label(status) for status in TaskStatus)

STATUS_QUANTITIES = {
    "epoch": "the last sealed epoch",
    "peers": "connected peers",
    "transactions": "transactions that are stored",
    "open": "transactions that no seal has taken in yet",
    "evidence": "equivocations of which there is proof",
    "reversals": "provisional results that a seal changed",
}
"""Figures of `node_status`, by the name that both give them."""
TASK_QUANTITIES = {
    "tasks": "tasks that are known",
    **{f"tasks.{status}": f"those that are {status.replace('_', ' ')}" for status in STATUSES},
}
CONFLICTS = "conflicts"
QUANTITIES = {
    **STATUS_QUANTITIES,
    **TASK_QUANTITIES,
    CONFLICTS: "rulings of the conflict resolver, provisional ones included",
}
METRIC = "metric"

FIELDS = ("state_root", "seal_hash", "epoch", "transactions", "open", "open_fingerprint")
"""Of `node_status`: what can be equal."""

READY = "ready"
SETTLED = "settled"
SURVEYED = {
    "answers": "every honest node that runs answers",
    "converged": "all nodes have the same seal and state root at a common epoch",
    "nothing_lost": "every acknowledged transaction is known to all",
    "invariants": "each node's own check of its whole state finds nothing",
    "money": "balances, escrows, stakes, treasury and burned add up to the supply",
    "one_claim": "no reward is claimed twice",
}
"""Facts about all nodes together; `devnet.checks` finds them, and waits for a common epoch."""
FACTS = {
    READY: "the node says that it is ready",
    SETTLED: "every task is over, every reward paid or revoked, nothing is open",
    **SURVEYED,
}


class ConditionError(DevnetError):
    """A condition that cannot be read; the line says at which column."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of each node against a number.

    Attributes:
        quantity: one of `QUANTITIES`, or `metric` and a name.
        places: nodes, or `ANY`; nothing: every honest node that runs.
    """

    quantity: str
    operator: str
    number: float
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Equality:
    """Nodes show the same in a field."""

    field: str
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """Something of `FACTS` holds."""

    name: str
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: "Condition"


@dataclass(frozen=True, slots=True)
class AllOf:
    """All parts hold."""

    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: "tuple[Condition, ...]"


Leaf = Comparison | Equality | Fact
Condition = Leaf | Not | AllOf | AnyOf


def parse_condition(text: str) -> Condition:
    """Return the tree of a condition.

    Raises:
        ConditionError: `bad_condition`.
    """
    if len(text) > CHARACTERS_MAX:
        wanted = f"at most {CHARACTERS_MAX}"
        raise ConditionError("bad_condition", f"{len(text)} characters", wanted)
    return _Parser(text).parse()


def list_leaves(condition: Condition) -> Iterator[Leaf]:
    """Yield the parts of a condition that say something by themselves, from left to right."""
    match condition:
        case Not(inner):
            yield from list_leaves(inner)
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from list_leaves(part)
        case _:
            yield condition


# ------------------------------------------------------------------------------------ parser

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)(?![\w.])|(?P<word>[A-Za-z_][\w.-]*)"
    r"|(?P<sign>>=|<=|==|!=|[><(),])|(?P<wrong>\S))",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


class _Parser:
    """Reads one condition from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._place = 0
        self._depth = 0

    def parse(self) -> Condition:
        condition = self._read_any()
        if self._next.kind != "end":
            raise self._error("and, or, or the end")
        return condition

    def _split(self) -> Iterator[_Token]:
        for match in _TOKEN.finditer(self._text):
            kind = str(match.lastgroup)
            yield _Token(kind, match[kind], match.start(kind) + 1)
        yield _Token("end", "", len(self._text) + 1)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self, *texts: str) -> str:
        """Return the next word or sign if it is one of these, else nothing."""
        if self._next.kind in ("word", "sign") and self._next.text in texts:
            self._place += 1
            return self._tokens[self._place - 1].text
        return ""

    def _require(self, wanted: str, *texts: str, others: Iterable[str] = ()) -> str:
        taken = self._take(*texts)
        if not taken:
            raise self._error(wanted + suggest(self._next.text, (*texts, *others)))
        return taken

    def _read_word(self, wanted: str) -> str:
        if self._next.kind != "word":
            raise self._error(wanted)
        self._place += 1
        return self._tokens[self._place - 1].text

    def _read_any(self) -> Condition:
        parts = [self._read_all()]
        while self._take("or"):
            parts.append(self._read_all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _read_all(self) -> Condition:
        parts = [self._read_one()]
        while self._take("and"):
            parts.append(self._read_one())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _read_one(self) -> Condition:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._error(f"at most {DEPTH_MAX} levels")
        found = self._read_inner()
        self._depth -= 1
        return found

    def _read_inner(self) -> Condition:
        if self._take("not"):
            return Not(self._read_one())
        if self._take("("):
            inner = self._read_any()
            self._require("a closing parenthesis", ")")
            return inner
        if self._take("equal"):
            field = self._require("one of " + ", ".join(FIELDS), *FIELDS)
            return Equality(field, self._read_places())
        fact = self._take(*FACTS)
        if fact:
            places = self._read_places() if fact not in SURVEYED else ()
            return Fact(fact, places)
        if self._take(METRIC):
            quantity = f"{METRIC} {self._read_word('the name of a metric')}"
        else:
            quantity = self._require("a quantity or a fact", *QUANTITIES, others=FACTS)
        operator = self._require("one of " + " ".join(OPERATORS), *OPERATORS)
        if self._next.kind != "number":
            raise self._error("a number")
        number = float(self._next.text)
        self._place += 1
        return Comparison(quantity, operator, number, self._read_places())

    def _read_places(self) -> tuple[str, ...]:
        if not self._take("on"):
            return ()
        places = [self._read_word("the name of a node, or any")]
        while places != [ANY] and self._take(","):
            places.append(self._read_word("the name of a node"))
        return tuple(places)

    def _error(self, wanted: str) -> ConditionError:
        token = self._next
        what = repr(token.text[:32]) if token.text else "the end"
        found = f"{what} at column {token.column} of `{self._text[:120]}`"
        return ConditionError("bad_condition", found, wanted)
