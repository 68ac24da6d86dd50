"""What a condition says of a running devnet: what it needs is asked for once, then it is judged.

Judging is a function of what was gathered, so it can be tried on made-up facts. A node that is down
or frozen is not asked, one that is just starting or ending cannot say; a condition that names it
does not hold, one that is about all nodes passes it over.
"""

import operator
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from devnet.checks import run_checks, survey_devnet
from devnet.conditions import (
    ANY,
    CONFLICTS,
    METRIC,
    READY,
    SETTLED,
    STATUS_QUANTITIES,
    SURVEYED,
    TASK_QUANTITIES,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Equality,
    Fact,
    Leaf,
    Not,
    list_leaves,
)
from devnet.errors import DevnetError
from devnet.observe import OBSERVE_S, Observer, is_settled
from devnet.provider import Provider, call_each, find_awake, find_honest
from devnet.remote import GONE, SILENT, Remote
from node.rpc.client import RpcError

LOOK_S = 0.25
"""Between two looks at a network that does not yet do what is waited for."""
SURVEY_LOOK_S = 2.0
"""The same where all is asked of all nodes."""
SHOWN_MAX = 8

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a condition holds, and what was found, in a line."""

    ok: bool
    detail: str


@dataclass(slots=True)
class Facts:
    """What was gathered of a devnet, as far as some condition needs it.

    Attributes:
        meant: the nodes that a condition without a place is about: the honest ones that run.
        figures: by quantity, by node.
        statuses: by node, its reply to `node_status`.
        findings: by fact about all nodes together.
    """

    meant: Sequence[str]
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)


def judge(condition: Condition, facts: Facts) -> Finding:
    """Return whether a condition holds of facts."""
    match condition:
        case Not(inner):
            found = judge(inner, facts)
            return Finding(not found.ok, f"not ({found.detail})")
        case AllOf(parts):
            findings = [judge(part, facts) for part in parts]
            broken = [found for found in findings if not found.ok]
            return Finding(not broken, "; ".join(one.detail for one in broken or findings))
        case AnyOf(parts):
            findings = [judge(part, facts) for part in parts]
            good = [found for found in findings if found.ok]
            return Finding(bool(good), "; ".join(one.detail for one in good or findings))
        case Comparison():
            return _judge_comparison(condition, facts)
        case Equality():
            return _judge_equality(condition, facts)
        case Fact():
            return _judge_fact(condition, facts)


async def gather(provider: Provider, condition: Condition) -> Facts:
    """Ask a devnet for all that a condition says something about.

    Whoever was frozen or ended while it was asked says nothing, as if it failed: if anybody did,
    all are asked once more.
    """
    facts, silent = await _gather_once(provider, condition)
    return (await _gather_once(provider, condition))[0] if silent else facts


async def _gather_once(provider: Provider, condition: Condition) -> tuple[Facts, set[str]]:
    """Return the facts, and who runs and did not answer."""
    leaves = list(list_leaves(condition))
    honest, asked = find_honest(provider), find_awake(provider)
    replies = await call_each(provider, asked, _ask_status)
    gone, silent = _find_failed(replies, GONE), _find_failed(replies, {SILENT})
    facts = Facts(meant=honest, statuses=_drop_errors(replies))
    for leaf in leaves:
        if not isinstance(leaf, Comparison) or leaf.quantity in facts.figures:
            continue
        if leaf.quantity in STATUS_QUANTITIES:
            figures = {name: one[leaf.quantity] for name, one in facts.statuses.items()}
        else:
            replies = await call_each(provider, asked, _choose_question(leaf.quantity))
            gone |= _find_failed(replies, GONE)
            silent |= _find_failed(replies, {SILENT})
            figures = _drop_errors(replies)
        facts.figures[leaf.quantity] = figures
    facts.meant = [name for name in honest if name not in gone]
    wanted = {leaf.name for leaf in leaves if isinstance(leaf, Fact)}
    if SETTLED in wanted:
        view = await Observer(provider).look()
        facts.findings[SETTLED] = Finding(is_settled(view), f"tasks {view.count_tasks()}")
    if wanted.intersection(SURVEYED):
        for verdict in run_checks(await survey_devnet(provider)):
            facts.findings[verdict.name] = Finding(verdict.ok, verdict.detail)
    return facts, silent


async def look(provider: Provider, condition: Condition) -> Finding:
    """Return whether a condition holds now."""
    return judge(condition, await gather(provider, condition))


async def wait_for(provider: Provider, condition: Condition, limit_s: float) -> Finding:
    """Wait until a condition holds; return what was found at last."""
    surveys = any(isinstance(one, Fact) and one.name in SURVEYED for one in list_leaves(condition))
    finding = Finding(False, "not looked at")
    with trio.move_on_after(limit_s):
        while True:
            finding = await look(provider, condition)
            if finding.ok:
                return finding
            await trio.sleep(SURVEY_LOOK_S if surveys else LOOK_S)
    return finding


# -------------------------------------------------------------------------------- gathering


async def _ask_status(remote: Remote) -> Any:
    return await remote.call("node_status", limit_s=OBSERVE_S)


def _find_failed(replies: Mapping[str, Any], codes: Collection[str]) -> set[str]:
    """Return the nodes whose reply is an error of one of these codes."""
    return {
        name
        for name, reply in replies.items()
        if isinstance(reply, RpcError | DevnetError) and reply.code in codes
    }


def _drop_errors(replies: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: reply
        for name, reply in replies.items()
        if not isinstance(reply, RpcError | DevnetError)
    }


def _choose_question(quantity: str) -> Callable[[Remote], Awaitable[float]]:
    if quantity in TASK_QUANTITIES:
        return _count_tasks(quantity.partition(".")[2])
    if quantity == CONFLICTS:
        return _count_conflicts
    return _read_metric(quantity.removeprefix(METRIC).strip())


def _count_tasks(status: str) -> Callable[[Remote], Awaitable[float]]:
    async def ask(remote: Remote) -> float:
        counts: Counter[str] = Counter()
        async for task in remote.iterate("task_list"):
            counts[str(task["status"])] += 1
        return float(counts[status] if status else counts.total())

    return ask


async def _count_conflicts(remote: Remote) -> float:
    return float(sum([1 async for _ in remote.iterate("check_conflicts")]))


def _read_metric(name: str) -> Callable[[Remote], Awaitable[float]]:
    async def ask(remote: Remote) -> float:
        found = sum_metric(await remote.read_metrics(), name)
        if found is None:
            raise DevnetError("unknown_metric", name, "a metric that the node has")
        return found

    return ask


def sum_metric(page: str, name: str) -> float | None:
    """Return the sum of a metric over its labels, None if a page does not have it."""
    values = []
    for line in page.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name:
            values.append(float(value))
    return sum(values) if values else None


# ---------------------------------------------------------------------------------- judging


def _judge_comparison(one: Comparison, facts: Facts) -> Finding:
    figures = facts.figures.get(one.quantity, {})
    names = _choose(one, facts)
    good = [
        name
        for name in names
        if name in figures and _OPERATORS[one.operator](figures[name], one.number)
    ]
    ok = bool(good) if one.places == (ANY,) else bool(names) and len(good) == len(names)
    shown = {name: f"{figures[name]:g}" if name in figures else "?" for name in names}
    return Finding(ok, f"{one.quantity} {_show(shown)}")


def _judge_equality(one: Equality, facts: Facts) -> Finding:
    names = _choose(one, facts)
    found = {name: str(facts.statuses[name][one.field]) for name in names if name in facts.statuses}
    ok = bool(names) and len(found) == len(names) and len(set(found.values())) == 1
    shown = {name: found.get(name, "?")[:10] for name in names}
    return Finding(ok, f"{one.field} {_show(shown)}")


def _judge_fact(one: Fact, facts: Facts) -> Finding:
    if one.name != READY:
        return facts.findings.get(one.name, Finding(False, f"{one.name}: not looked at"))
    names = _choose(one, facts)
    good = [name for name in names if facts.statuses.get(name, {}).get("ready")]
    ok = bool(good) if one.places == (ANY,) else bool(names) and len(good) == len(names)
    return Finding(ok, f"ready {', '.join(good) or 'none'}")


def _choose(leaf: Leaf, facts: Facts) -> Sequence[str]:
    return leaf.places if leaf.places and leaf.places != (ANY,) else facts.meant


def _show(found: dict[str, str]) -> str:
    parts = [f"{name} {value}" for name, value in found.items()]
    return ", ".join(_cut(parts)) or "no node that runs"


def _cut(parts: Iterable[str]) -> list[str]:
    listed = list(parts)
    more = len(listed) - SHOWN_MAX
    return listed[:SHOWN_MAX] + ([f"and {more} more"] if more > 0 else [])
