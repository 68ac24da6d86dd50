"""Any bytes are a history: a program whose instructions are what people do to one another.

Most instructions do what makes sense in the task's phase, so that histories reach deep; the others
do anything at all. A short program is a short history, so a failing one shrinks well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protocol.dispute_records import Choice, DisputeType
from protocol.judgment import ACCUSING
from protocol.kinds.adjust_stake import AdjustStake, StakeAction
from protocol.phases import DisputeStatus, TaskStatus
from protocol.tables import REWARDS, SUBMISSIONS, TASKS, reward_key
from protocol.transactions import SignedTransaction
from protocol.view import compute_dispute_deadline
from tests.support.builders import (
    CAST,
    SOLVERS,
    VALIDATORS,
    a_hash,
    a_vote,
    an_address,
    name_of,
)
from tests.support.court import (
    BOND,
    a_court,
    appeal,
    arbitrate,
    bring,
    case_of,
    object_to,
    report,
    withdraw,
)
from tests.support.world import World

SCORES = (None, 0, 20, 45, 70, 80, 85, 100)
STRANGERS = ("eve", "mallory")
TASKS_MAX = 3


@dataclass
class Machine:
    """One network driven by a program.

    Attributes:
        world: the network; all its people are registered from the first epoch on.
        pending: signed, not yet sealed.
        tasks: ids of all tasks published.
    """

    world: World
    pending: list[SignedTransaction] = field(default_factory=list)
    evidence: list[tuple[bytes, int]] = field(default_factory=list)
    tasks: list[bytes] = field(default_factory=list)
    barred: set[str] = field(default_factory=set)

    def put(self, tx: SignedTransaction) -> None:
        """Have a transaction wait for the next seal."""
        self.pending.append(tx)

    def seal(self, late: str | None = None) -> None:
        """End the epoch with all that waits, but for what somebody holds back for the next."""
        author = an_address(late) if late is not None else b""
        held = [tx for tx in self.pending if tx.header.author == author]
        taken = [tx for tx in self.pending if tx.header.author != author]
        self.world.seal(*taken, evidence=self.evidence)
        self.pending = held
        self.evidence.clear()

    def pass_until(self, epoch: int) -> None:
        """Seal what waits, then empty epochs."""
        if self.world.epoch < epoch:
            self.seal()
            self.world.pass_until(epoch)


def run_program(program: bytes) -> World:
    """Return the network that a program makes; every seal was checked against all invariants."""
    machine = Machine(a_court())
    _publish(machine, 0)
    machine.seal()
    for i in range(0, len(program) - 1, 2):
        deed, argument = program[i], program[i + 1]
        _DEEDS[deed % len(_DEEDS)](machine, argument)
    machine.seal()
    return machine.world


def _free(machine: Machine, names: tuple[str, ...], argument: int) -> str | None:
    who = names[argument % len(names)]
    return None if who in machine.barred else who


def _publish(machine: Machine, argument: int) -> None:
    who = _free(machine, ("alice", "eve"), argument)
    if who is not None and len(machine.tasks) < TASKS_MAX:
        tx = machine.world.publish(who, max_participants=1 + argument // 2 % 3)
        machine.put(tx)
        machine.tasks.append(tx.header.subject)


def _go_on(machine: Machine, argument: int) -> None:
    """Do what makes sense for one of the tasks."""
    task_id = machine.tasks[argument % len(machine.tasks)]
    task = machine.world.view.get(TASKS, task_id)
    if task is None or task.status in (TaskStatus.PUBLISHED, TaskStatus.IN_PROGRESS):
        _submit(machine, argument)
    elif task.status is TaskStatus.ANSWERS_SUBMITTED:
        machine.pass_until(task.lifecycle.submission_deadline)
        _reveal_all(machine, argument)
    elif task.status is TaskStatus.UNDER_VALIDATION:
        deadline = task.lifecycle.validation_deadline
        if machine.world.epoch < deadline and not machine.world.hidden_votes(task_id):
            _vote_all(machine, argument)
        else:
            machine.pass_until(deadline)
            _show_all(machine, argument)
    elif task.status is TaskStatus.DISPUTED:
        _go_to_court(machine, argument)
    else:
        _claim(machine, argument)


def _submit(machine: Machine, argument: int) -> None:
    who = _free(machine, SOLVERS, argument // 4)
    if who is not None:
        machine.put(machine.world.submit(who, machine.tasks[argument % len(machine.tasks)]))


def _copy(machine: Machine, argument: int) -> None:
    """Commit to what another has committed to."""
    who = _free(machine, SOLVERS, argument // 4)
    if who is not None:
        task_id = machine.tasks[argument % len(machine.tasks)]
        victim = SOLVERS[(argument // 4 + 1) % len(SOLVERS)]
        stolen = machine.world.commitment(task_id, victim)
        machine.put(machine.world.submit(who, task_id, commitment=stolen))


def _reveal(machine: Machine, argument: int) -> None:
    who = _free(machine, SOLVERS, argument // 4)
    if who is not None:
        machine.put(machine.world.reveal(who, machine.tasks[argument % len(machine.tasks)]))


def _reveal_all(machine: Machine, argument: int) -> None:
    """Have most of those who answered show it."""
    task_id = machine.tasks[argument % len(machine.tasks)]
    for i, who in enumerate(SOLVERS):
        if who not in machine.barred and (argument >> 3 + i) % 4:
            machine.put(machine.world.reveal(who, task_id))


def _vote(machine: Machine, argument: int) -> None:
    who = _free(machine, (*VALIDATORS, "bob"), argument // 4)
    if who is not None:
        task_id = machine.tasks[argument % len(machine.tasks)]
        miner, score = SOLVERS[argument // 8 % 3], SCORES[argument // 3 % len(SCORES)]
        machine.put(machine.world.vote(who, task_id, miner, score))


def _vote_all(machine: Machine, argument: int) -> None:
    """Have the whole panel vote on every answer alike."""
    task_id = machine.tasks[argument % len(machine.tasks)]
    task = machine.world.view.get(TASKS, task_id)
    names = {an_address(name): name for name in SOLVERS}
    for one in task.participants if task else ():
        for place, who in enumerate(machine.world.panel(task_id)):
            if who not in machine.barred and (argument + place) % 7:
                score = SCORES[(argument // 4 + place // 4) % len(SCORES)]
                machine.put(machine.world.vote(who, task_id, names[one.miner], score))


def _show(machine: Machine, argument: int) -> None:
    """Have somebody show a vote that he may or may not have committed to."""
    who = _free(machine, (*VALIDATORS, "bob"), argument // 4)
    if who is not None:
        task_id = machine.tasks[argument % len(machine.tasks)]
        answer = machine.world.submission_id(task_id, SOLVERS[argument // 8 % 3])
        vote = a_vote(answer, SCORES[argument // 3 % len(SCORES)])
        machine.put(machine.world.sign(who, "reveal_vote", vote, subject=task_id))


def _show_all(machine: Machine, argument: int) -> None:
    """Have most of those who committed to votes show them."""
    task_id = machine.tasks[argument % len(machine.tasks)]
    for place, hidden in enumerate(machine.world.hidden_votes(task_id)):
        if name_of(hidden.validator) not in machine.barred and (argument + place) % 7:
            machine.put(machine.world.show(hidden))


def _claim(machine: Machine, argument: int) -> None:
    who = _free(machine, ("alice", "eve", *SOLVERS, *VALIDATORS), argument // 4)
    task_id = machine.tasks[argument % len(machine.tasks)]
    if who is None:
        return
    task = machine.world.view.get(TASKS, task_id)
    round_ = task.lifecycle.round if task and argument % 11 else 0
    row = machine.world.view.get(REWARDS, reward_key(task_id, round_))
    entries = () if row is None else row.entries
    entry = entries[argument // 4 % len(entries)].entry_id if entries else a_hash("none")
    if entries and argument % 5:
        who = name_of(entries[argument // 4 % len(entries)].recipient)
    if who not in machine.barred:
        machine.put(machine.world.claim(who, task_id, entry, round=round_))


def _object(machine: Machine, argument: int) -> None:
    """Object to a task as one of its parties, or as nobody."""
    task_id = machine.tasks[argument % len(machine.tasks)]
    task = machine.world.view.get(TASKS, task_id)
    if task is None:
        return
    parties = [task.publisher, *(one.miner for one in task.participants), *task.panel]
    who = "mallory" if argument % 16 == 7 else name_of(parties[argument // 4 % len(parties)])
    places = task.participants
    about = places[argument % len(places)].submission_id if places and argument % 3 else None
    if who not in machine.barred:
        tx = object_to(
            machine.world,
            who,
            task_id,
            type=DisputeType(argument // 5 % len(DisputeType)),
            submission_id=about,
            bond=BOND + argument,
        )
        machine.put(tx)


def _go_to_court(machine: Machine, argument: int) -> None:
    """Have the panel of a dispute vote, or a side appeal, withdraw or bring evidence."""
    world, task_id = machine.world, machine.tasks[argument % len(machine.tasks)]
    case = case_of(world, task_id) if _is_disputed(machine, task_id) else None
    if case is None:
        return
    sides = (case.disputer, *case.defendants)
    who = name_of(sides[argument // 4 % len(sides)])
    match case.status:
        case DisputeStatus.UNDER_REVIEW:
            for place, address in enumerate(case.panel):
                if (argument + place) % 6 and name_of(address) not in machine.barred:
                    machine.put(_ballot(machine, task_id, name_of(address), argument + place // 4))
        case DisputeStatus.RESOLVED_APPEALABLE if who not in machine.barred and argument % 3:
            machine.put(appeal(world, who, task_id, deposit=BOND + argument))
        case DisputeStatus.PENDING if who not in machine.barred and argument % 8 == 1:
            machine.put(withdraw(world, who, task_id))
        case _ if who not in machine.barred and argument % 3 == 0:
            machine.put(bring(world, who, task_id, f"item {argument}"))
        case _:
            # The rest is up to time.
            machine.seal()


def _is_disputed(machine: Machine, task_id: bytes) -> bool:
    task = machine.world.view.get(TASKS, task_id)
    return task is not None and task.status is TaskStatus.DISPUTED


def _ballot(machine: Machine, task_id: bytes, who: str, argument: int) -> SignedTransaction:
    world, task = machine.world, machine.world.task(task_id)
    choice = Choice(argument // 2 % len(Choice))
    answers = [one.submission_id for one in task.participants]
    voters = sorted({voter for one in answers for voter in world.require(SUBMISSIONS, one).votes})
    named: dict[str, Any] = {}
    if choice in ACCUSING:
        named["submissions"] = tuple(sorted(answers[: argument % 3]))
        named["validators"] = tuple(voters[: argument // 3 % 3])
    if choice is Choice.OVERTURN and not any(named.values()):
        named["submissions"] = tuple(answers[:1])
    if choice is Choice.SPLIT:
        named["share"] = 1 + 39 * argument
    return arbitrate(world, who, task_id, choice, **named)


def _report(machine: Machine, argument: int) -> None:
    who = _free(machine, (*SOLVERS, *VALIDATORS, *STRANGERS), argument // 4)
    if who is not None:
        task_id = machine.tasks[argument % len(machine.tasks)]
        machine.put(report(machine.world, who, task_id, SOLVERS[argument // 8 % 3]))


def _adjust(machine: Machine, argument: int) -> None:
    """Have somebody add to his stake, leave, or take it back."""
    who = _free(machine, (*SOLVERS, *VALIDATORS), argument // 4)
    if who is not None:
        action = StakeAction(min(argument % 8, 2))
        amount = argument + 1 if action is StakeAction.DEPOSIT else 0
        machine.put(machine.world.sign(who, "adjust_stake", AdjustStake(action, amount)))


def _cancel(machine: Machine, argument: int) -> None:
    who = _free(machine, ("alice", "eve", "bob"), argument // 4)
    if who is not None:
        machine.put(machine.world.cancel(who, machine.tasks[argument % len(machine.tasks)]))


def _register(machine: Machine, argument: int) -> None:
    who = _free(machine, STRANGERS, argument)
    if who is not None:
        machine.put(machine.world.register(who, roles=1 + argument // 2 % 3))


def _equivocate(machine: Machine, argument: int) -> None:
    """Have somebody be caught signing twice: what of him waits leaves the set."""
    who = _free(machine, (*SOLVERS, *VALIDATORS), argument)
    if who is None or argument % 3:
        return
    author = an_address(who)
    mine = [tx.header.seq for tx in machine.pending if tx.header.author == author]
    account = machine.world.account(who)
    machine.evidence.append((author, min(mine, default=account.next_seq)))
    machine.pending = [tx for tx in machine.pending if tx.header.author != author]
    machine.barred.add(who)


def _seal(machine: Machine, argument: int) -> None:
    machine.seal(CAST[argument % len(CAST)] if argument & 16 else None)
    if argument & 32 or machine.pending:
        machine.seal()


def _wait(machine: Machine, argument: int) -> None:
    """Let the present window of a task pass."""
    machine.seal()
    task = machine.world.view.get(TASKS, machine.tasks[argument % len(machine.tasks)])
    if task is not None:
        times = task.lifecycle
        ends = [
            times.submission_deadline,
            times.reveal_deadline,
            times.validation_deadline,
            times.finalize_deadline,
            times.dispute_deadline or 0,
        ]
        if _is_disputed(machine, task.task_id):
            ends.append(compute_dispute_deadline(case_of(machine.world, task.task_id)) or 0)
        later = [end for end in sorted(ends) if end >= machine.world.epoch]
        if later:
            machine.pass_until(later[0] + argument // 8 % 2)


_DEEDS: tuple[Callable[[Machine, int], None], ...] = (
    _go_on,
    _seal,
    _wait,
    _go_on,
    _submit,
    _seal,
    _go_on,
    _vote,
    _claim,
    _reveal,
    _cancel,
    _copy,
    _publish,
    _register,
    _go_on,
    _equivocate,
    _object,
    _go_on,
    _go_to_court,
    _adjust,
    _object,
    _go_to_court,
    _report,
    _show,
    _seal,
)
