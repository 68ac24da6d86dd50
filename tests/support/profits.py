"""What cheating pays: each cheat of the threat table against the same people playing honestly.

Profit is what the attackers own when an economy has ended, less what the same accounts own when all
play honestly, in nano-units; stakes and bonds count, work costs nothing. Both economies have one
seed and the same beacons, so the same people find the same tasks and sit on the same panels. What
grinding adds to another cheat is counted against that cheat alone, and each has its own beacons.

A cheat passes when its mean profit over all runs is at most 0. Where luck decides (a race for
places, an added draw) it passes when the mean is at most three standard errors above 0.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isqrt

import pytest

from protocol import accounts, answers, fees, rewards, settlement, windows
from protocol.consensus import Vote
from protocol.hashing import compute_hash
from protocol.kinds import claim_reward, reveal_answer, reveal_vote, submit_answer
from protocol.records import RewardRole
from protocol.reputation import Violation
from tests.support.builders import COIN
from tests.support.cartels import (
    RaiseOwn,
    RefundByHiding,
    RefundByLies,
    RefundBySilence,
    RefundByTerms,
    RefundByUnanimity,
    Ring,
    ShadeScores,
    ShadeWithLastWord,
    Whitewash,
)
from tests.support.cheats import (
    BackDate,
    Cheat,
    ClaimAgain,
    ClaimOthers,
    ClaimRevoked,
    CopyAnswer,
    CopyCommitment,
    CopyVotes,
    GrindTies,
    HideBadAnswers,
    JudgeBlindly,
    SignTwice,
)
from tests.support.defences import remove_check
from tests.support.economy import NO_LAPSES, Economy, Lapses, Setting
from tests.support.players import Honest

SHARES = (0, 20, 33)
"""Per cent of each group that cheats together; 0 stands for one of each, alone."""

LUCK_ERRORS = 3
USUAL_SETTING = Setting()
Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Scheme:
    """One line of the table.

    Attributes:
        groups: of which the attackers are taken.
        build: makes the attackers' player of those who are in it.
        undo: takes the defence away.
        lapses: what is away with it.
        conditions: what is away in any case.
        are_weak: the attackers' own answers are never good enough to win.
        is_luck: the outcome depends on lots that the cheat itself changes.
        flaw: why it pays under the rules as they are; empty if it must not.
        base: makes the cheat it is counted against, where it only adds to one that has its line.
    """

    row: int
    name: str
    groups: tuple[str, ...]
    build: Callable[[frozenset[str]], Cheat]
    undo: Patch = lambda patch: None
    lapses: Lapses = NO_LAPSES
    conditions: Lapses = NO_LAPSES
    setting: Setting = USUAL_SETTING
    are_weak: bool = False
    is_luck: bool = False
    flaw: str = ""
    base: Callable[[frozenset[str]], Cheat] | None = None


@dataclass(frozen=True)
class Gain:
    """What one run brought the attackers beyond honest play."""

    profit: int
    reputation: int


@dataclass(frozen=True)
class Line:
    """What all runs of a scheme with one share of attackers came to."""

    scheme: Scheme
    share: int
    gains: tuple[Gain, ...]

    @property
    def mean(self) -> int:
        """The mean profit in nano-units."""
        return sum(one.profit for one in self.gains) // len(self.gains)

    @property
    def error(self) -> int:
        """The standard error of the mean profit, in nano-units; 0 for a single run."""
        runs = len(self.gains)
        squares = sum((one.profit - self.mean) ** 2 for one in self.gains)
        return isqrt(squares // (runs * (runs - 1))) if runs > 1 else 0

    @property
    def has_passed(self) -> bool:
        """Tell whether the cheat does not pay."""
        return self.mean <= (LUCK_ERRORS * self.error if self.scheme.is_luck else 0)

    def render(self) -> str:
        """Return the line as it is printed."""
        scheme, runs = self.scheme, len(self.gains)
        worst = max(one.profit for one in self.gains)
        reputation = sum(one.reputation for one in self.gains) // runs
        verdict = "PASS" if self.has_passed else "FAIL"
        return (
            f"row={scheme.row} cheat={scheme.name} share={self.share}% runs={runs} "
            f"tasks={scheme.setting.tasks} mean={self.mean / COIN:+.4f} "
            f"error={self.error / COIN:.4f} worst={worst / COIN:+.4f} coins "
            f"reputation={reputation:+d} verdict={verdict}"
        )


def choose_attackers(scheme: Scheme, share: int) -> frozenset[str]:
    """Return who cheats."""
    chosen: set[str] = set()
    for group in scheme.groups:
        names = scheme.setting.names(group)
        chosen.update(names[: max(1, len(names) * share // 100)])
    return frozenset(chosen)


def try_out(scheme: Scheme, share: int, seed: int, lapses: Lapses) -> Gain:
    """Play one economy twice, with the attackers cheating and with everybody honest."""
    attackers = choose_attackers(scheme, share)
    weak = attackers if scheme.are_weak else frozenset()
    setting = replace(scheme.setting, weak=weak)

    def prepare(build: Callable[[frozenset[str]], Cheat]) -> Economy:
        players = dict.fromkeys(sorted(attackers), build(attackers))
        return Economy(setting, seed, Honest(), players, lapses=lapses)

    cheated = prepare(scheme.build)
    cheated.play()
    if scheme.base is None:
        other = Economy(setting, seed, Honest(), {}, lots=cheated.world.lots, lapses=lapses)
    else:
        other = prepare(scheme.base)
    other.play()
    return Gain(
        cheated.wealth(attackers) - other.wealth(attackers),
        cheated.reputation(attackers) - other.reputation(attackers),
    )


def measure(scheme: Scheme, share: int, seeds: Sequence[int]) -> Line:
    """Return what a scheme came to over some seeds."""
    return Line(
        scheme, share, tuple(try_out(scheme, share, seed, scheme.conditions) for seed in seeds)
    )


def measure_undefended(scheme: Scheme, share: int, seeds: Sequence[int]) -> Line:
    """Return what a scheme comes to with its defence away: it must pay, or the table is blind."""
    with pytest.MonkeyPatch.context() as patch:
        scheme.undo(patch)
        gains = tuple(try_out(scheme, share, seed, scheme.lapses) for seed in seeds)
    return Line(scheme, share, gains)


# ------------------------------------------------------------------------------------ controls


def pay_anybody(patch: pytest.MonkeyPatch) -> None:
    """Pay a claim to whoever signs it."""
    remove_check(patch, claim_reward._apply, "not_recipient")


def pay_again(patch: pytest.MonkeyPatch) -> None:
    """Pay an entry whatever its state, and let money come from nowhere."""
    remove_check(patch, accounts._settle_ledger, "held != ledger.supply")
    remove_check(patch, claim_reward._apply, "already_claimed", "not_claimable")


def never_close(patch: pytest.MonkeyPatch) -> None:
    """Take answers in whenever they come."""
    patch.setattr(submit_answer, "require_before", lambda epoch, deadline: None)
    patch.setattr(submit_answer, "require_status", lambda task, *allowed: None)


def show_early(patch: pytest.MonkeyPatch) -> None:
    """Have answers shown while others can still be committed to."""
    remove_check(patch, reveal_answer._apply, "too_early", "is_revealing")


def show_votes_early(patch: pytest.MonkeyPatch) -> None:
    """Have votes shown while others can still commit to theirs."""
    remove_check(patch, reveal_vote._apply, "too_early")
    # Else there are more to judge what the copies were too far from.
    trust_first_panels(patch)


def bind_nobody(patch: pytest.MonkeyPatch) -> None:
    """Leave the miner's key out of a commitment."""

    def compute_commitment(
        network: bytes, task_id: bytes, miner: bytes, content_hash: bytes, salt: bytes
    ) -> bytes:
        return compute_hash("commitment", network, task_id, content_hash, salt)

    patch.setattr(answers.compute_commitment, "__code__", compute_commitment.__code__)


