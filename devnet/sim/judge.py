"""The judge of a run: what must hold at every step and at its end, P1 to P16.

    P1  what is sealed is valid, by rules written down a second time   `reference.py`
    P2  a task's phase never goes back
    P3  all money is where the rows say, to the nano-unit
    P4  an entry is paid once, a claim pays once
    P5  what was acknowledged is on the disk after any crash
    P6  nothing grows above its bound
    P7  no honest key signs two things for one place
    P8  what is kept up to date equals what is computed anew          and `ending.py`
    P9  order changes nothing                                          `ending.py`, as P12, P13, P16
    P10 no error reaches the top                                       `run.py`
    P11 equal sets have equal roots; one epoch has one seal
    P12 what was acknowledged is everywhere in the end
    P13 an equivocation that anybody saw bars its author everywhere
    P14 healed peers become equal in time                              the layers
    P15 what peers send is bounded
    P16 a liar earns nothing

A dispute may move a task back, with a round more. What sealers say is held against rules of its
own, in `sealer_watch.py`.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from devnet.sim.cast import Cast
from devnet.sim.ending import Ending
from devnet.sim.fates import Fates
from devnet.sim.plan import Plan
from devnet.sim.reference import check_history
from devnet.sim.witness import PropertyBroken, Witness
from node.open_set import OpenSet
from node.state_manager import StateManager
from protocol.phases import TaskStatus
from protocol.records import Task
from protocol.tables import (
    ACCOUNTS,
    DISPUTES,
    LEDGER,
    LEDGER_KEY,
    MINERS,
    REWARDS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    VOTE_COMMITMENTS,
    Table,
)
from protocol.transactions import SignedTransaction
from storage.journal import OPENED_MAX

T = TypeVar("T")

OPEN_ITEMS_MAX = 20_000
GRACE = 4
"""Epochs after the calm in which everything must have reached the sealer."""
SETTLED_EPOCHS = 2
"""After the calm, before peers are held to be equal for good."""
LATE_MAX = 2
"""Epochs in a row in which a window is found over: a transaction may lead back into one."""
REBUILD_SHARE = 200
"""Of the looks at a peer, in basis points, at which its open set is built anew: 1 in 50."""
REFOLD_SHARE = 4_000
"""Of the runs, in basis points, whose whole history is folded anew in the end."""
RANKS = {
    TaskStatus.PUBLISHED: 0,
    TaskStatus.IN_PROGRESS: 1,
    TaskStatus.ANSWERS_SUBMITTED: 2,
    TaskStatus.UNDER_VALIDATION: 3,
    TaskStatus.COMPLETED: 4,
    TaskStatus.DISPUTED: 5,
    TaskStatus.EXPIRED: 6,
    TaskStatus.CANCELLED: 6,
}


class Judge:
    """Looks at the peers of one run after each step."""

    def __init__(self, plan: Plan, cast: Cast, witness: Witness, fates: Fates) -> None:
        self._plan = plan
        self._cast = cast
        self._witness = witness
        self._fates = fates
        self._epochs = [0] * plan.peers
        self._looks = 0
        self._heads: dict[int, tuple[bytes, bytes]] = {}
        self._phases: dict[bytes, tuple[int, int]] = {}
        self._shown: dict[tuple[int, bytes], int] = {}
        self._met: dict[tuple[int, bytes, int], None] = {}
        self._late: dict[bytes, int] = {}
        self._owed: dict[bytes, None] = {}
        self._decoded: dict[str, dict[bytes, Any]] = {}

    def look(self, peer: int, state: StateManager) -> None:
        """Check a peer after something happened to it.

        Raises:
            PropertyBroken: P2 to P4, P6, P8, P9, P11.
        """
        if state.alarm is not None:
            raise PropertyBroken("P11", "alarm", f"peer {peer}: {state.alarm}")
        self._looks += 1
        if self._fates.is_chosen(REBUILD_SHARE, "rebuild", self._looks):
            self._check_bounds(peer, state)
            self._check_rebuilt(peer, state)
        if state.epoch == self._epochs[peer]:
            return
        self._epochs[peer] = state.epoch
        head = (state.seal_hash, state.state_root)
        known = self._heads.get(state.epoch)
        if known is None:
            # The rows below one root are the same everywhere: the first peer shows them for all.
            self._heads[state.epoch] = head
            self._check_rows(state)
        elif known[0] != head[0]:
            raise PropertyBroken("P11", "two_seals", f"peer {peer} epoch {state.epoch}")
        elif known != head:
            raise PropertyBroken("P11", "two_roots", f"peer {peer} epoch {state.epoch}")

    def restarted(self, peer: int, state: StateManager) -> None:
        """Check that a peer still has what it acknowledged.

        Raises:
            PropertyBroken: P5.
        """
        self._epochs[peer] = -1
        self._check_evidence(peer, state)
        journal = state.store.journal
        for tx_id in self._witness.acknowledged[peer]:
            if not journal.has(tx_id):
                raise PropertyBroken("P5", "lost_acknowledged", f"peer {peer} {tx_id.hex()[:16]}")

    def heard(
        self, peer: int, state: StateManager, transactions: Sequence[SignedTransaction]
    ) -> None:
        """Take down what a peer has heard: it must meet its other face, where that is stored."""
        for tx in transactions:
            header = tx.header
            is_alive = header.epoch + state.params.late_epochs > state.epoch >= header.epoch - 1
            other = state.store.journal.at(header.author, header.seq)
            if is_alive and other is not None and other.tx_id != tx.tx_id:
                self._met[(peer, header.author, header.seq)] = None

    def disk_is_gone(self, peer: int) -> None:
        """Ask nothing of a peer for what it heard on another disk."""
        self._met = {place: None for place in self._met if place[0] != peer}

    def calmed_down(self, states: dict[int, StateManager]) -> None:
        """Take down what honest peers hold when all is well: the seals owe it a place."""
        # Of all seals there ever were: who made the last one may be down.
        epoch = max(self._heads, default=0)
        for peer, state in states.items():
            for tx_id in self._witness.acknowledged[peer]:
                tx = state.open.effective.get(tx_id)
                if tx is not None and tx.header.epoch + state.params.late_epochs > epoch + GRACE:
                    self._owed[tx_id] = None

    def finish(self, states: dict[int, StateManager], *, converged: bool) -> None:
        """Check all there is to check at the end of a run.

        Args:
            states: of the honest peers that are up.
            converged: whether those of the core became equal, which liveness asks.

        Raises:
            PropertyBroken: any of them.
        """
        if not states:
            return
        ending = Ending(self._plan, self._cast, self._witness)
        foremost = max(states.values(), key=lambda state: state.epoch)
        check_history(foremost, self._witness)
        if self._fates.is_chosen(REFOLD_SHARE, "refold"):
            ending.check_refolded(foremost)
        ending.check_honest(states)
        ending.note_outcomes(foremost)
        for peer, state in states.items():
            self._check_rebuilt(peer, state)
        if converged:
            core = {peer: states[peer] for peer in self._plan.core}
            ending.check_nothing_lost(core, self._owed)
            met = [(author, seq) for peer, author, seq in self._met if peer in core]
            ending.check_bars(list(core.values()), met)
            ending.check_profits(foremost)
            if len(core) < self._plan.peers:
                self._witness.reach("peers stay equal while some lie")

    # ------------------------------------------------------------------------ at each step

    def _check_bounds(self, peer: int, state: StateManager) -> None:
        sizes = {
            "open items": (state.open.count, OPEN_ITEMS_MAX),
            "opened transactions": (len(state.store.journal._opened), OPENED_MAX),
            "evidence": (len(state.open.evidence), len(self._cast.signers)),
        }
        for name, (size, most) in sizes.items():
            if size > most:
                raise PropertyBroken("P6", name.replace(" ", "_"), f"peer {peer}: {size} of {most}")

    def _check_evidence(self, peer: int, state: StateManager) -> None:
        rows = state.store.journal.all_evidence()
        if {key for key, row in rows if row.sealed is None} != set(state.open.evidence):
            raise PropertyBroken("P8", "open_evidence", f"peer {peer} epoch {state.epoch}")

    def _check_rebuilt(self, peer: int, state: StateManager) -> None:
        """Build the open set anew, in another order, and compare; no row may differ either."""
        kept, anew = state.open, OpenSet(state.network, state.store.journal.at)
        transactions = sorted(kept.transactions.values(), key=lambda tx: tx.tx_id, reverse=True)
        self._check_evidence(peer, state)
        gone = anew.rebuild(kept.standing, transactions, dict(sorted(kept.evidence.items())))
        if gone.transactions or gone.evidence:
            raise PropertyBroken("P8", "kept_what_is_gone", f"peer {peer}")
        for name, one, other in (
            ("effective", sorted(kept.effective), sorted(anew.effective)),
            ("rulings", kept.rulings(), anew.rulings()),
            ("tasks", kept.rows(TASKS), anew.rows(TASKS)),
            ("fingerprint", kept.fingerprint(), anew.fingerprint()),
        ):
            if one != other:
                raise PropertyBroken("P8", f"open_{name}", f"peer {peer} epoch {state.epoch}")
        stored = {key for key, _ in state.store.engine.scan("open_set")}
        if stored != set(kept.transactions):
            raise PropertyBroken("P8", "open_on_disk", f"peer {peer} epoch {state.epoch}")
        for task_id, task in kept.rows(TASKS).items():
            rank = RANKS.get(task.status, 0)
            if rank < self._shown.get((peer, task_id), 0):
                self._witness.reach("the provisional state is taken back")
            self._shown[(peer, task_id)] = rank

    def _check_rows(self, state: StateManager) -> None:
        tasks: list[Task] = self._read(state, TASKS)
        self._check_phases(tasks)
        self._check_windows(state)
        ledger = state.store.view.get(LEDGER, LEDGER_KEY)
        escrowed = 0
        for task in tasks:
            pool = task.pool
            escrowed += pool.escrowed
            if (
                pool.escrowed + pool.paid_out + pool.refunded != pool.total
                or min(pool.escrowed, pool.paid_out, pool.refunded) < 0
            ):
                raise PropertyBroken("P3", "escrow", f"{task.task_id.hex()[:16]}: {pool}")
        balances = sum(row.balance for row in self._read(state, ACCOUNTS))
        if ledger is None or (ledger.escrowed, ledger.balances) != (escrowed, balances):
            raise PropertyBroken("P3", "ledger", f"{escrowed} escrowed, {balances} held, {ledger}")
        staked = self._count_staked(state)
        if ledger.staked != staked:
            raise PropertyBroken("P3", "staked", f"{staked} in rows, {ledger.staked} in the ledger")
        held = balances + escrowed + ledger.staked + ledger.treasury + ledger.burned
        if held != self._cast.genesis.supply:
            raise PropertyBroken("P3", "supply", f"{held} of {self._cast.genesis.supply}")
        self._check_claims(state, {task.task_id: task for task in tasks})

    def _count_staked(self, state: StateManager) -> int:
        """Return what rows lock, and check what disputes say of those who judged them."""
        locked = [row.stake for row in self._read(state, MINERS)]
        locked += [row.stake for row in self._read(state, SUBMISSIONS)]
        locked += [row.stake for row in self._read(state, VALIDATIONS)]
        locked += [row.stake for row in self._read(state, VOTE_COMMITMENTS)]
        for case in self._read(state, DISPUTES):
            locked += [case.bond, *(one.deposit for one in case.appeals)]
            voters = [(vote.arbiter, vote.hearing) for vote in case.votes]
            name = case.dispute_id.hex()[:16]
            if len(set(voters)) != len(voters):
                raise PropertyBroken("P4", "arbiter_voted_twice", name)
            if {case.disputer, *case.defendants} & {vote.arbiter for vote in case.votes}:
                raise PropertyBroken("P1", "judge_in_his_own_cause", name)
            if case.closed_at is not None and case.bond:
                raise PropertyBroken("P3", "bond_kept", name)
        return sum(locked)

    def _read(self, state: StateManager, table: Table[T]) -> list[T]:
        """Return all rows of a table; what was decoded in an earlier epoch is not decoded again."""
        known = self._decoded.setdefault(table.name, {})
        fresh: dict[bytes, T] = {}
        for _, data in state.store.gate.scan(table.name):
            row = known.get(data)
            fresh[data] = table.decode_row(data) if row is None else row
        self._decoded[table.name] = fresh
        return list(fresh.values())

    def _check_phases(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            rank, round_number = RANKS.get(task.status, 4), task.lifecycle.round
            before = self._phases.get(task.task_id, (0, 0))
            if round_number == before[1] and rank < before[0]:
                raise PropertyBroken("P2", "phase_went_back", task.task_id.hex()[:16])
            self._phases[task.task_id] = (rank, round_number)

    def _check_windows(self, state: StateManager) -> None:
        """A window that is over is left by itself, in the next epoch at the latest."""
        due = state.store.view.due_tasks(state.epoch)
        self._late = {task_id: self._late.get(task_id, 0) + 1 for task_id in due}
        for task_id, epochs in self._late.items():
            if epochs > LATE_MAX:
                raise PropertyBroken("P2", "window_left_open", task_id.hex()[:16])

    def _check_claims(self, state: StateManager, tasks: dict[bytes, Task]) -> None:
        claims: set[bytes] = set()
        paid: dict[bytes, int] = {}
        for row in self._read(state, REWARDS):
            for entry in row.entries:
                if entry.claim_tx is None:
                    continue
                if entry.claim_tx in claims:
                    raise PropertyBroken("P4", "claim_paid_twice", entry.claim_tx.hex()[:16])
                claims.add(entry.claim_tx)
                paid[row.task_id] = paid.get(row.task_id, 0) + entry.amount
        for task_id, amount in paid.items():
            task = tasks[task_id]
            if amount > task.pool.paid_out or task.pool.paid_out > task.terms.reward:
                raise PropertyBroken("P4", "paid_above_escrow", task_id.hex()[:16])
