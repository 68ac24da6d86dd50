"""Cheats of single accounts in an economy: at claims, at answers, at votes, with what they sign.

Each is honest but for one thing. Who cheats sees everything that honest people sign in an epoch
before he signs himself. The rows are those of the threat table.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from statistics import median_low

from protocol.convictions import read_voting_round
from protocol.dispute_records import DisputeType, EvidenceType
from protocol.epoch import Epoch
from protocol.fees import compute_bond_min
from protocol.fold import compute_order
from protocol.kinds.claim_reward import ClaimReward
from protocol.kinds.open_dispute import Exhibit, OpenDispute
from protocol.kinds.reveal_vote import REVEAL_VOTE
from protocol.kinds.submit_answer import SUBMIT_ANSWER
from protocol.phases import TaskStatus
from protocol.records import RewardEntry, RewardRole, Submission, Task
from protocol.tables import REWARDS, reward_key
from protocol.transactions import SignedTransaction
from tests.support.builders import a_hash, an_address, name_of
from tests.support.economy import TRIES, Economy, Signed
from tests.support.players import Honest, find_claimable, find_unjudged

USUAL = 85
"""What a lazy validator says of every answer."""
BAD = 30
"""An answer worth less is punished as wrong once it is judged."""


class Cheat(Honest):
    """An honest player who knows who else is with him."""

    def __init__(self, coalition: frozenset[str]) -> None:
        self.coalition = coalition


# ---------------------------------------------------------------------------- what one signs


class PlaceTaker(Cheat):
    """Somebody who looks at who takes the places that all want."""

    def find_ours(self, economy: Economy) -> list[SignedTransaction]:
        """Return our commitments to answers that wait for the seal."""
        return [tx for tx in find_commitments(economy.pending) if self._is_ours(tx)]

    def _is_ours(self, tx: SignedTransaction) -> bool:
        return name_of(tx.header.author) in self.coalition

    def count_places(self, economy: Economy, epoch: Epoch) -> int:
        """Return how many places of all tasks would be ours if the epoch ended so."""
        by_task: dict[bytes, list[SignedTransaction]] = {}
        for tx in sorted(
            find_commitments(epoch.transactions), key=lambda tx: compute_order(tx, epoch.beacon)
        ):
            by_task.setdefault(tx.header.subject, []).append(tx)
        places = economy.setting.places
        return sum(self._is_ours(tx) for found in by_task.values() for tx in found[:places])


class SignTwice(PlaceTaker):
    """Row 29: commit, see who takes the places, and sign another with the same seq that does."""

    def have_last_word(self, economy: Economy) -> Signed:
        instead: list[SignedTransaction] = []
        for first in self.find_ours(economy):
            who = name_of(first.header.author)
            if first.header.seq + 1 != economy.world.next_seq(who):
                continue
            others = [tx for tx in (*economy.pending, *instead) if tx is not first]
            payloads = [replace(first.payload, work_ms=tries) for tries in range(TRIES)]
            drafts = [economy.redraft(who, first, payload) for payload in payloads]
            epochs = [economy.guess_epoch([*others, one]) for one in (first, *drafts)]
            gains = [self.count_places(economy, epoch) for epoch in epochs]
            best = gains.index(max(gains))
            if best:
                economy.pending.remove(first)
                instead += economy.sign_twice(who, first, drafts[best - 1])
        return instead


class GrindTies(PlaceTaker):
    """Row 32: with one more signature, chosen of many, take the places that all want."""

    def have_last_word(self, economy: Economy) -> Signed:
        ours = self.find_ours(economy)
        if ours:
            who = name_of(ours[-1].header.author)
            yield economy.grind(who, lambda epoch: self.count_places(economy, epoch))


class BackDate(Cheat):
    """Row 33: wait for others' answers, then commit to the best as if the window were open."""

    def commit(self, economy: Economy, who: str, task: Task) -> Signed:
        return ()

    def reveal(self, economy: Economy, who: str, task: Task) -> Signed:
        yield from super().reveal(economy, who, task)
        shown = find_best_shown(economy, task)
        if shown is None or not economy.is_taker(who, task):
            return
        if economy.once("commit", who, task.task_id):
            payload = economy.commit(who, task.task_id, economy.content_of(shown))
            then = economy.world.epoch - economy.world.params.late_epochs
            yield economy.world.sign_as_of(then, who, "submit_answer", payload, task.task_id)


