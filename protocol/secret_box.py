"""The secret box of one epoch: what was dealt for its secret and for the next, and what was opened.

Rules:
1. The deals for this epoch are those that the last seal names by hash: a quorum checked them.
2. A deal for the next epoch enters once it is checked, one of each dealer, until there are enough:
   checking is dear, and whoever has enough can pass them on. What a proposal brings is checked too,
   whatever was heard before: a dealer who tells two things delays nobody by it.
3. An opening enters once it is checked, one of each sealer, until the secret is known; until the
   deals are here none can be checked.
4. Whoever signed something false is not looked at again, but for what proposals bring of his.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from protocol.charter_records import SEALERS_MAX
from protocol.errors import Rejected
from protocol.keys import Signer
from protocol.sharing import (
    Deal,
    Opening,
    build_deal,
    build_opening,
    check_deal,
    check_opening,
    compute_deal_hash,
    count_deals,
    recover_secret,
)
from protocol.task_types import Address, Id

_LIES = frozenset({"deal_proof", "deal_degree", "opening_proof", "group_point", "group_scalar"})
"""What is found only once the signature is known to be the sealer's."""
CHECKED_MAX = 4 * SEALERS_MAX
"""Deals that are remembered as checked, so that a proposal of known ones costs nothing."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a box is worth to others: which deals it has for this epoch, and then whether enough.

    Attributes:
        dealers, openers: of whom it has something, while it has too little.
    """

    agreed: tuple[Id, ...]
    has_deals: bool
    dealers: tuple[Address, ...]
    has_secret: bool
    openers: tuple[Address, ...]


