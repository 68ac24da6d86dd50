"""What the one door thinks of transactions: stored, evidence, or not now. It writes nothing.

Rules:
1. Nothing here depends on who brought a transaction, or when, or on what else came with it.
2. What is refused may be offered again later, and blames nobody.
3. What no seal can take in any more is stored only as a link that something stored names; anybody
   could sign as much of it as he likes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from node.open_set import OpenSet
from protocol.chains import Evidence, build_evidence
from protocol.intake import AHEAD_EPOCHS_MAX
from protocol.tables import ACCOUNTS
from protocol.transactions import SignedTransaction
from storage.store import Store

Place = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a batch at the door.

    Attributes:
        stored: ids that are new and on disk.
        evidence: ids of evidence that is new.
        refused: (id, code) of what was not stored; none of it blames the peer that sent it.
    """

    stored: tuple[bytes, ...]
    evidence: tuple[bytes, ...]
    refused: tuple[tuple[bytes, str], ...]


@dataclass(slots=True)
class Judgement:
    """A batch sorted out: what to store by place, what is evidence by id, what is refused."""

    fresh: dict[Place, SignedTransaction] = field(default_factory=dict)
    proofs: dict[bytes, Evidence] = field(default_factory=dict)
    refused: list[tuple[bytes, str]] = field(default_factory=list)


class Door:
    """Judges transactions by what is stored.

    Attributes:
        signed_up_to: the highest seq that accounts of this machine ever signed. Their chains are
            kept whole, dead links too.
    """

    def __init__(self, store: Store, opened: OpenSet) -> None:
        self._store = store
        self._open = opened
        self.signed_up_to: dict[bytes, int] = {}

    def judge_all(self, transactions: Iterable[SignedTransaction]) -> Judgement:
        """Sort a batch out; what is stored already is left out."""
        journal = self._store.journal
        judged = Judgement()
        # Chains from above: whether a dead link is named is known when its turn comes.
        ordered = sorted(transactions, key=lambda tx: (tx.header.author, -tx.header.seq))
        named: set[bytes | None] = set()
        for tx in ordered:
            place = (tx.header.author, tx.header.seq)
            rival = judged.fresh.get(place) or journal.at(*place)
            if (rival is not None and rival.tx_id == tx.tx_id) or journal.has(tx.tx_id):
                continue
            code = self._judge(tx, rival, is_link=tx.tx_id in named)
            if code is not None:
                judged.refused.append((tx.tx_id, code))
            elif rival is not None:
                proof = build_evidence(rival, tx)
                judged.proofs.setdefault(proof.evidence_id, proof)
            else:
                judged.fresh[place] = tx
                named.add(tx.header.prev)
        return judged

    def find_refusal(self, tx: SignedTransaction) -> str | None:
        """Return why a transaction would not be let in now, `known` among the reasons."""
        if self._store.journal.has(tx.tx_id):
            return "known"
        rival = self._store.journal.at(tx.header.author, tx.header.seq)
        return self._judge(tx, rival, is_link=False)

    def is_news(self, proof: Evidence) -> bool:
        """Tell whether evidence is not stored and bars more than what is."""
        return not self._open.is_barred(proof.author, proof.seq) and self.is_storable(proof)

    def is_storable(self, proof: Evidence) -> bool:
        """Tell whether evidence is not stored and is against an account."""
        known = self._store.journal.has_evidence(proof.evidence_id)
        return not known and self._store.view.get(ACCOUNTS, proof.author) is not None

    def _judge(
        self, tx: SignedTransaction, rival: SignedTransaction | None, *, is_link: bool
    ) -> str | None:
        """Return why a transaction is not let in.

        Args:
            tx: not stored yet.
            rival: another one at its place; the two make evidence.
            is_link: a transaction that will be stored names it.
        """
        author = tx.header.author
        if self._store.view.get(ACCOUNTS, author) is None:
            return "unknown_account"
        if self._open.is_barred(author, tx.header.seq):
            return "equivocated"
        if rival is not None:
            return None
        if tx.header.epoch > self._store.head.epoch + 1 + AHEAD_EPOCHS_MAX:
            return "too_far_ahead"
        doom = self._open.find_doom(tx)
        if doom is None or is_link or author in self.signed_up_to or self._is_wanted_link(tx):
            return None
        return doom

    def _is_wanted_link(self, tx: SignedTransaction) -> bool:
        gap = self._open.chains.find_gap(tx.header.author)
        return gap is not None and gap.missing == tx.tx_id