def forgive_silence(patch: pytest.MonkeyPatch) -> None:
    """Take nothing for an answer that is never shown."""
    lost = {**fees.STAKE_SHARE_LOST, Violation.NOT_REVEALED: 0}
    patch.setattr(fees, "STAKE_SHARE_LOST", lost)


def insist_on_terms(patch: pytest.MonkeyPatch) -> None:
    """Decide nothing with less than the customer asked for, however long that takes."""
    remove_check(patch, settlement.judge_answers, "is_last")


def trust_first_panels(patch: pytest.MonkeyPatch) -> None:
    """Take what the first panel says, however divided it is."""
    patch.setattr(windows, "is_second_panel_due", lambda book, task, judged: False)


def pay_generosity(patch: pytest.MonkeyPatch) -> None:
    """Pay validators by the scores they give, near the consensus or not."""

    def pay(found: Iterable[rewards.Answer], pool: int, tolerance: int) -> list[rewards.Share]:
        votes: list[Vote] = [vote for answer in found for vote in answer.votes]
        merits: dict[bytes, int] = {}
        for vote in votes:
            merits[vote.validator] = merits.get(vote.validator, 0) + (vote.score or 0)
        validators = sorted(merits)
        amounts = rewards.split_amount(pool, [merits[one] for one in validators])
        return [
            rewards.Share(one, amount, RewardRole.VALIDATOR, None, 0, 0)
            for one, amount in zip(validators, amounts, strict=True)
        ]

    patch.setattr(rewards, "_pay_validators", pay)
    # Else the many that judge again what a lazy one was far from would dilute what it brings.
    trust_first_panels(patch)


