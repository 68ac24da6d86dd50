"""A world whose every seal is also committed to a store: real rows, from real folds."""

import random
from collections.abc import Sequence

from protocol.chains import build_evidence
from protocol.charter import find_charter
from protocol.dispute_records import Choice
from protocol.fold import Outcome
from protocol.keys import Signer
from protocol.lthash import LtHash
from protocol.phases import DisputeStatus, RewardState, SubmissionStatus, TaskStatus
from protocol.records import RewardDistribution, Task
from protocol.seals import (
    Seal,
    SealContent,
    build_sharing,
    compute_seal_hash,
    compute_sealers_hash,
    compute_set_root,
    has_secret,
    sign_seal,
)
from protocol.sharing import count_deals
from protocol.tables import REWARDS, TASKS, reward_key
from protocol.transactions import SignedTransaction
from storage.store import Store
from tests.support.builders import PUBLISHER, SOLVERS, VALIDATORS, a_hash, a_signer, name_of
from tests.support.court import (
    appeal,
    arbiters,
    arbitrate,
    bring,
    case_of,
    object_to,
    report,
    withdraw,
)
from tests.support.world import Place, World

OBJECTIONS = 0.04
"""How often somebody objects to a task that can be disputed, in an epoch."""
DISPUTABLE = (TaskStatus.ANSWERS_SUBMITTED, TaskStatus.UNDER_VALIDATION, TaskStatus.COMPLETED)


class StoredWorld(World):
    """A world that keeps its state in a store as well as in a dictionary."""

    def __init__(self, store: Store) -> None:
        """Begin at the genesis of an empty store."""
        super().__init__(store.genesis)
        self.store = store

    def seal(self, *transactions: SignedTransaction, evidence: Sequence[Place] = ()) -> Outcome:
        """End the epoch; commit it to the store."""
        self.secret = a_secret(self.store)
        outcome = super().seal(*transactions, evidence=evidence)
        self.store.put_transactions(transactions)
        ids = [tx.tx_id for tx in transactions]
        for author, seq in evidence:
            ids += [
                key
                for key, place in self.store.journal.open_evidence().items()
                if place == (author, seq)
            ]
        commit(self.store, sorted(ids), outcome)
        # What follows stands on the seal that the store has, signed and with its state root.
        self.seal_hash = self.store.head.seal_hash
        self.anchors[self.epoch] = self.seal_hash
        return outcome

    def equivocate(self, who: str, kind: str, one: object, other: object) -> Place:
        """Have somebody sign two transactions with one seq; store the proof, return the place."""
        first = self.sign(who, kind, one)
        second = self.sign(who, kind, other, seq=first.header.seq)
        self.store.put_transactions([first])
        self.store.put_evidence(build_evidence(first, second))
        return first.header.author, first.header.seq


def compute_rows_hash(store: Store, outcome: Outcome) -> LtHash:
    """Return the set hash of the rows after an outcome."""
    rows_hash = store.head.rows_hash.copy()
    for change in outcome.changes:
        table = change.table
        if change.before is not None:
            rows_hash.remove_row(table.name, change.key, table.encode_row(change.before))
        if change.after is not None:
            rows_hash.add_row(table.name, change.key, table.encode_row(change.after))
    return rows_hash


