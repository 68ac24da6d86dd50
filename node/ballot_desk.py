"""What this peer heard of the agreement on the next seal: one box, renewed with each seal.

Every peer keeps one, whether it seals or not: two sealers may know each other only through it. It
is memory only, and decides nothing but what is worth passing on. Where one sealer is a quorum by
itself nobody has anything to say, and nothing is taken in.
"""

from collections.abc import Sequence

import structlog

from node.events import Broadcast, Heard
from protocol.ballot_box import BallotBox
from protocol.ballots import DoubleBallot, DoubleSeal, Shown, Word
from protocol.charter import find_charter
from protocol.errors import Rejected
from protocol.genesis import Genesis
from protocol.plan import Plan
from protocol.schema import decode_record, encode_record
from protocol.seals import Seal, compute_set_root
from storage.store import Store

log = structlog.get_logger("seal")

SETS_MAX = 4
"""Proposed sets whose ids are kept, to be folded here and shown to others."""


class BallotDesk:
    """Takes in, keeps and shows what sealers say of the next epoch.

    Args:
        genesis: names the first sealers.
        store: knows those of the next epoch; keeps proofs against sealers.
        broadcast: told of what is new.

    Attributes:
        box: what was said of the next seal.
        wanted: plans whose sets this node's sealer asks for, by set root; with each, whether it
            is decided already.
    """

    def __init__(self, genesis: Genesis, store: Store, broadcast: Broadcast) -> None:
        self._genesis = genesis
        self._network = genesis.network
        self._store = store
        self._broadcast = broadcast
        self.box = self._open_box()
        self._forget_sets()

    def restart(self) -> None:
        """Begin with a box for the next epoch, in which there is nothing but what it rests on."""
        known = self.box.list_deals()
        self.box = self._open_box()
        self.box.secrets.recall(known)
        self._forget_sets()

    def _open_box(self) -> BallotBox:
        head, view = self._store.head, self._store.view
        sealers, after = (
            find_charter(view, self._genesis, head.epoch + ahead).sealers for ahead in (1, 2)
        )
        last = self._store.journal.seal(head.epoch)
        agreed = () if last is None else Seal.from_bytes(last).content.deals
        return BallotBox(self._network, head.epoch + 1, head.seal_hash, sealers, after, agreed)

    def _forget_sets(self) -> None:
        self.wanted: dict[bytes, tuple[Plan, bool]] = {}
        self._sets: dict[bytes, Sequence[bytes]] = {}
        self._holders: dict[bytes, tuple[str, ...]] = {}

    @property
    def is_needed(self) -> bool:
        """Whether the sealers of the next epoch have to agree at all, or others deal to them."""
        return len(self.box.sealers) > 1 or self.box.secrets.wanted > 0

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
        return [word for word in shown.list_words() if self.take(word)]

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
        for sealer, seals in sorted(self.box.double_seals.items()):
            if self._store.meta_get(_name_seals(sealer)) is None:
                self._store.meta_put(_name_seals(sealer), encode_record(seals))
                epoch = seals.first.content.epoch
                log.error("sealer_signed_two_seals", sealer=sealer, epoch=epoch)

    def list_convicted(self) -> dict[bytes, DoubleBallot]:
        """Return the proofs on disk against those who seal the next epoch, of whatever epoch."""
        found = {}
        for sealer in self.box.sealers:
            data = self._store.meta_get(_name_proof(sealer))
            if data is not None:
                found[sealer] = decode_record(DoubleBallot, data)
        return found

    def list_double_seals(self) -> dict[bytes, DoubleSeal]:
        """Return the proofs on disk, by sealer: who signed two seals of whatever epoch."""
        found = {}
        for sealer in self.box.sealers:
            data = self._store.meta_get(_name_seals(sealer))
            if data is not None:
                found[sealer] = decode_record(DoubleSeal, data)
        return found


def _name_seals(sealer: bytes) -> str:
    return f"double_seal/{sealer.hex()}"


def _name_proof(sealer: bytes) -> str:
    return f"double_ballot/{sealer.hex()}"
