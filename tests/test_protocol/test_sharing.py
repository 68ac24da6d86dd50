"""Shared secrets: the same whoever opens, unknown to f, and no false deal or opening among them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Rejected
from protocol.group import ORDER, POINT_BYTES, add, multiply, multiply_base
from protocol.keys import Signer
from protocol.schema import encode_record
from protocol.sharing import (
    DEALS_MAX,
    Deal,
    H,
    Opening,
    build_deal,
    build_opening,
    check_deal,
    check_opening,
    compute_deal_hash,
    compute_opening_hash,
    count_deals,
    list_recipients,
    recover_secret,
)
from tests.support.builders import a_hash, a_signer

NETWORK = b"network!"
EPOCH = 9
TWO_TORSION = (2**255 - 20).to_bytes(32, "little")


def sort_signers(count: int) -> list[Signer]:
    return sorted((a_signer(f"sealer {n}") for n in range(count)), key=lambda one: one.address)


class Circle:
    """Sealers, what makes the secret of one epoch, and everybody's opening."""

    def __init__(self, count: int, epoch: int = EPOCH) -> None:
        self.signers = sort_signers(count)
        self.sealers = [one.address for one in self.signers]
        self.threshold = count_deals(count)
        dealers = self.signers[-self.threshold :]
        self.deals = [build_deal(NETWORK, epoch, self.sealers, one) for one in dealers]
        found = [build_opening(NETWORK, epoch, self.deals, self.sealers, s) for s in self.signers]
        self.openings = [one for one in found if one is not None]

    def check(self, deal: Deal) -> None:
        check_deal(NETWORK, deal, EPOCH, self.sealers)

    def check_opened(self, opening: Opening) -> None:
        check_opening(NETWORK, opening, EPOCH, self.deals, self.sealers)

    def recover(self, openings: Sequence[Opening]) -> bytes | None:
        return recover_secret(NETWORK, EPOCH, self.deals, openings, self.sealers)

    def sign_opened(self, opening: Opening) -> Opening:
        """Return an opening as its sealer would sign it, true or not."""
        signer = next((s for s in self.signers if s.address == opening.sealer), self.signers[0])
        value = compute_opening_hash(NETWORK, opening)
        return replace(opening, signature=signer.sign(value))

    def sign(self, place: int, deal: Deal) -> Deal:
        """Return a deal as its dealer would sign it, true or not."""
        dealer = self.signers[place]
        deal = replace(deal, dealer=dealer.address)
        return replace(deal, signature=dealer.sign(compute_deal_hash(NETWORK, deal)))


FOUR = Circle(4)
SEVEN = Circle(7)


@pytest.mark.parametrize(
    ("sealers", "deals"), [(1, 0), (2, 0), (3, 0), (4, 2), (6, 2), (7, 3), (10, 4), (31, 11)]
)
def test_one_deal_more_than_there_are_liars(sealers: int, deals: int) -> None:
    assert count_deals(sealers) == deals <= DEALS_MAX


@pytest.mark.parametrize("circle", [FOUR, SEVEN], ids=["four", "seven"])
def test_any_that_are_enough_open_the_same_secret_and_fewer_open_none(circle: Circle) -> None:
    for deal in circle.deals:
        circle.check(deal)
    for opening in circle.openings:
        circle.check_opened(opening)
    secrets = {circle.recover(some) for some in combinations(circle.openings, circle.threshold)}
    assert len(secrets) == 1
    assert secrets == {circle.recover(circle.openings)}
    assert None not in secrets
    for few in combinations(circle.openings, circle.threshold - 1):
        assert circle.recover(few) is None


def test_a_secret_is_that_of_its_epoch_and_its_dealers_and_no_other() -> None:
    later = Circle(4, EPOCH + 1)
    assert {one.dealer for one in later.deals} == {one.dealer for one in FOUR.deals}
    secrets = {
        FOUR.recover(FOUR.openings),
        recover_secret(NETWORK, EPOCH + 1, later.deals, later.openings, later.sealers),
        SEVEN.recover(SEVEN.openings),
    }
    assert len(secrets) == 3


def test_whoever_holds_f_shares_can_make_any_secret_of_them() -> None:
    # With four sealers one share is f. For every other share there is a secret that fits both, and
    # each is another: the share that is held determines nothing.
    held = FOUR.openings[0]
    secrets = set()
    for guess in range(1, 20):
        other = replace(FOUR.openings[1], shares=multiply_base(guess) * 2)
        secrets.add(FOUR.recover([held, other]))
    assert len(secrets) == 19
    assert None not in secrets


