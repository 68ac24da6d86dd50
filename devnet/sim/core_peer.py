"""One peer of the core layer: the real door, fold and disk format, driven by calls.

What is real: `StateManager` with its open set, door and seals, `Author` with its signing marks,
`Server` for what peers ask, the store over an engine whose crash loses what was not synced. What is
not: tasks, streams, the session and gossip of `node.sync`, the roles, `Sealer`. Those run in the
node layer.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from devnet.sim.cast import Cast
from devnet.sim.core_talk import Talker
from devnet.sim.disk import CrashEngine, Image
from devnet.sim.fates import Fates
from devnet.sim.habits import Tongue, reconcile
from devnet.sim.hands import Hands
from devnet.sim.plan import Plan
from devnet.sim.witness import Witness, WitnessedMarks
from node.author import Author
from node.events import Broadcast
from node.state_manager import StateManager
from node.sync.server import Server
from protocol.errors import InvariantBroken
from protocol.messages import (
    Ranges,
    SealedIds,
)
from protocol.params import SCALE
from protocol.reconcile import ReconcileSession
from protocol.transactions import SignedTransaction
from storage.store import Store

T = TypeVar("T")


class CorePeer:
    """One peer, up or down.

    Args:
        number: 0 seals.
        outbox: what the peer wants to be gossiped; the world takes it from here.
    """

    def __init__(self, plan: Plan, cast: Cast, witness: Witness, fates: Fates, number: int) -> None:
        self.number = number
        self.habit = plan.habits[number] if number < len(plan.habits) else ""
        self.tongue = Tongue(self.habit, number, cast, fates)
        self.accounts = [cast.signers[one] for one in cast.accounts_of(number, plan.peers)]
        self.disk = CrashEngine()
        self.backup: Image | None = None
        self.lives = 0
        self.is_up = False
        self.resumes_ms = 0
        """Until then the process is stopped: it neither hears nor acts."""
        self.outbox: list[SignedTransaction] = []
        self.learnt: list[bytes] = []
        self.sealed_up_to = 0
        self._plan = plan
        self._cast = cast
        self._witness = witness
        self._marks = WitnessedMarks(witness, number)
        self.state: StateManager
        self.talker: Talker
        self.hands: list[Hands] = []

    def start(self) -> None:
        """Open the disk and begin."""
        self.is_up = True
        self.lives += 1
        store = Store(self.disk, self._cast.genesis)
        self._marks.store = store
        state = self.state = StateManager(self._cast.genesis, store, Broadcast())
        self.outbox, self.learnt = [], []
        self.talker = Talker(state, self._cast.verifier, self.learnt.extend, self._witness.reach)
        self._server = Server(state, self._cast.verifier, self.learnt.extend)
        friends: frozenset[bytes] = frozenset()
        if self.habit == "partial":
            friends = frozenset(one.address for one in self.accounts)
        self.hands = [
            Hands(
                state,
                Author(state, signer, self._marks, self.outbox.extend),
                friends=friends,
                reveals=self.habit != "shy",
            )
            for signer in self.accounts
        ]

    def crash(self, kept_share: int) -> None:
        """End as in a power cut; `kept_share` basis points of the unsynced batches stay."""
        unsynced = len(self.disk.unsynced)
        kept = (unsynced + 1) * kept_share // (SCALE + 1)
        if kept < unsynced:
            self._witness.reach("a crash loses what was not synced")
        self.disk = self.disk.crash(kept)
        self.is_up = False

    def seal(self, time_ms: int) -> SealedIds | None:
        """End the epoch, unless this disk is behind what was sealed."""
        if self.state.epoch < self.sealed_up_to or self.state.alarm is not None:
            return None
        sealed = self.state.seal(self.accounts[0], time_ms)
        self.sealed_up_to = self.state.epoch
        return sealed

    def answer(self, request: Any, asker: int, sitting: list[ReconcileSession]) -> Any:
        """Return the reply to a request of a conversation; None: nothing is ever said.

        Args:
            request: as it travels.
            asker: number of the peer.
            sitting: the reconciliation of this conversation, if one has begun.
        """
        if isinstance(request, Ranges):
            reply = reconcile(self.state, request, sitting)
        else:
            reply = run_at_once(self._server.answer(request, str(asker)))
        return self.tongue.twist(reply, asker)


def run_at_once(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that has nothing to wait for.

    Raises:
        InvariantBroken: it waits.
    """
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise InvariantBroken("an answer that waits, where nothing can be waited for")
