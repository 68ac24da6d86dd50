"""The judge of a run: what must hold at every step and at its end, P1 to P16.

    P1  what is sealed is valid, by rules written down a second time   `reference.py`
    P2  a task's phase never goes back
    P3  all money is where the rows say, to the nano-unit
    P4  an entry is paid once, a claim pays once
    P5  what was acknowledged is on the disk after any crash
    P6  nothing grows above its bound
    P7  no honest key signs two things for one place
    P8  what is kept up to date equals what is computed anew
    P9  order changes nothing
    P10 no error reaches the top                                       `run.py`
    P11 equal sets have equal roots; one epoch has one seal
    P12 what was acknowledged is everywhere in the end
    P13 an equivocation that anybody saw bars its author everywhere
    P14 healed peers become equal in time                              the layers
    P15 what peers send is bounded
    P16 a liar earns nothing

What disputes and several sealers add has its place in `_check_phases` (a dispute may move a task
back, with a round more) and in `_check_head` (a fork is the sealers', not ours).
"""

from collections.abc import Sequence
from typing import Any

from devnet.genesis import BALANCE_NANO
from devnet.sim.cast import Cast
from devnet.sim.fates import Fates
from devnet.sim.plan import Plan
from devnet.sim.reference import check_history
from devnet.sim.witness import PropertyBroken, Witness
from node.events import Broadcast
from node.open_set import OpenSet
from node.state_manager import StateManager
from protocol import kinds
from protocol.lthash import LtHash
from protocol.phases import SubmissionStatus, TaskStatus
from protocol.records import Task
from protocol.resolver import ConflictResolver, History, SealedSet
from protocol.tables import (
    ACCOUNTS,
    BY_NAME,
    LEDGER,
    LEDGER_KEY,
    MINERS,
    REWARDS,
    RULINGS,
    SUBMISSIONS,
    TASKS,
)
from storage.indexes import INDEX_TABLE, compute_index_keys
from storage.journal import OPENED_MAX