def test_a_dealer_deals_the_same_again_and_to_others_something_else() -> None:
    again = build_deal(NETWORK, EPOCH, FOUR.sealers, FOUR.signers[-1])
    assert again == FOUR.deals[-1]
    others = [
        build_deal(b"another!", EPOCH, FOUR.sealers, FOUR.signers[-1]),
        build_deal(NETWORK, EPOCH + 1, FOUR.sealers, FOUR.signers[-1]),
        build_deal(NETWORK, EPOCH, SEVEN.sealers, FOUR.signers[-1]),
        build_deal(NETWORK, EPOCH, FOUR.sealers, FOUR.signers[0]),
    ]
    points = [one.commitments[:POINT_BYTES] for one in (again, *others)]
    assert len(set(points)) == len(points), "not one value of its polynomial is the same"


def code_of_deal(deal: Deal, circle: Circle = FOUR) -> str:
    with pytest.raises(Rejected) as error:
        circle.check(deal)
    return error.value.code


def swap(packed: bytes, size: int = POINT_BYTES) -> bytes:
    return packed[size : 2 * size] + packed[:size] + packed[2 * size :]


GOOD = FOUR.deals[0]
AT = FOUR.sealers.index(GOOD.dealer)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"shares": swap(GOOD.shares)}, "deal_proof"),
        ({"commitments": swap(GOOD.commitments)}, "deal_proof"),
        ({"proof": swap(GOOD.proof)}, "deal_proof"),
        ({"shares": GOOD.shares[:-POINT_BYTES]}, "deal_shape"),
        ({"shares": GOOD.shares[:-1]}, "deal_shape"),
        ({"commitments": GOOD.commitments + GOOD.commitments[:POINT_BYTES]}, "deal_shape"),
        ({"proof": b""}, "deal_shape"),
        ({"commitments": b"", "shares": b"", "proof": b""}, "deal_shape"),
        ({"proof": b"\xff" * len(GOOD.proof)}, "group_scalar"),
        ({"shares": bytes(len(GOOD.shares))}, "group_point"),
        (
            {"shares": add(GOOD.shares[:POINT_BYTES], TWO_TORSION) + GOOD.shares[POINT_BYTES:]},
            "group_point",
        ),
        ({"epoch": EPOCH + 1}, "deal_epoch"),
    ],
)
def test_a_false_deal_is_refused_though_its_dealer_signed_it(
    changes: dict[str, object], code: str
) -> None:
    changed: Deal = replace(GOOD, **changes)  # type: ignore[arg-type]
    assert code_of_deal(FOUR.sign(AT, changed)) == code


def test_a_deal_in_anothers_name_is_refused() -> None:
    other = (AT + 1) % 4
    assert code_of_deal(replace(GOOD, dealer=FOUR.sealers[other])) == "deal_signature"
    assert code_of_deal(FOUR.sign(other, GOOD)) == "deal_proof", "nor can he sign it as his own"
    stranger = a_signer("mallory")
    deal = build_deal(NETWORK, EPOCH, FOUR.sealers, stranger)
    assert code_of_deal(deal) == "deal_dealer"
    assert code_of_deal(build_deal(NETWORK, EPOCH, SEVEN.sealers, FOUR.signers[0])) == "deal_shape"


@pytest.mark.parametrize("circle", [FOUR, SEVEN], ids=["four", "seven"])
def test_shares_of_a_polynomial_of_a_higher_degree_are_refused(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever gets one of them opens rightly, but which secret comes of it depends on who opens.
    monkeypatch.setattr("protocol.sharing.count_deals", lambda sealers: circle.threshold + 1)
    deal = build_deal(NETWORK, EPOCH, circle.sealers, circle.signers[0])
    monkeypatch.undo()
    assert code_of_deal(deal, circle) == "deal_degree"


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.sampled_from(("dealer", "commitments", "shares", "proof", "signature")),
    st.integers(0, 10_000),
    st.integers(1, 255),
)
def test_no_changed_byte_of_a_deal_passes(field: str, at: int, mask: int) -> None:
    data = bytearray(getattr(GOOD, field))
    data[at % len(data)] ^= mask
    with pytest.raises(Rejected):
        FOUR.check(replace(GOOD, **{field: bytes(data)}))  # type: ignore[arg-type]


OPENED = FOUR.openings[0]


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.sampled_from(("sealer", "shares", "proof")), st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_byte_of_an_opening_passes(field: str, at: int, mask: int) -> None:
    data = bytearray(getattr(OPENED, field))
    data[at % len(data)] ^= mask
    with pytest.raises(Rejected):
        FOUR.check_opened(replace(OPENED, **{field: bytes(data)}))  # type: ignore[arg-type]