# ------------------------------------------------------------------------------------- claims


class ClaimOthers(Cheat):
    """Row 30: claim one's own reward twice at once, and everybody else's too."""

    def claim(self, economy: Economy, who: str, task: Task) -> Signed:
        for entry in find_claimable(economy, task):
            if economy.once("claim", who, entry.entry_id):
                yield sign_claim(economy, who, task, entry)
                if entry.recipient == an_address(who):
                    yield sign_claim(economy, who, task, entry)


class ClaimAgain(Cheat):
    """Row 31: repeat every claim in the next three epochs, also under another task's id."""

    def __init__(self, coalition: frozenset[str]) -> None:
        super().__init__(coalition)
        self._claims: list[tuple[int, str, bytes, ClaimReward]] = []

    def claim(self, economy: Economy, who: str, task: Task) -> Signed:
        for tx in super().claim(economy, who, task):
            self._claims.append((economy.next, who, task.task_id, tx.payload))
            yield tx

    def have_last_word(self, economy: Economy) -> Signed:
        others = sorted(economy.live)
        for claimed_at, who, task_id, payload in self._claims:
            if claimed_at < economy.next <= claimed_at + 3:
                yield economy.sign(who, "claim_reward", payload, task_id)
                yield from (
                    economy.sign(who, "claim_reward", payload, other) for other in others[:1]
                )


class ClaimRevoked(Cheat):
    """Row 34: hold the claim of a result back, have it revoked and renewed, then claim both.

    What revokes it is an objection of one's own that no arbiter follows.
    """

    def object(self, economy: Economy, who: str, task: Task) -> Signed:
        if task.status is not TaskStatus.COMPLETED or task.lifecycle.round:
            return
        own = [one for one in find_entries(economy, task, 0) if one.recipient == an_address(who)]
        is_winner = any(one.role is RewardRole.WINNER for one in own)
        if is_winner and economy.once("object", task.task_id, 0):
            exhibit = Exhibit(EvidenceType.TECHNICAL_ANALYSIS, a_hash("nothing"))
            bond = compute_bond_min(task.terms.reward)
            payload = OpenDispute(DisputeType.QUALITY_ASSESSMENT, None, (exhibit,), "", bond)
            yield economy.sign(who, "open_dispute", payload, task.task_id)

    def claim(self, economy: Economy, who: str, task: Task) -> Signed:
        for round_ in range(task.lifecycle.round):
            for entry in find_entries(economy, task, round_):
                if entry.recipient == an_address(who) and economy.once("claim", entry.entry_id):
                    yield sign_claim(economy, who, task, entry, round_)
        yield from super().claim(economy, who, task)


# ------------------------------------------------------------------------------------ answers


class CopyAnswer(Cheat):
    """Row 35: commit to the best answer that was shown; to one's own if none was."""

    def commit(self, economy: Economy, who: str, task: Task) -> Signed:
        is_last = economy.next == task.lifecycle.submission_deadline
        if is_last and economy.is_taker(who, task) and economy.once("commit", who, task.task_id):
            shown = find_best_shown(economy, task)
            own = economy.work(who, task.task_id)
            content = own if shown is None else economy.content_of(shown)
            payload = economy.commit(who, task.task_id, content)
            yield economy.sign(who, "submit_answer", payload, task.task_id)


