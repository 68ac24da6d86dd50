"""What this peer heard of the agreement on the next seal: one box, renewed with each seal.

Every peer keeps one, whether it seals or not: two sealers may know each other only through it. It
is memory only, and decides nothing but what is worth passing on. Where one sealer is a quorum by
itself nobody has anything to say, and nothing is taken in.
"""

from collections.abc import Sequence

import structlog

from node.events import Broadcast, Heard
from protocol.ballot_box import BallotBox
from protocol.ballots import Backed, Ballot, DoubleBallot, Proposal, SealVote, Shown
from protocol.charter import find_charter
from protocol.errors import Rejected
from protocol.genesis import Genesis
from protocol.schema import decode_record, encode_record
from protocol.seals import SealContent, compute_set_root
from storage.store import Store

log = structlog.get_logger("seal")

SETS_MAX = 4
"""Proposed sets whose ids are kept, to be folded here and shown to others."""

Word = Ballot | Proposal | SealVote | Backed | DoubleBallot


class BallotDesk:
    """Takes in, keeps and shows what sealers say of the next epoch.

    Args:
        genesis: names the first sealers.
        store: knows those of the next epoch; keeps proofs against sealers.
        broadcast: told of what is new.

    Attributes:
        box: what was said of the next seal.
        wanted: contents whose sets this node's sealer asks for, by set root; with each, whether it
            is decided already.
    """

    def __init__(self, genesis: Genesis, store: Store, broadcast: Broadcast) -> None:
        self._genesis = genesis
        self._network = genesis.network
        self._store = store
        self._broadcast = broadcast
        self.restart(store.head.epoch + 1, store.head.seal_hash)

    def restart(self, epoch: int, prev: bytes) -> None:
        """Begin with an empty box for the next epoch."""
        sealers, sealers_next = (
            find_charter(self._store.view, self._genesis, one).sealers for one in (epoch, epoch + 1)
        )
        self.box = BallotBox(self._network, epoch, prev, sealers, sealers_next)
        self.wanted: dict[bytes, tuple[SealContent, bool]] = {}
        self._sets: dict[bytes, Sequence[bytes]] = {}
        self._holders: dict[bytes, tuple[str, ...]] = {}

    @property
    def is_needed(self) -> bool:
        """Whether the sealers of the next epoch have to agree at all."""
        return len(self.box.sealers) > 1

    def take(self, word: Word) -> bool:
        """Take in a word that a peer passed on; return whether it is news.

        Raises:
            Rejected: no sealer said it, or not of the next epoch.
        """
        if not self.is_needed:
            raise Rejected("ballot_unneeded", "a word of a sealer", "none: one sealer is a quorum")
        is_news = self.box.add(word)
        if is_news:
            self._broadcast.tell_nowait(Heard())
        return is_news

    def take_shown(self, shown: Shown) -> list[Word]:
        """Take in what a peer showed of its own box; return what of it is news.

        Raises:
            Rejected: as `take`.
        """
        decision = () if shown.decision is None else (shown.decision,)
        words: list[Word] = [*shown.proposals, *shown.ballots, *shown.seal_votes]
        return [word for word in (*words, *decision, *shown.doubles) if self.take(word)]

    def put_set(self, set_root: bytes, ids: Sequence[bytes]) -> None:
        """Keep the ids of a set.

        Raises:
            Rejected: `seal_set`: they are not those of the root.
        """
        if list(ids) != sorted(set(ids)) or compute_set_root(ids) != set_root:
            raise Rejected("seal_set", f"{len(ids)} other ids", "those of the set root, sorted")
        self._sets[set_root] = ids
        if len(self._sets) > SETS_MAX:
            del self._sets[next(iter(self._sets))]
        self._broadcast.tell_nowait(Heard())

    def find_set(self, set_root: bytes) -> Sequence[bytes] | None:
        """Return the ids of a set, if they were told."""
        return self._sets.get(set_root)

    def note_holders(self, set_root: bytes, peers: tuple[str, ...]) -> None:
        """Remember who is said to have a set and all that is in it, the likeliest first."""
        self._holders[set_root] = peers
        if len(self._holders) > SETS_MAX:
            del self._holders[next(iter(self._holders))]

    def find_holders(self, set_root: bytes) -> tuple[str, ...]:
        """Return who is said to have a set."""
        return self._holders.get(set_root, ())

    def keep_proofs(self) -> None:
        """Put on disk who contradicted itself: one proof for each sealer.

        Raises:
            StorageError: it is not there; call this again.
        """
        for sealer, proof in sorted(self.box.doubles.items()):
            if self._store.meta_get(_name_proof(sealer)) is None:
                self._store.meta_put(_name_proof(sealer), encode_record(proof))
                log.error("sealer_contradicted_itself", sealer=sealer, epoch=proof.first.epoch)

    def list_convicted(self) -> dict[bytes, DoubleBallot]:
        """Return the proofs on disk against those who seal the next epoch, of whatever epoch."""
        found = {}
        for sealer in self.box.sealers:
            data = self._store.meta_get(_name_proof(sealer))
            if data is not None:
                found[sealer] = decode_record(DoubleBallot, data)
        return found


def _name_proof(sealer: bytes) -> str:
    return f"double_ballot/{sealer.hex()}"