def prove_falsely(factor: int) -> Opening:
    """Return an opening of shares that are `factor` times what they should be."""
    shares = [OPENED.shares[:POINT_BYTES], OPENED.shares[POINT_BYTES:]]
    return replace(OPENED, shares=b"".join(multiply(factor, share) for share in shares))


@pytest.mark.parametrize(
    ("opening", "code"),
    [
        (replace(OPENED, sealer=FOUR.sealers[1]), "opening_proof"),
        (replace(OPENED, sealer=a_hash("stranger")), "opening_sealer"),
        (replace(OPENED, epoch=EPOCH + 1), "opening_epoch"),
        (replace(OPENED, shares=OPENED.shares[:POINT_BYTES]), "opening_shape"),
        (replace(OPENED, shares=OPENED.shares[:-1]), "opening_shape"),
        (replace(OPENED, shares=swap(OPENED.shares)), "opening_proof"),
        (replace(OPENED, shares=bytes(2 * POINT_BYTES)), "group_point"),
        (replace(OPENED, proof=b"\xff" * 64), "group_scalar"),
        (prove_falsely(2), "opening_proof"),
        (prove_falsely(ORDER - 1), "opening_proof"),
    ],
)
def test_a_false_opening_is_refused(opening: Opening, code: str) -> None:
    with pytest.raises(Rejected) as error:
        FOUR.check_opened(FOUR.sign_opened(opening))
    assert error.value.code == code


def test_an_opening_in_anothers_name_is_refused() -> None:
    for forged in (
        replace(OPENED, sealer=FOUR.sealers[1]),
        replace(OPENED, shares=swap(OPENED.shares)),
        replace(OPENED, signature=FOUR.openings[1].signature),
    ):
        with pytest.raises(Rejected, match="opening_signature"):
            FOUR.check_opened(forged)


def test_an_opening_of_other_deals_is_refused() -> None:
    other = build_deal(NETWORK, EPOCH, FOUR.sealers, FOUR.signers[0])
    assert other not in FOUR.deals
    with pytest.raises(Rejected, match="opening_proof"):
        check_opening(NETWORK, OPENED, EPOCH, [other, FOUR.deals[1]], FOUR.sealers)


def test_a_sealer_whose_address_is_not_of_the_group_gets_no_share_and_stops_nobody() -> None:
    crooked = add(a_signer("crooked").address, TWO_TORSION)
    sealers = sorted([*FOUR.sealers[:3], crooked])
    assert list_recipients(sealers) == FOUR.sealers[:3]
    deals = [build_deal(NETWORK, EPOCH, sealers, one) for one in FOUR.signers[:2]]
    for deal in deals:
        check_deal(NETWORK, deal, EPOCH, sealers)
    openings = []
    for signer in FOUR.signers[:3]:
        opening = build_opening(NETWORK, EPOCH, deals, sealers, signer)
        assert opening is not None
        check_opening(NETWORK, opening, EPOCH, deals, sealers)
        openings.append(opening)
    assert build_opening(NETWORK, EPOCH, deals, sealers, a_signer("crooked")) is None
    secrets = {
        recover_secret(NETWORK, EPOCH, deals, some, sealers) for some in combinations(openings, 2)
    }
    assert len(secrets) == 1


def test_the_point_of_commitments_does_not_show_the_secret() -> None:
    # Were H the base point, the commitment at place 0 would be the secret itself.
    assert multiply_base(1) != H
    first = [GOOD.commitments[i : i + POINT_BYTES] for i in range(0, 2 * POINT_BYTES, POINT_BYTES)]
    at_zero = add(multiply(2, first[0]), multiply(-1, first[1]))
    opened = [one.shares[:POINT_BYTES] for one in FOUR.openings[:2]]
    secret = add(multiply(2, opened[0]), multiply(-1, opened[1]))
    assert secret != at_zero


def test_the_largest_deal_and_opening_have_the_size_that_messages_reckon_with() -> None:
    signers = sort_signers(31)
    sealers = [one.address for one in signers]
    deal = build_deal(NETWORK, EPOCH, sealers, signers[0])
    check_deal(NETWORK, deal, EPOCH, sealers)
    assert len(encode_record(deal)) < 3_200
    opening = build_opening(NETWORK, EPOCH, [deal] * DEALS_MAX, sealers, signers[30])
    assert opening is not None
    assert len(encode_record(opening)) < 540