class CopyCommitment(Cheat):
    """Row 36: commit to what another has just committed to, and open it as he does."""

    def __init__(self, coalition: frozenset[str]) -> None:
        super().__init__(coalition)
        self._victims: dict[tuple[str, bytes], str] = {}

    def commit(self, economy: Economy, who: str, task: Task) -> Signed:
        for tx in super().commit(economy, who, task):
            payload = tx.payload
            for other in find_commitments(economy.pending):
                victim = name_of(other.header.author)
                if other.header.subject == task.task_id and victim not in self.coalition:
                    payload = replace(payload, commitment=other.payload.commitment)
                    self._victims[(who, task.task_id)] = victim
            own = economy.world.sign(
                who, "submit_answer", payload, subject=task.task_id, seq=tx.header.seq
            )
            yield economy.take(who, own)

    def reveal(self, economy: Economy, who: str, task: Task) -> Signed:
        victim = self._victims.get((who, task.task_id))
        if victim is None:
            yield from super().reveal(economy, who, task)
            return
        submission = economy.submission_of(who, task)
        stolen = economy.submission_of(victim, task)
        is_shown = stolen is not None and stolen.content_hash is not None
        if submission is not None and is_shown and economy.once("reveal", who, task.task_id):
            payload = economy.reveal(who, submission, victim)
            yield economy.sign(who, "reveal_answer", payload, task.task_id)


class HideBadAnswers(Cheat):
    """Row 36: show no answer that would be punished as wrong."""

    def reveal(self, economy: Economy, who: str, task: Task) -> Signed:
        if economy.worth_of(economy.work(who, task.task_id)) >= BAD:
            yield from super().reveal(economy, who, task)


# -------------------------------------------------------------------------------------- votes


class JudgeBlindly(Cheat):
    """Row 37: look at nothing, say of each answer what is usual, and be the first to say it."""

    def judge(self, economy: Economy, who: str, task: Task) -> Signed:
        for submission, round_ in find_unjudged(economy, who, task):
            yield economy.vote(who, submission, round_, USUAL)


class CopyVotes(Cheat):
    """Row 37: look at nothing, wait for votes that can be seen, and commit to what they say.

    Where none is seen by the last epoch for commitments, what is usual must do.
    """

    def judge(self, economy: Economy, who: str, task: Task) -> Signed:
        is_last = economy.next == task.lifecycle.validation_deadline
        if find_shown_votes(economy, task) or is_last:
            for submission, round_ in find_unjudged(economy, who, task):
                score = find_middle(economy, submission)
                yield economy.vote(who, submission, round_, USUAL if score is None else score)


# ------------------------------------------------------------------------------------ reading


def find_commitments(transactions: Iterable[SignedTransaction]) -> list[SignedTransaction]:
    """Return the commitments to answers among transactions."""
    return [tx for tx in transactions if tx.header.kind == SUBMIT_ANSWER.code]


def find_best_shown(economy: Economy, task: Task) -> Submission | None:
    """Return the best answer to a task that everybody can read by now."""
    shown = [one for one in economy.submissions(task) if one.content_hash is not None]
    return max(shown, key=lambda one: economy.worth_of(economy.content_of(one)), default=None)


def find_shown_votes(economy: Economy, task: Task) -> list[tuple[bytes, int]]:
    """Return answer and score of every vote of others in the present round that can be seen."""
    round_ = read_voting_round(economy.world.view, task)
    sealed = [
        (vote.submission_id, vote.score)
        for submission in economy.submissions(task)
        for vote in economy.votes(submission, round_)
        if name_of(vote.validator) not in economy.attackers
    ]
    return sealed + [
        (tx.payload.submission_id, tx.payload.score)
        for tx in economy.pending
        if tx.header.kind == REVEAL_VOTE.code
        and tx.header.subject == task.task_id
        and name_of(tx.header.author) not in economy.attackers
    ]


def find_middle(economy: Economy, submission: Submission) -> int | None:
    """Return the middle of the votes of others on an answer that can be seen."""
    task = economy.world.task(submission.task_id)
    shown = find_shown_votes(economy, task)
    scores = [score for about, score in shown if about == submission.submission_id]
    return median_low(scores) if scores else None


def find_entries(economy: Economy, task: Task, round_: int) -> Iterator[RewardEntry]:
    """Yield the entries of a round of a task, whatever their state."""
    row = economy.world.view.get(REWARDS, reward_key(task.task_id, round_))
    yield from () if row is None else row.entries


def sign_claim(
    economy: Economy, who: str, task: Task, entry: RewardEntry, round_: int | None = None
) -> SignedTransaction:
    """Return somebody's claim of an entry, his own or not."""
    payload = ClaimReward(entry.entry_id, task.lifecycle.round if round_ is None else round_)
    return economy.sign(who, "claim_reward", payload, task.task_id)
