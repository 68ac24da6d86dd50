"""Planted bugs of sealers and of disputes."""

from collections.abc import Callable
from typing import Any

from devnet.sim.plan import CORE, Plan
from devnet.sim.zoo import Bug, Patch
from node.diary_file import DiaryFile
from node.sealer import Sealer
from protocol import ballot_box, ballots, seals, verdicts, windows
from protocol.agreement import Agreement
from protocol.agreement_effects import Verdict
from protocol.ballot_box import BallotBox
from protocol.ballots import Backed, Proposal, Step
from protocol.bonds import settle_bonds
from protocol.book import Book, Pot
from protocol.invariants import ConsistencyChecker
from protocol.kinds import vote_dispute
from protocol.records import Task

_find_verdict: Callable[..., Verdict | None] = Sealer._find_verdict
_find_backed: Callable[..., Backed | None] = BallotBox.find_backed
_act_on_polka: Callable[..., bool] = Agreement._act_on_polka
_UNCHECKED = Patch(ConsistencyChecker, "check", lambda checker, view, outcome: None)


def _count_votes(compute: Callable[[int], int]) -> list[Patch]:
    return [Patch(owner, "compute_quorum", compute) for owner in (ballot_box, ballots, seals)]


def _two_are_enough() -> list[Patch]:
    return _count_votes(lambda sealers: sealers // 2)


def _all_must_sign() -> list[Patch]:
    return _count_votes(lambda sealers: sealers)


def _lock_forgotten() -> list[Patch]:
    def may_prevote(machine: Agreement, proposal: Proposal) -> bool:
        return machine._is_sound(proposal.plan)

    return [Patch(Agreement, "_may_prevote", may_prevote)]


def _diary_forgotten() -> list[Patch]:
    return [
        Patch(DiaryFile, "read", lambda file: None),
        Patch(Sealer, "_is_behind", lambda sealer: False),
    ]


def _two_make_a_polka() -> list[Patch]:
    def find(box: BallotBox, round_number: int, step: Step) -> Backed | None:
        quorum, box.quorum = box.quorum, box.honest
        try:
            return _find_backed(box, round_number, step)
        finally:
            box.quorum = quorum

    return [Patch(BallotBox, "find_backed", find)]


def _signed_too_early() -> list[Patch]:
    def act(machine: Agreement) -> bool:
        has_acted = _act_on_polka(machine)
        if has_acted and machine._valid is not None:
            machine._decided = machine._valid.plan
        return has_acted

    return [Patch(Agreement, "_act_on_polka", act)]


def _opened_too_early() -> list[Patch]:
    def act(machine: Agreement) -> bool:
        has_acted = _act_on_polka(machine)
        opening = machine.box.secrets.open(machine._signer) if has_acted else None
        if opening is not None:
            machine._say(opening)
        return has_acted

    return [Patch(Agreement, "_act_on_polka", act)]


def _anything_goes() -> list[Patch]:
    def find(sealer: Sealer, plan: Any) -> Verdict | None:
        verdict = _find_verdict(sealer, plan)
        return Verdict.SOUND if verdict is Verdict.ILLEGAL else verdict

    return [Patch(Sealer, "_find_verdict", find)]


def _one_round_only() -> list[Patch]:
    return [
        Patch(Agreement, "_act_on_precommits", lambda machine: False),
        Patch(Agreement, "_skip", lambda machine: False),
    ]


def _bond_paid_twice() -> list[Patch]:
    def settle(book: Book, case: Any) -> Any:
        book.pay(Pot.STAKE, case.disputer, case.bond)
        return settle_bonds(book, case)

    return [Patch(verdicts, "settle_bonds", settle), _UNCHECKED]


def _bond_never_paid() -> list[Patch]:
    return [Patch(verdicts, "settle_bonds", lambda book, case: case), _UNCHECKED]


def _dispute_without_end() -> list[Patch]:
    def move(book: Book, task: Task) -> Task | None:
        return None

    return [Patch(windows, "move_dispute_by_time", move), _UNCHECKED]


def _arbiter_votes_again() -> list[Patch]:
    def read(case: Any) -> tuple[Any, ...]:
        return ()

    return [Patch(vote_dispute, "read_hearing", read), _UNCHECKED]


def _several(plan: Plan) -> bool:
    return plan.sealers > 1


def _has_stubborn(plan: Plan) -> bool:
    return "partial" in plan.habits and any(event.kind == "sue" for event in plan.events)


def _has_outlaw(plan: Plan) -> bool:
    return "outlaw" in plan.habits


BUGS: tuple[Bug, ...] = (
    Bug("two_are_enough", "two of four signatures make a seal", CORE, _two_are_enough, _several),
    Bug("all_must_sign", "one silent sealer stops all", CORE, _all_must_sign, _several),
    Bug("lock_forgotten", "a sealer votes against its lock", CORE, _lock_forgotten, _several),
    Bug("diary_forgotten", "a sealer forgets what it said", CORE, _diary_forgotten, _several),
    Bug(
        "two_make_a_polka",
        "a sealer precommits what two prevoted",
        CORE,
        _two_make_a_polka,
        _several,
    ),
    Bug(
        "signed_too_early",
        "a sealer signs what is not decided",
        CORE,
        _signed_too_early,
        _several,
    ),
    Bug(
        "opened_too_early",
        "a sealer opens the secret before the set is decided",
        CORE,
        _opened_too_early,
        _several,
    ),
    Bug("anything_goes", "a sealer says yes to an illegal set", CORE, _anything_goes, _has_outlaw),
    Bug("one_round_only", "sealers wait for ever in one round", CORE, _one_round_only, _several),
    Bug("bond_paid_twice", "a disputer has his bond back twice, unchecked", CORE, _bond_paid_twice),
    Bug("bond_never_paid", "a bond stays locked, unchecked", CORE, _bond_never_paid),
    Bug("dispute_without_end", "a dispute waits for ever, unchecked", CORE, _dispute_without_end),
    Bug(
        "arbiter_votes_again",
        "an arbiter votes twice, unchecked",
        CORE,
        _arbiter_votes_again,
        _has_stubborn,
    ),
)
