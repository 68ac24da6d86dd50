"""A world whose seals a peer's state makes, and somebody looks at that state before each."""

from collections.abc import Sequence

from node.state_manager import StateManager
from protocol.fold import Outcome
from protocol.genesis import Genesis
from protocol.messages import unpack_ids
from protocol.seals import Seal
from protocol.transactions import SignedTransaction
from storage.reversals import Reversal
from storage.store import Store
from tests.support.builders import a_signer
from tests.support.chains import a_state
from tests.support.world import Place, World


class WatchedWorld(World):
    """A world and the state of its sealer; both hold the same rows."""

    def __init__(self, genesis: Genesis | None = None, store: Store | None = None) -> None:
        """Begin at the genesis; `store` is that of the sealer, in memory by default."""
        super().__init__(store.genesis if store else genesis)
        self.state = a_state(self.genesis, store)
        self.sealed: list[tuple[Seal, list[bytes]]] = []

    def seal(self, *transactions: SignedTransaction, evidence: Sequence[Place] = ()) -> Outcome:
        """Show the state with these transactions to somebody; then end the epoch with them."""
        self.state.accept(transactions, None)
        look(self.state)
        sealed = self.state.seal(a_signer("sealer"), time_ms=0)
        outcome = super().seal(*transactions, evidence=evidence)
        # What follows stands on the seal that the state has, signed and with its state root.
        self.seal_hash = self.anchors[self.epoch] = self.state.seal_hash
        self.sealed.append((Seal.from_bytes(sealed.seal), unpack_ids(sealed.ids or b"")))
        return outcome


def look(state: StateManager) -> None:
    """Ask for the provisional state, as any reader does."""
    state.open.rulings()


def reversals_of(state: StateManager) -> list[Reversal]:
    """Return the reversals that a peer keeps, the oldest first."""
    found: list[Reversal] = []
    cursor = None
    while True:
        page = state.store.local.reversals.page(cursor=cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found[::-1]