class SecretBox:
    """Deals and openings, checked and bounded.

    Args:
        network: its id.
        epoch: that is to be sealed.
        sealers: of this epoch, sorted; to them its deals were dealt, and they open them.
        sealers_next: of the next epoch; they deal for it, to one another.
        agreed: hashes of the deals for this epoch, as the last seal names them.

    Attributes:
        wanted: how many deals for the next epoch a plan must bring.
        is_needed: whether this epoch has a secret to be opened.
        offered: deals for the next epoch, by dealer.
        openings: by sealer.
    """

    def __init__(
        self,
        network: bytes,
        epoch: int,
        sealers: Sequence[bytes],
        sealers_next: Sequence[bytes],
        agreed: Sequence[bytes],
    ) -> None:
        self.wanted = count_deals(len(sealers_next))
        self.is_needed = bool(agreed)
        self.offered: dict[bytes, Deal] = {}
        self.openings: dict[bytes, Opening] = {}
        self._network = network
        self._epoch = epoch
        self._sealers = sealers
        self._sealers_next = sealers_next
        self._agreed = tuple(agreed)
        self._dealt: dict[bytes, Deal] = {}
        self._checked: dict[Deal, None] = {}
        self._liars: dict[bytes, None] = {}
        self._secret: bytes | None = None

    # ---------------------------------------------------------------------------- putting in

    def add_deal(self, deal: Deal) -> bool:
        """Put in a deal for this epoch or the next; return whether it is new.

        Raises:
            Rejected: `deal_…`, `group_…`.
        """
        if deal.epoch == self._epoch:
            return self._add_agreed(deal)
        if not self.wanted:
            raise Rejected("deal_unneeded", "a deal", "none: nobody is assumed to lie")
        is_enough = self.choose_deals() is not None
        if is_enough or deal.dealer in self.offered or deal.dealer in self._liars:
            return False
        with self._noting_liars(deal.dealer):
            self._check(deal)
        self.offered[deal.dealer] = deal
        return True

    def _add_agreed(self, deal: Deal) -> bool:
        value = compute_deal_hash(self._network, deal)
        if value not in self._agreed:
            raise Rejected("deal_unknown", value.hex()[:16], "one that the last seal names")
        is_new = value not in self._dealt
        self._dealt.setdefault(value, deal)
        return is_new

    def check_offered(self, deals: Iterable[Deal]) -> None:
        """Check the deals of a proposal, and keep them if all of them are good.

        Raises:
            Rejected: `deal_…`, `group_…`.
        """
        deals = tuple(deals)
        for deal in deals:
            self._check(deal)
        for deal in deals:
            if self.choose_deals() is None:
                self.offered.setdefault(deal.dealer, deal)

    def _check(self, deal: Deal) -> None:
        if deal in self._checked:
            return
        check_deal(self._network, deal, self._epoch + 1, self._sealers_next)
        self._checked[deal] = None
        if len(self._checked) > CHECKED_MAX:
            del self._checked[next(iter(self._checked))]

    def add_opening(self, opening: Opening) -> bool:
        """Put in an opening; return whether it is new. Without the deals nobody can tell, so not.

        Raises:
            Rejected: `opening_…`, `group_…`.
        """
        if not self.is_needed:
            raise Rejected("opening_unneeded", "an opening", "none: nothing was dealt")
        deals = self.find_agreed()
        sealer = opening.sealer
        is_enough = self.find_secret() is not None
        if deals is None or is_enough or sealer in self.openings or sealer in self._liars:
            return False
        with self._noting_liars(sealer):
            check_opening(self._network, opening, self._epoch, deals, self._sealers)
        self.openings[sealer] = opening
        return True

    @contextmanager
    def _noting_liars(self, sealer: bytes) -> Iterator[None]:
        """Look no more at what a sealer says who signed something false: that costs more to check.

        Before the signature nothing costs much, and nothing is known of who said it.
        """
        try:
            yield
        except Rejected as error:
            if error.code in _LIES:
                self._liars[sealer] = None
            raise

    # --------------------------------------------------------------------- what one sealer adds

    def deal(self, signer: Signer) -> Deal | None:
        """Return what a sealer has yet to deal for the next epoch; None if nothing."""
        is_enough = self.choose_deals() is not None
        if is_enough or signer.address not in self._sealers_next or signer.address in self.offered:
            return None
        return build_deal(self._network, self._epoch + 1, self._sealers_next, signer)

    def recall(self, deals: Iterable[Deal], signer: Signer | None = None) -> None:
        """Put in what is known of the deals for this epoch, and what a sealer dealt, if it lacks.

        It deals the same again, so deals are not lost for good while their dealers live.
        """
        for deal in deals:
            if self.is_agreed(deal):
                self._add_agreed(deal)
        if signer is not None and self.is_needed and self.find_agreed() is None:
            again = build_deal(self._network, self._epoch, self._sealers, signer)
            self.recall([again])

    def open(self, signer: Signer) -> Opening | None:
        """Return a sealer's opening of the deals for this epoch; None if it can add nothing.

        Call it once the plan of the epoch is decided, and never before.
        """
        deals = self.find_agreed()
        if not self.is_needed or deals is None or self.find_secret() is not None:
            return None
        return build_opening(self._network, self._epoch, deals, self._sealers, signer)

    # -------------------------------------------------------------------------------- reading

    def find_agreed(self) -> tuple[Deal, ...] | None:
        """Return the deals for this epoch in their order, None while one lacks."""
        found = self.list_agreed()
        return found if len(found) == len(self._agreed) else None

    def is_agreed(self, deal: Deal) -> bool:
        """Tell whether the last seal names a deal."""
        return compute_deal_hash(self._network, deal) in self._agreed

    def list_agreed(self) -> tuple[Deal, ...]:
        """Return those of the deals for this epoch that are here, in their order."""
        return tuple(self._dealt[value] for value in self._agreed if value in self._dealt)

    def choose_deals(self) -> tuple[Deal, ...] | None:
        """Return deals for a plan, None if there are too few: of any f + 1 one is honest."""
        deals = tuple(deal for _, deal in sorted(self.offered.items()))
        return deals if len(deals) >= self.wanted else None

    def find_secret(self) -> bytes | None:
        """Return the secret of this epoch; None while too few have opened it."""
        deals = self.find_agreed()
        if self._secret is None and deals and len(self.openings) >= len(deals):
            self._secret = recover_secret(
                self._network, self._epoch, deals, self.show_openings(), self._sealers
            )
        return self._secret

    def show_deals(self) -> tuple[Deal, ...]:
        """Return what a peer that missed something needs."""
        return (*self.list_agreed(), *(deal for _, deal in sorted(self.offered.items())))

    def summarize(self) -> "Summary":
        """Return what tells apart two boxes of which one can help the other: any f + 1 will do."""
        has_deals, has_secret = self.choose_deals() is not None, self.find_secret() is not None
        return Summary(
            tuple(value for value in self._agreed if value in self._dealt),
            has_deals,
            () if has_deals else tuple(sorted(self.offered)),
            has_secret,
            () if has_secret else tuple(sorted(self.openings)),
        )

    def show_openings(self) -> tuple[Opening, ...]:
        """Return what a peer that missed something needs."""
        return tuple(opening for _, opening in sorted(self.openings.items()))
