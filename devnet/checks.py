"""What must hold of a devnet, whatever was done to it.

First everything is gathered from every peer that is awake (`survey`); the checks are then functions
of that alone, so each can be tried on a made-up survey. A peer that is down or frozen is not asked
and not held against the others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from devnet.errors import DevnetError
from devnet.load import Acknowledged, read_acknowledged
from devnet.observe import COMPLETED, RewardView, observe_entries
from devnet.provider import Provider, call_each, find_honest
from devnet.remote import Remote
from node.commands.common import show_coins
from node.rpc.client import RpcError

CONVERGE_S = 30.0
SAMPLE_S = 0.1
CHECK_RUN_S = 60.0
SHOWN_MAX = 3
"""Names or ids that a failure lists."""

Head = tuple[str, str]
"""The hash of a seal and the root of the state after it."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where all the money is, in nano-units, as one peer counts it after one epoch."""

    epoch: int
    supply: int
    balances: int
    escrowed: int
    staked: int
    treasury: int
    burned: int

    @property
    def held(self) -> int:
        """What the places add up to."""
        return self.balances + self.escrowed + self.staked + self.treasury + self.burned


@dataclass(slots=True)
class Survey:
    """What was found on the peers of a devnet.

    Attributes:
        awake: the peers that were asked.
        heads: by peer, by epoch, the head that the peer showed.
        target: the epoch every peer must have reached.
        lost: by peer, the acknowledged transactions that it does not know.
        acknowledged: how many there are.
        reports: by peer, its reply to `check_run`.
        ledgers: by peer.
        entries: by peer, every reward entry it knows.
        failed: by peer, why it could not be asked.
    """

    awake: list[str]
    heads: dict[str, dict[int, Head]] = field(default_factory=dict)
    target: int = 0
    lost: dict[str, list[str]] = field(default_factory=dict)
    acknowledged: int = 0
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    entries: dict[str, list[RewardView]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: whether it holds, and the figures in one line."""

    name: str
    ok: bool
    detail: str


def check_answers(survey: Survey) -> Verdict:
    """Every peer that runs has answered every question."""
    if survey.failed:
        shown = [f"{name}: {why}" for name, why in sorted(survey.failed.items())]
        return Verdict("answers", False, _shorten(shown))
    if not survey.awake:
        return Verdict("answers", False, "no peer runs")
    return Verdict("answers", True, f"{len(survey.awake)} peers asked")


def check_converged(survey: Survey) -> Verdict:
    """All peers have the same seal and the same state root at a common epoch."""
    epoch = find_common_epoch(survey.heads, survey.target)
    diverged = find_diverged_epoch(survey.heads)
    if diverged is not None:
        shown = [
            f"{name} {seen[diverged][1][:10]}"
            for name, seen in sorted(survey.heads.items())
            if diverged in seen
        ]
        return Verdict("converged", False, f"epoch {diverged}: " + _shorten(shown))
    if epoch is None:
        shown = [f"{name} at {max(seen, default=0)}" for name, seen in sorted(survey.heads.items())]
        found = f"no common epoch from {survey.target} on: "
        return Verdict("converged", False, found + _shorten(shown))
    root = next(iter(survey.heads.values()))[epoch][1]
    return Verdict("converged", True, f"epoch {epoch}, state root {root[:16]}")


def check_nothing_lost(survey: Survey) -> Verdict:
    """Every transaction that a peer acknowledged is known to all of them."""
    missing = {name: lost for name, lost in sorted(survey.lost.items()) if lost}
    if missing:
        shown = [f"{name} lacks {len(lost)} ({lost[0][:10]})" for name, lost in missing.items()]
        return Verdict("nothing_lost", False, _shorten(shown))
    return Verdict("nothing_lost", True, f"{survey.acknowledged} acknowledged, all known to all")


def check_invariants(survey: Survey) -> Verdict:
    """Every peer's own check of its whole state finds nothing."""
    broken = [
        f"{name}: {report.get('broken') or report}"
        for name, report in sorted(survey.reports.items())
        if not report.get("ok")
    ]
    if broken:
        return Verdict("invariants", False, _shorten(broken))
    return Verdict("invariants", True, f"{len(survey.reports)} peers found nothing")


def check_money(survey: Survey) -> Verdict:
    """On every peer balances, escrows, stakes, treasury and burned add up to the supply."""
    wrong = [
        f"{name}: {ledger.held} held, supply {ledger.supply}"
        for name, ledger in sorted(survey.ledgers.items())
        if ledger.held != ledger.supply
    ]
    if len({ledger.supply for ledger in survey.ledgers.values()}) > 1:
        wrong.append("peers know different supplies")
    if wrong or not survey.ledgers:
        return Verdict("money", False, _shorten(wrong) or "no ledger")
    supply = next(iter(survey.ledgers.values())).supply
    return Verdict("money", True, f"{show_coins(supply)} coins, none made and none lost")


def check_one_claim(survey: Survey) -> Verdict:
    """No reward entry has two claims, and no claim pays two entries."""
    claims: dict[str, set[str]] = {}
    entries: dict[str, set[str]] = {}
    for known in survey.entries.values():
        for entry in known:
            if entry.claim_tx is not None:
                claims.setdefault(entry.entry_id, set()).add(entry.claim_tx)
                entries.setdefault(entry.claim_tx, set()).add(entry.entry_id)
    twice = [entry for entry, known in sorted(claims.items()) if len(known) > 1]
    shared = [claim for claim, known in sorted(entries.items()) if len(known) > 1]
    if twice or shared:
        return Verdict("one_claim", False, _shorten([one[:16] for one in twice + shared]))
    return Verdict("one_claim", True, f"{len(claims)} entries claimed, each once")


Check = Callable[[Survey], Verdict]
CHECKS: tuple[Check, ...] = (
    check_answers,
    check_converged,
    check_nothing_lost,
    check_invariants,
    check_money,
    check_one_claim,
)


def find_common_epoch(heads: dict[str, dict[int, Head]], target: int) -> int | None:
    """Return the last epoch not before `target` at which every peer was seen."""
    if not heads:
        return None
    common = set.intersection(*(set(seen) for seen in heads.values()))
    return max((epoch for epoch in common if epoch >= target), default=None)


def find_diverged_epoch(heads: dict[str, dict[int, Head]]) -> int | None:
    """Return the first epoch at which two peers showed different heads."""
    shown: dict[int, set[Head]] = {}
    for seen in heads.values():
        for epoch, head in seen.items():
            shown.setdefault(epoch, set()).add(head)
    return min((epoch for epoch, known in shown.items() if len(known) > 1), default=None)


async def survey_devnet(provider: Provider, converge_s: float = CONVERGE_S) -> Survey:
    """Ask every peer that is awake, and honest, for all that the checks look at.

    Waits up to `converge_s` for a common epoch: seals take a moment to reach everybody.
    """
    survey = Survey(find_honest(provider))
    acknowledged = read_acknowledged(provider.devnet)
    survey.acknowledged = len(acknowledged)
    if not survey.awake:
        return survey
    await _collect_heads(provider, survey, converge_s)

    async def examine(remote: Remote) -> None:
        await _examine(remote, survey, acknowledged)

    for name, result in (await call_each(provider, survey.awake, examine)).items():
        if isinstance(result, RpcError | DevnetError):
            survey.failed[name] = result.code
    return survey


def run_checks(survey: Survey) -> list[Verdict]:
    """Return the verdict of every check."""
    return [check(survey) for check in CHECKS]


async def _collect_heads(provider: Provider, survey: Survey, limit_s: float) -> None:
    survey.heads = {name: {} for name in survey.awake}
    with trio.move_on_after(limit_s):
        while True:
            replies = await call_each(provider, survey.awake, lambda one: one.call("node_status"))
            for name, status in replies.items():
                if isinstance(status, dict):
                    head = (str(status["seal_hash"]), str(status["state_root"]))
                    survey.heads[name][int(status["epoch"])] = head
            # Fixed by the first look: whoever was behind then has to catch up.
            survey.target = survey.target or max(
                (epoch for seen in survey.heads.values() for epoch in seen), default=0
            )
            if find_diverged_epoch(survey.heads) is not None:
                return
            if find_common_epoch(survey.heads, survey.target) is not None:
                return
            await trio.sleep(SAMPLE_S)


async def _examine(remote: Remote, survey: Survey, acknowledged: list[Acknowledged]) -> None:
    name = remote.name
    survey.reports[name] = await remote.call("check_run", limit_s=CHECK_RUN_S)
    survey.ledgers[name] = read_ledger(await remote.call("ledger_get"))
    survey.entries[name] = []
    async for task in remote.iterate("task_list", status=COMPLETED):
        survey.entries[name] += await observe_entries(remote, str(task["task_id"]))
    survey.lost[name] = []
    for one in acknowledged:
        try:
            await remote.call("tx_get", tx_id=one.tx_id)
        except RpcError as error:
            if error.code != "no_such_transaction":
                raise
            survey.lost[name].append(one.tx_id)


def read_ledger(plain: dict[str, Any]) -> Ledger:
    """Return the ledger of a reply to `ledger_get`."""
    places = ("supply", "balances", "escrowed", "staked", "treasury", "burned")
    return Ledger(int(plain["as_of"]["epoch"]), *(int(plain[place]) for place in places))


def _shorten(items: list[str]) -> str:
    more = len(items) - SHOWN_MAX
    return "; ".join(items[:SHOWN_MAX]) + (f"; and {more} more" if more > 0 else "")