def subsidise(patch: pytest.MonkeyPatch) -> None:
    """Double every payment out of a reward, with money from nowhere."""
    build = settlement._build_entry
    patch.setattr(
        settlement,
        "_build_entry",
        lambda task, share: build(task, replace(share, amount=2 * share.amount)),
    )
    remove_check(patch, accounts._settle_ledger, "held != ledger.supply")


_CROWDED = Setting(takers=8, places=3)
_TRUSTING = Lapses(is_watchful=False)
_UNCHECKED = Lapses(is_checked=False)
_LAST_WORD = Lapses(is_foreseeable=True)
_FORESEEABLE = Lapses(is_foreseeable=True, has_secret=False)
_OPEN_VOTES = Lapses(is_checked=False, are_votes_open=True)


SCHEMES = (
    Scheme(
        *(29, "equivocation", ("solvers",), SignTwice),
        lapses=Lapses(hears_evidence=False, is_foreseeable=True, has_secret=False),
        setting=_CROWDED,
    ),
    Scheme(30, "double_claim", ("solvers",), ClaimOthers, pay_anybody),
    Scheme(31, "claim_replay", ("solvers",), ClaimAgain, pay_again, _UNCHECKED),
    Scheme(
        *(32, "tie_grinding", ("solvers",), GrindTies),
        lapses=_FORESEEABLE,
        setting=_CROWDED,
        is_luck=True,
    ),
    Scheme(
        *(32, "tie_grinding_last_word", ("solvers",), GrindTies),
        conditions=_LAST_WORD,
        lapses=_FORESEEABLE,
        setting=_CROWDED,
        is_luck=True,
    ),
    Scheme(33, "back_dating", ("solvers",), BackDate, never_close, are_weak=True),
    Scheme(34, "holding_back", ("solvers",), ClaimRevoked, pay_again, _UNCHECKED),
    Scheme(
        *(35, "copied_answer", ("solvers",), CopyAnswer, show_early, Lapses(is_hasty=True)),
        are_weak=True,
    ),
    Scheme(*(36, "copied_commitment", ("solvers",), CopyCommitment, bind_nobody), are_weak=True),
    Scheme(
        *(36, "hidden_bad_answer", ("solvers",), HideBadAnswers, forgive_silence),
        setting=replace(USUAL_SETTING, takers=8, places=8, sleeper="solvers-9"),
    ),
    Scheme(37, "lazy_votes", ("validators",), JudgeBlindly, pay_generosity, _TRUSTING),
    Scheme(37, "copied_votes", ("validators",), CopyVotes, show_votes_early, _OPEN_VOTES),
    Scheme(38, "raised_scores", ("validators", "solvers"), RaiseOwn, lapses=_TRUSTING),
    Scheme(
        *(38, "shaded_scores", ("validators", "solvers"), ShadeScores, trust_first_panels),
        is_luck=True,
    ),
    Scheme(
        *(38, "shaded_scores_last_word", ("validators", "solvers"), ShadeWithLastWord),
        base=ShadeScores,
        conditions=_LAST_WORD,
        lapses=_FORESEEABLE,
        is_luck=True,
    ),
    Scheme(38, "refund_by_lies", ("validators", "customers"), RefundByLies, lapses=_TRUSTING),
    Scheme(38, "refund_by_silence", ("validators", "customers"), RefundBySilence, lapses=_TRUSTING),
    Scheme(38, "refund_by_hiding", ("validators", "customers"), RefundByHiding, lapses=_TRUSTING),
    Scheme(
        *(38, "refund_by_terms", ("validators", "customers"), RefundByTerms, insist_on_terms),
        is_luck=True,
    ),
    Scheme(
        *(38, "refund_by_unanimity", ("validators", "customers"), RefundByUnanimity),
        insist_on_terms,
    ),
    Scheme(
        *(39, "self_dealing_ring", ("validators", "spares"), Ring, subsidise, _UNCHECKED),
        is_luck=True,
    ),
    Scheme(40, "whitewash", ("validators", "solvers", "spares"), Whitewash, lapses=_TRUSTING),
)
