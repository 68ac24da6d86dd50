"""A whole network without peers: people sign, epochs are sealed, the state is in a dictionary.

No clock and no chance. Every seal is checked for admissibility and against all invariants, so a
test that only drives a world through a story already proves that nothing broke on the way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from protocol import kinds
from protocol.book import Book
from protocol.chains import find_inadmissible
from protocol.charter import find_charter
from protocol.charter_records import Charter
from protocol.convictions import read_voting_round
from protocol.epoch import Epoch
from protocol.fold import Outcome, fold_epoch
from protocol.genesis import Genesis
from protocol.invariants import ConsistencyChecker
from protocol.kinds.cancel_task import CancelTask
from protocol.kinds.claim_reward import ClaimReward
from protocol.kinds.reveal_vote import RevealVote
from protocol.params import Params
from protocol.phases import VoteState
from protocol.records import (
    ROLE_SOLVER,
    ROLE_VALIDATOR,
    Account,
    Ledger,
    Miner,
    RewardDistribution,
    RewardEntry,
    Ruling,
    Submission,
    Task,
    Validation,
    VoteCommitment,
)
from protocol.resolver import History, SealedSet, build_epoch
from protocol.seals import SealContent, compute_seal_hash, compute_set_root
from protocol.tables import (
    ACCOUNTS,
    LEDGER,
    LEDGER_KEY,
    MINERS,
    REWARDS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    VOTE_COMMITMENTS,
    Table,
    reward_key,
    validation_key,
)
from protocol.transactions import (
    ANCHOR_BYTES,
    VERSION,
    Header,
    SignedTransaction,
    compute_task_id,
    sign_transaction,
)
from protocol.view import MemoryView
from protocol.windows import apply_time_moves
from tests.support.builders import (
    SOLVERS,
    VALIDATORS,
    a_commitment,
    a_genesis,
    a_registration,
    a_reveal,
    a_signer,
    a_submission_id,
    a_task,
    a_vote,
    a_vote_commitment,
    an_address,
    an_answer,
    name_of,
)

T = TypeVar("T")
Place = tuple[bytes, int]


class World:
    """One network: its sealed state, its people's chains, its history.

    Attributes:
        secret: of the epoch to come, as its sealers will open it; None where one seals alone.
    """

    def __init__(self, genesis: Genesis | None = None) -> None:
        """Begin at the genesis; nobody is registered."""
        self.genesis = genesis or a_genesis()
        self.network = self.genesis.network
        self.view = MemoryView(self.genesis.rows())
        self.epoch = 0
        self.seal_hash = self.genesis.hash
        self.anchors: dict[int, bytes] = {0: self.seal_hash}
        self.secret: bytes | None = None
        self.history: list[SealedSet] = []
        self.rulings: dict[bytes, Ruling] = {}
        self.links: dict[Place, SignedTransaction] = {}
        self._chains: dict[str, tuple[int, bytes | None]] = {}
        self._votes: dict[bytes, RevealVote] = {}
        self._checker = ConsistencyChecker()

    @property
    def charter(self) -> Charter:
        """The numbers and the sealers of the next epoch."""
        return find_charter(self.view, self.genesis, self.epoch + 1)

    @property
    def params(self) -> Params:
        """The numbers of the next epoch."""
        return self.charter.params

    def fork(self) -> "World":
        """Return an independent copy: the same past, another future."""
        other = World(self.genesis)
        other.view = MemoryView(self.view.rows)
        other.epoch, other.seal_hash = self.epoch, self.seal_hash
        other.secret = self.secret
        other.anchors, other.links = dict(self.anchors), dict(self.links)
        other.history, other.rulings = list(self.history), dict(self.rulings)
        other._chains, other._votes = dict(self._chains), dict(self._votes)
        return other

    def adopt(self, transactions: Iterable[SignedTransaction]) -> None:
        """Store what was signed elsewhere, so that it links here too."""
        for tx in transactions:
            self.links.setdefault((tx.header.author, tx.header.seq), tx)

    # ------------------------------------------------------------------------------- signing

    def sign(
        self,
        who: str,
        kind: str,
        payload: Any,
        *,
        subject: bytes | None = None,
        seq: int | None = None,
        refs: tuple[bytes, ...] = (),
    ) -> SignedTransaction:
        """Return the next transaction of somebody's chain; an explicit `seq` makes a fork."""
        next_seq, prev = self._chains.get(who, (0, None))
        place = next_seq if seq is None else seq
        if seq is not None:
            prev = self.links[(an_address(who), seq - 1)].tx_id if seq else None
        if subject is None:
            if kind == "publish_task":
                subject = compute_task_id(self.network, an_address(who), place)
            else:
                subject = an_address(who)
        header = Header(
            version=VERSION,
            network=self.network,
            kind=kinds.BY_NAME[kind].code,
            author=an_address(who),
            seq=place,
            prev=prev,
            epoch=self.epoch + 1,
            anchor=self.seal_hash[:ANCHOR_BYTES],
            subject=subject,
            refs=refs,
        )
        tx = sign_transaction(header, payload, a_signer(who))
        if seq is None:
            self._chains[who] = (place + 1, tx.tx_id)
            self.links[(header.author, place)] = tx
        return tx

    def register(self, who: str, **changes: Any) -> SignedTransaction:
        """Return somebody's registration."""
        return self.sign(who, "register_miner", a_registration(**changes))

    def publish(self, who: str = "alice", **changes: Any) -> SignedTransaction:
        """Return the publication of a task; its subject is the task id."""
        return self.sign(who, "publish_task", a_task(**changes))

    def cancel(self, who: str, task_id: bytes) -> SignedTransaction:
        """Return a cancellation."""
        return self.sign(who, "cancel_task", CancelTask("changed my mind"), subject=task_id)

    def submit(self, who: str, task_id: bytes, **changes: Any) -> SignedTransaction:
        """Return somebody's commitment."""
        payload = an_answer(self.network, task_id, who, **changes)
        return self.sign(who, "submit_answer", payload, subject=task_id)

    def reveal(self, who: str, task_id: bytes, **changes: Any) -> SignedTransaction:
        """Return somebody's opening of his commitment."""
        payload = a_reveal(self.network, task_id, who, **changes)
        return self.sign(who, "reveal_answer", payload, subject=task_id)

    def vote(
        self, who: str, task_id: bytes, miner: str, score: int | None, **changes: Any
    ) -> SignedTransaction:
        """Return somebody's commitment to a vote on the answer of `miner`; None abstains."""
        task = self.view.get(TASKS, task_id)
        changes.setdefault("round", 0 if task is None else read_voting_round(self.view, task))
        vote = a_vote(self.submission_id(task_id, miner), score)
        payload = a_vote_commitment(self.network, who, vote, **changes)
        self._votes[payload.commitment] = vote
        return self.sign(who, "validate_answer", payload, subject=task_id)

    def show(self, vote: SignedTransaction | VoteCommitment, **changes: Any) -> SignedTransaction:
        """Return what shows a vote: that of a commitment just signed, or of a sealed one."""
        if isinstance(vote, VoteCommitment):
            author, subject, commitment = vote.validator, vote.task_id, vote.commitment
        else:
            author, subject = vote.header.author, vote.header.subject
            commitment = vote.payload.commitment
        payload = replace(self._votes[commitment], **changes)
        return self.sign(name_of(author), "reveal_vote", payload, subject=subject)

    def claim(
        self, who: str, task_id: bytes, entry: RewardEntry | bytes, *, round: int = 0
    ) -> SignedTransaction:
        """Return somebody's claim of an entry of the distribution of a round."""
        entry_id = entry if isinstance(entry, bytes) else entry.entry_id
        return self.sign(who, "claim_reward", ClaimReward(entry_id, round), subject=task_id)

    # ------------------------------------------------------------------------------- sealing

    def fold(
        self, transactions: Iterable[SignedTransaction], evidence: Iterable[Place] = ()
    ) -> tuple[Epoch, Outcome]:
        """Return what the next epoch would be and do; nothing is applied."""
        epoch = self.build_epoch(transactions, evidence)
        return epoch, fold_epoch(self.view, self.genesis, epoch)

    def build_epoch(
        self, transactions: Iterable[SignedTransaction], evidence: Iterable[Place] = ()
    ) -> Epoch:
        """Return the next epoch as the fold takes it."""
        sealed = SealedSet(self.seal_hash, tuple(transactions), tuple(evidence), self.secret)
        return build_epoch(self.epoch + 1, sealed)

    def fold_provisionally(self, transactions: Iterable[SignedTransaction]) -> "World":
        """Return a world as the next epoch would leave this one, its beacon not yet known."""
        epoch = Epoch(self.epoch + 1, None, tuple(transactions))
        outcome = fold_epoch(self.view, self.genesis, epoch)
        other = self.fork()
        other.view.apply(((one.table.name, one.key), one.after) for one in outcome.changes)
        return other

    def fold_task_at(self, task_id: bytes, epoch: int) -> Task:
        """Return what time alone makes of a task if the next seal is that of `epoch`."""
        book = Book(self.view, self.charter, self.network, epoch, bytes(32))
        apply_time_moves(book, task_id)
        task = book.get(TASKS, task_id)
        assert task is not None
        return task

    def task_of(self, outcome: Outcome, task_id: bytes) -> Task:
        """Return a task as an outcome leaves it."""
        found = [one.after for one in outcome.changes if one.key == task_id]
        assert isinstance(found[0], Task)
        return found[0]

    def seal(self, *transactions: SignedTransaction, evidence: Sequence[Place] = ()) -> Outcome:
        """End the epoch with these transactions; return what it did."""
        for tx in transactions:
            kinds.BY_CODE[tx.header.kind].check(tx.header, tx.payload)
        places = tuple(sorted(evidence))
        inadmissible = find_inadmissible(
            transactions,
            places,
            self.epoch + 1,
            self.params.late_epochs,
            self.view,
            self.anchors,
            lambda author, seq: self.links.get((author, seq)),
        )
        assert inadmissible is None, inadmissible
        epoch, outcome = self.fold(transactions, places)
        self._checker.check(self.view, outcome)
        self.view.apply(((one.table.name, one.key), one.after) for one in outcome.changes)
        self.history.append(SealedSet(self.seal_hash, epoch.transactions, places, self.secret))
        self.rulings.update((ruling.tx_id, ruling) for ruling in outcome.rulings)
        content = SealContent(
            epoch=epoch.number,
            prev=self.seal_hash,
            set_root=compute_set_root(tx.tx_id for tx in transactions),
            count=len(transactions),
            state_root=bytes(32),
            sealers_next=bytes(32),
            time_ms=0,
        )
        self.epoch = epoch.number
        self.seal_hash = compute_seal_hash(self.network, content)
        self.anchors[self.epoch] = self.seal_hash
        return outcome

    def to_history(self) -> History:
        """Return the causes of the present state."""
        return History(self.genesis, tuple(self.history))

    def pass_until(self, epoch: int) -> None:
        """Seal empty epochs until `epoch` is the last sealed one."""
        while self.epoch < epoch:
            self.seal()

    # ------------------------------------------------------------------------------ episodes

    def settle_cast(self) -> None:
        """Register all solvers and validators of the cast."""
        self.seal(
            *(self.register(who, roles=ROLE_SOLVER) for who in SOLVERS),
            *(self.register(who, roles=ROLE_VALIDATOR) for who in VALIDATORS),
        )

    def open_task(self, **changes: Any) -> bytes:
        """Publish a task and return its id."""
        tx = self.publish(**changes)
        self.seal(tx)
        return tx.header.subject

    def collect_answers(self, task_id: bytes, miners: Sequence[str]) -> None:
        """Have miners commit, and wait until answers can be revealed."""
        self.seal(*(self.submit(who, task_id) for who in miners))
        self.pass_until(self.task(task_id).lifecycle.submission_deadline)

    def reveal_answers(self, task_id: bytes, miners: Sequence[str]) -> None:
        """Have miners show their answers."""
        self.seal(*(self.reveal(who, task_id) for who in miners))

    def judge(self, task_id: bytes, scores: dict[str, Sequence[int | None]]) -> None:
        """Have the first of the panel vote on each miner's answer, in the order of the panel."""
        panel = self.panel(task_id)
        self.cast_votes(
            *(
                self.vote(panel[i], task_id, miner, score)
                for miner, row in scores.items()
                for i, score in enumerate(row)
            )
        )

    def cast_votes(self, *votes: SignedTransaction) -> list[SignedTransaction]:
        """Have people commit to votes and, once votes are open, show them; return what does."""
        self.seal(*votes)
        tasks = {tx.header.subject for tx in votes}
        self.pass_until(max(self.task(one).lifecycle.validation_deadline for one in tasks))
        shown = [self.show(tx) for tx in votes]
        self.seal(*shown)
        return shown

    def settle(self, task_id: bytes) -> None:
        """Let the dispute window pass."""
        deadline = self.task(task_id).lifecycle.dispute_deadline
        assert deadline is not None
        self.pass_until(deadline + 1)

    # ------------------------------------------------------------------------------- reading

    def require(self, table: Table[T], key: bytes) -> T:
        """Return a row that is there."""
        row = self.view.get(table, key)
        assert row is not None, f"no row in {table.name}"
        return row

    def commitment(self, task_id: bytes, who: str) -> bytes:
        """Return somebody's commitment to his answer."""
        return a_commitment(self.network, task_id, who)

    def task(self, task_id: bytes) -> Task:
        """Return a task."""
        return self.require(TASKS, task_id)

    def submission_id(self, task_id: bytes, who: str) -> bytes:
        """Return the id of somebody's submission."""
        return a_submission_id(self.network, task_id, who)

    def submission(self, task_id: bytes, who: str) -> Submission:
        """Return somebody's submission."""
        return self.require(SUBMISSIONS, self.submission_id(task_id, who))

    def validation(self, task_id: bytes, who: str, miner: str) -> Validation:
        """Return somebody's vote on the answer of `miner`."""
        key = validation_key(self.submission_id(task_id, miner), an_address(who), 0)
        return self.require(VALIDATIONS, key)

    def hidden_votes(self, task_id: bytes) -> list[VoteCommitment]:
        """Return the commitments to votes on the answers to a task that are still to be shown."""
        rows = sorted(self.view.rows.items())
        found = [row for (name, _), row in rows if name == VOTE_COMMITMENTS.name]
        return [one for one in found if one.task_id == task_id and one.state is VoteState.COMMITTED]

    def distribution(self, task_id: bytes, round_: int | None = None) -> RewardDistribution:
        """Return the distribution of a task's reward, of its present round or another."""
        if round_ is None:
            round_ = self.task(task_id).lifecycle.round
        return self.require(REWARDS, reward_key(task_id, round_))

    def entries_of(self, task_id: bytes, who: str) -> list[RewardEntry]:
        """Return what somebody can claim or has claimed of a task."""
        entries = self.distribution(task_id).entries
        return [entry for entry in entries if entry.recipient == an_address(who)]

    def panel(self, task_id: bytes) -> list[str]:
        """Return the names of those drawn to judge a task."""
        return [name_of(address) for address in self.task(task_id).panel]

    def account(self, who: str) -> Account:
        """Return somebody's account."""
        return self.require(ACCOUNTS, an_address(who))

    def balance(self, who: str) -> int:
        """Return somebody's balance in nano-units."""
        return self.account(who).balance

    def miner(self, who: str) -> Miner:
        """Return somebody's row as a miner."""
        return self.require(MINERS, an_address(who))

    @property
    def ledger(self) -> Ledger:
        """Where all money is."""
        return self.require(LEDGER, LEDGER_KEY)

    def code_of(self, tx: SignedTransaction) -> str | None:
        """Return why a sealed transaction was refused, None if it stands."""
        ruling = self.rulings.get(tx.tx_id)
        return None if ruling is None else ruling.code