OPEN_ITEMS_MAX = 20_000
REBUILD_SHARE = 500
"""Of the looks at a peer, in basis points, at which its open set is built anew and compared."""
RANKS = {
    TaskStatus.PUBLISHED: 0,
    TaskStatus.IN_PROGRESS: 1,
    TaskStatus.ANSWERS_SUBMITTED: 2,
    TaskStatus.UNDER_VALIDATION: 3,
    TaskStatus.COMPLETED: 4,
    TaskStatus.EXPIRED: 5,
    TaskStatus.CANCELLED: 5,
}
RULING_NAMES = {
    ("submit_answer", "task_full"): "a full task gets one more answer",
    ("submit_answer", "deadline_passed"): "an answer comes too late",
    ("submit_answer", "wrong_phase"): "an answer comes too late",
    ("reveal_answer", "deadline_passed"): "a reveal comes too late",
    ("reveal_answer", "wrong_phase"): "a reveal comes too late",
    ("claim_reward", "already_claimed"): "a reward is claimed twice",
    ("claim_reward", "not_recipient"): "somebody claims what is another's",
    ("cancel_task", "wrong_phase"): "a cancellation meets an answer",
}
"""What rulings show, by kind of transaction and code."""


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
        journal = state.store.journal
        for tx_id in self._witness.acknowledged[peer]:
            if not journal.has(tx_id):
                raise PropertyBroken("P5", "lost_acknowledged", f"peer {peer} {tx_id.hex()[:16]}")

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
        foremost = max(states.values(), key=lambda state: state.epoch)
        check_history(foremost, self._witness)
        self._check_refolded(foremost)
        self._check_honest(states)
        self._note_outcomes(foremost)
        if converged:
            core = [states[peer] for peer in self._plan.core]
            self._check_nothing_lost(core)
            self._check_bars(core)
            self._check_profits(foremost)
            if len(self._plan.core) < self._plan.peers:
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

    def _check_rebuilt(self, peer: int, state: StateManager) -> None:
        """Build the open set anew, in another order, and compare; no row may differ either."""
        kept, anew = state.open, OpenSet(state.params, state.network, state.store.journal.at)
        transactions = sorted(kept.transactions.values(), key=lambda tx: tx.tx_id, reverse=True)
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
        tasks: list[Task] = [row for _, row in state.store.rows.scan(TASKS)]
        self._check_phases(tasks)
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
        balances = sum(row.balance for _, row in state.store.rows.scan(ACCOUNTS))
        if ledger is None or (ledger.escrowed, ledger.balances) != (escrowed, balances):
            raise PropertyBroken("P3", "ledger", f"{escrowed} escrowed, {balances} held, {ledger}")
        held = balances + escrowed + ledger.staked + ledger.treasury + ledger.burned
        if held != self._cast.genesis.supply:
            raise PropertyBroken("P3", "supply", f"{held} of {self._cast.genesis.supply}")
        self._check_claims(state, {task.task_id: task for task in tasks})

    def _check_phases(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            rank, round_number = RANKS.get(task.status, 4), task.lifecycle.round
            before = self._phases.get(task.task_id, (0, 0))
            if round_number == before[1] and rank < before[0]:
                raise PropertyBroken("P2", "phase_went_back", task.task_id.hex()[:16])
            self._phases[task.task_id] = (rank, round_number)

    def _check_claims(self, state: StateManager, tasks: dict[bytes, Task]) -> None:
        claims: set[bytes] = set()
        paid: dict[bytes, int] = {}
        for _, row in state.store.rows.scan(REWARDS):
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

    # -------------------------------------------------------------------------- at the end

    def _check_refolded(self, state: StateManager) -> None:
        """Fold everything anew from the genesis, each set in reverse order; compare the root."""
        journal = state.store.journal
        epochs = []
        for number in range(1, state.epoch + 1):
            ids = journal.sealed_ids(number)
            transactions = tuple(tx for one in reversed(ids) if (tx := journal.get(one)))
            places = [place for one in ids if (place := journal.evidence_place(one))]
            epochs.append(
                SealedSet(journal.seal_hash(number - 1), transactions, tuple(sorted(places)))
            )
        resolution = ConflictResolver().resolve(History(self._cast.genesis, tuple(epochs)))
        rows_hash = LtHash()
        for (name, key), record in resolution.records.items():
            table: Any = BY_NAME[name]
            rows_hash.add_row(name, key, table.encode_row(record))
        if rows_hash.state_root() != state.state_root:
            raise PropertyBroken("P9", "refolded_root", f"epoch {state.epoch}")
        stored: dict[tuple[str, bytes], Any] = {}
        for name in BY_NAME:
            table = BY_NAME[name]
            stored.update({(name, key): row for key, row in state.store.rows.scan(table)})
        if stored != dict(resolution.records):
            raise PropertyBroken("P8", "rows_on_disk", f"epoch {state.epoch}")
        wanted = set[bytes]()
        for (name, key), row in stored.items():
            wanted |= compute_index_keys(BY_NAME[name], key, row)
        if {key for key, _ in state.store.engine.scan(INDEX_TABLE)} != wanted:
            raise PropertyBroken("P8", "indexes_on_disk", f"epoch {state.epoch}")
        again = StateManager(state.genesis, state.store, Broadcast())
        if again.status() != state.status():
            raise PropertyBroken("P8", "restarted_status", f"epoch {state.epoch}")

    def _check_honest(self, states: dict[int, StateManager]) -> None:
        honest = {
            self._cast.signers[account].address
            for peer in range(self._plan.peers)
            if self._plan.is_honest(peer)
            for account in self._cast.accounts_of(peer, self._plan.peers)
        }
        for peer, state in states.items():
            for _, row in state.store.journal.all_evidence():
                if row.author in honest:
                    raise PropertyBroken("P7", "honest_equivocation", f"peer {peer} seq {row.seq}")

    def _check_nothing_lost(self, core: list[StateManager]) -> None:
        own = dict(zip(self._plan.core, core, strict=True))
        for peer, state in own.items():
            for tx_id in self._witness.acknowledged[peer]:
                tx = state.store.journal.get(tx_id)
                if tx is None:
                    raise PropertyBroken("P12", "lost_at_home", f"peer {peer}")
                if tx_id not in state.open.transactions and not self._is_sealed(state, tx_id):
                    # No seal took it in while it was alive: dead by rule, and told as such.
                    self._witness.reach("a transaction dies unsealed")
                    continue
                for other, there in own.items():
                    if not there.knows(tx_id):
                        text = f"peer {other} lacks {tx_id.hex()[:16]} of peer {peer}"
                        raise PropertyBroken("P12", "lost", text)

    def _is_sealed(self, state: StateManager, tx_id: bytes) -> bool:
        return state.store.journal.sealed_epoch(tx_id) is not None

    def _check_bars(self, core: list[StateManager]) -> None:
        seen = {
            (row.author, row.seq): None
            for state in core
            for _, row in state.store.journal.all_evidence()
        }
        for author, seq in seen:
            for state in core:
                if not state.open.is_barred(author, seq):
                    raise PropertyBroken("P13", "not_barred", f"{author.hex()[:16]} seq {seq}")
        for account in (row for _, row in core[0].store.rows.scan(ACCOUNTS)):
            if account.barred_from is not None:
                self._witness.reach("an equivocation is sealed")

    def _check_profits(self, state: StateManager) -> None:
        for peer in range(self._plan.peers):
            if self._plan.is_honest(peer) or self._plan.habits[peer] != "liar":
                continue
            for account in self._cast.accounts_of(peer, self._plan.peers):
                address = self._cast.signers[account].address
                miner = state.store.view.get(MINERS, address)
                row = state.store.view.get(ACCOUNTS, address)
                earned = 0 if miner is None else miner.earned
                # What others forfeited on his tasks is his by right: he asked and got no answer.
                owed = self._sum_forfeits(state, address)
                if earned or row is None or row.balance > BALANCE_NANO + owed:
                    raise PropertyBroken("P16", "a_liar_earned", f"peer {peer}: {earned} nano")

    def _sum_forfeits(self, state: StateManager, publisher: bytes) -> int:
        tasks = {
            row.task_id for _, row in state.store.rows.scan(TASKS) if row.publisher == publisher
        }
        answers = (row for _, row in state.store.rows.scan(SUBMISSIONS))
        return sum(one.forfeited for one in answers if one.task_id in tasks)

    def _note_outcomes(self, state: StateManager) -> None:
        rows, reach = state.store.rows, self._witness.reach
        for _, row in rows.scan(REWARDS):
            if any(entry.claim_tx is not None for entry in row.entries):
                reach("a reward is claimed")
        for _, ruling in rows.scan(RULINGS):
            kind = kinds.BY_CODE.get(ruling.kind)
            name = kind and RULING_NAMES.get((kind.name, ruling.code))
            if name:
                reach(name)
        commitments: set[bytes] = set()
        for _, one in rows.scan(SUBMISSIONS):
            if one.status is SubmissionStatus.NOT_REVEALED:
                reach("an answer is never shown")
            if one.commitment in commitments:
                reach("a commitment is copied")
            commitments.add(one.commitment)
        for _, task in rows.scan(TASKS):
            if task.status is TaskStatus.EXPIRED:
                reach("a task expires")