def list_sealers(store: Store) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Return the sealers of the next epoch of a store, and those of the one after it."""
    here, after = (
        find_charter(store.view, store.genesis, store.head.epoch + ahead) for ahead in (1, 2)
    )
    return here.sealers, after.sealers


def a_secret(store: Store) -> bytes | None:
    """Return what stands for the secret of the next epoch of a store, if it must have one."""
    epoch = store.head.epoch + 1
    is_secret = has_secret(epoch, len(list_sealers(store)[0]))
    return a_hash(f"secret of epoch {epoch}") if is_secret else None


def build_seal(
    store: Store, ids: Sequence[bytes], rows_hash: LtHash, signer: Signer | None = None
) -> Seal:
    """Return the next seal of a store, signed by all sealers of its epoch or by somebody else."""
    sealers, sealers_next = list_sealers(store)
    deals = [a_hash(f"deal {place}") for place in range(count_deals(len(sealers_next)))]
    content = SealContent(
        epoch=store.head.epoch + 1,
        prev=store.head.seal_hash,
        set_root=compute_set_root(ids),
        count=len(ids),
        state_root=rows_hash.state_root(),
        sealers_next=compute_sealers_hash(sealers_next),
        time_ms=0,
        sharing=build_sharing(a_secret(store), deals),
    )
    signers = [signer] if signer else [a_signer(name_of(address)) for address in sealers]
    return Seal(content, tuple(sign_seal(store.genesis.network, content, one) for one in signers))


def commit(
    store: Store, ids: Sequence[bytes], outcome: Outcome, signer: Signer | None = None
) -> Seal:
    """Seal and commit an outcome."""
    rows_hash = compute_rows_hash(store, outcome)
    seal = build_seal(store, ids, rows_hash, signer)
    seal_hash = compute_seal_hash(store.genesis.network, seal.content)
    store.commit_epoch(seal, seal_hash, ids, outcome, rows_hash)
    return seal


def play_randomly(world: World, chance: random.Random, epochs: int) -> None:
    """Live through some epochs: everybody does now and then what may or may not be legal."""
    for _ in range(epochs):
        world.seal(*draw_moves(world, chance))


def draw_moves(world: World, chance: random.Random) -> list[SignedTransaction]:
    """Return what everybody does in one epoch, legal or not, signed."""
    taken: list[SignedTransaction] = []
    for who in (*SOLVERS, *VALIDATORS):
        if chance.random() < 0.2:
            roles = chance.randrange(1, 4)
            taken.append(world.register(who, roles=roles))
    if chance.random() < 0.6:
        taken.append(world.publish(PUBLISHER, submission_epochs=chance.randrange(4, 7)))
    tasks = [key for name, key in sorted(world.view.rows) if name == TASKS.name]
    for task_id in tasks:
        taken += act_on(world, chance, task_id)
    return taken


def act_on(world: World, chance: random.Random, task_id: bytes) -> list[SignedTransaction]:
    """Return what some people now do to a task, each what its phase allows him."""
    task = world.task(task_id)
    answered = [name_of(one.miner) for one in task.participants]
    if chance.random() < OBJECTIONS and task.status in DISPUTABLE and not task.settled:
        return [object_to(world, chance.choice([PUBLISHER, *answered]), task_id)]
    match task.status:
        case TaskStatus.PUBLISHED | TaskStatus.IN_PROGRESS:
            if chance.random() < 0.05:
                return [world.cancel(PUBLISHER, task_id)]
            return [world.submit(who, task_id) for who in SOLVERS if chance.random() < 0.3]
        case TaskStatus.ANSWERS_SUBMITTED:
            return [world.reveal(who, task_id) for who in answered if chance.random() < 0.6]
        case TaskStatus.UNDER_VALIDATION:
            revealed = [
                who
                for who in answered
                if world.submission(task_id, who).status == SubmissionStatus.UNDER_REVIEW
            ]
            # Whoever reports is not drawn by lot: a report takes nobody's turn.
            reported = revealed[:1] if world.epoch % 4 == 0 else []
            reports = [report(world, VALIDATORS[0], task_id, one) for one in reported]
            hidden = world.hidden_votes(task_id)
            if hidden and world.epoch >= task.lifecycle.validation_deadline:
                return reports + [world.show(one) for one in hidden if chance.random() < 0.8]
            return reports + [
                world.vote(voter, task_id, miner, draw_score(chance))
                for voter in world.panel(task_id)
                for miner in revealed
                if chance.random() < 0.4
            ]
        case TaskStatus.COMPLETED:
            return [
                world.claim(name_of(entry.recipient), task_id, entry, round=row.round)
                for row in read_distributions(world, task)
                for entry in row.entries
                if entry.state != RewardState.CLAIMED and chance.random() < 0.3
            ]
        case TaskStatus.DISPUTED:
            return _act_in_court(world, chance, task_id)
        case _:
            return []


def draw_score(chance: random.Random) -> int:
    """Return a score: most are near one another, as of people who have looked."""
    return chance.randrange(101) if chance.random() < 0.1 else 75 + chance.randrange(15)


def read_distributions(world: World, task: Task) -> list[RewardDistribution]:
    """Return what was decided of a task's reward, by round; not every round comes to that."""
    rounds = range(task.lifecycle.round + 1)
    found = [world.view.get(REWARDS, reward_key(task.task_id, one)) for one in rounds]
    return [row for row in found if row is not None]


def _act_in_court(world: World, chance: random.Random, task_id: bytes) -> list[SignedTransaction]:
    case = case_of(world, task_id)
    side = name_of(chance.choice([case.disputer, *case.defendants]))
    match case.status:
        case DisputeStatus.PENDING if chance.random() < 0.2:
            return [withdraw(world, side, task_id)]
        case DisputeStatus.UNDER_REVIEW:
            return [
                _vote_in_court(world, chance, task_id, who)
                for who in arbiters(world, task_id)
                if chance.random() < 0.7
            ]
        case DisputeStatus.RESOLVED_APPEALABLE if chance.random() < 0.3:
            return [appeal(world, side, task_id)]
        case _:
            return [bring(world, side, task_id, f"item {world.epoch}")]


def _vote_in_court(
    world: World, chance: random.Random, task_id: bytes, who: str
) -> SignedTransaction:
    choice = chance.choice([Choice.UPHOLD, Choice.OVERTURN, Choice.REVALIDATE, Choice.VOID])
    guilty = {"submissions": (world.task(task_id).participants[0].submission_id,)}
    named = guilty if choice is Choice.OVERTURN else {}
    return arbitrate(world, who, task_id, choice, **named)
