"""Seals: what a quorum must have signed, and everything that is no seal."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec
from protocol.charter_records import SEALERS_MAX
from protocol.errors import Rejected
from protocol.merkle import compute_root
from protocol.schema import decode_record, encode_record
from protocol.seals import (
    SEAL_BYTES_MAX,
    Seal,
    SealContent,
    Sharing,
    check_seal,
    compute_beacon,
    compute_quorum,
    compute_seal_hash,
    compute_sealers_hash,
    compute_set_root,
    sign_seal,
)
from protocol.sharing import DEALS_MAX
from tests.support.builders import a_hash, a_signer, an_address

NETWORK = b"network!"
PREV = a_hash("the seal before")
NAMES = ("ada", "ben", "cy", "dee")
SEALERS = tuple(sorted(an_address(who) for who in NAMES))

CONTENT = SealContent(
    epoch=7,
    prev=PREV,
    set_root=compute_set_root([a_hash("one"), a_hash("two")]),
    count=2,
    state_root=a_hash("a state"),
    sealers_next=compute_sealers_hash(SEALERS),
    time_ms=1_700_000_000_000,
    sharing=Sharing(a_hash("a secret"), a_hash("a deal") + a_hash("another deal")),
)


def seal_by(*names: str, content: SealContent = CONTENT) -> Seal:
    votes = (sign_seal(NETWORK, content, a_signer(who)) for who in names)
    return Seal(content, tuple(sorted(votes, key=lambda vote: vote.sealer)))


SEAL = seal_by("ada", "ben", "cy")


def check(seal: Seal, sealers: tuple[bytes, ...] = SEALERS) -> bytes:
    return check_seal(NETWORK, seal, PREV, 7, sealers, sealers)


def code_of(seal: Seal, sealers: tuple[bytes, ...] = SEALERS) -> str:
    with pytest.raises(Rejected) as error:
        check(seal, sealers)
    return error.value.code


def test_a_quorum_makes_a_seal() -> None:
    assert check(SEAL) == compute_seal_hash(NETWORK, CONTENT)
    assert check(seal_by(*NAMES)) == check(SEAL)


def test_a_seal_survives_its_bytes() -> None:
    assert Seal.from_bytes(SEAL.to_bytes()) == SEAL
    sharing = Sharing(a_hash("a secret"), a_hash("a deal") * DEALS_MAX)
    full = Seal(replace(CONTENT, sharing=sharing), SEAL.votes[:1] * SEALERS_MAX)
    assert len(full.to_bytes()) < SEAL_BYTES_MAX


def test_a_seal_without_secrets_has_the_bytes_of_before_there_were_any() -> None:
    content = replace(CONTENT, sharing=None)
    plain = [
        *(content.epoch, content.prev, content.set_root, content.count),
        *(content.state_root, content.sealers_next, content.time_ms),
    ]
    assert encode_record(content) == codec.encode(plain)
    assert decode_record(SealContent, codec.encode(plain)) == content
    with pytest.raises(Rejected, match="field_shape"):
        decode_record(SealContent, codec.encode([*plain, None]))


DEAL = a_hash("a deal")


@pytest.mark.parametrize(
    ("epoch", "sharing", "is_right"),
    [
        (7, Sharing(a_hash("a secret"), DEAL * 2), True),
        (7, None, False),
        (7, Sharing(None, DEAL * 2), False),
        (7, Sharing(a_hash("a secret"), DEAL), False),
        (7, Sharing(a_hash("a secret"), DEAL * 3), False),
        (7, Sharing(a_hash("a secret"), (DEAL * 2)[:-1]), False),
        (7, Sharing(a_hash("a secret"), b""), False),
        (1, Sharing(None, DEAL * 2), True),
        (1, Sharing(a_hash("a secret"), DEAL * 2), False),
        (1, None, False),
    ],
)
def test_where_one_may_lie_every_seal_but_the_first_has_a_secret_and_each_has_deals(
    epoch: int, sharing: Sharing | None, is_right: bool
) -> None:
    seal = seal_by(*NAMES, content=replace(CONTENT, epoch=epoch, sharing=sharing))
    if is_right:
        assert check_seal(NETWORK, seal, PREV, epoch, SEALERS, SEALERS)
    else:
        with pytest.raises(Rejected, match="seal_sharing"):
            check_seal(NETWORK, seal, PREV, epoch, SEALERS, SEALERS)


@pytest.mark.parametrize("sharing", [CONTENT.sharing, Sharing(None, b"")])
def test_where_nobody_is_assumed_to_lie_no_seal_has_a_secret(sharing: Sharing | None) -> None:
    three = tuple(sorted(an_address(who) for who in NAMES[:3]))
    content = replace(CONTENT, sealers_next=compute_sealers_hash(three), sharing=None)
    assert check(seal_by(*NAMES[:3], content=content), three)
    wrong = seal_by(*NAMES[:3], content=replace(content, sharing=sharing))
    assert code_of(wrong, three) == "seal_sharing"


@pytest.mark.parametrize(
    ("sealers", "quorum"),
    [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7), (31, 21)],
)
def test_how_many_must_sign(sealers: int, quorum: int) -> None:
    assert compute_quorum(sealers) == quorum
    faulty = (sealers - 1) // 3
    # Two quorums share more than the faulty, and the honest alone are a quorum.
    assert 2 * quorum - sealers > faulty
    assert sealers - faulty >= quorum


def test_one_sealer_is_enough_where_there_is_one() -> None:
    alone = (an_address("ada"),)
    content = replace(CONTENT, sealers_next=compute_sealers_hash(alone), sharing=None)
    assert check(seal_by("ada", content=content), alone)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"epoch": 8}, "seal_epoch"),
        ({"epoch": 6}, "seal_epoch"),
        ({"prev": bytes(32)}, "seal_prev"),
        ({"sealers_next": bytes(32)}, "seal_sealers"),
    ],
)
def test_a_seal_that_does_not_follow_is_refused(changes: dict[str, Any], code: str) -> None:
    content = replace(CONTENT, **changes)
    assert code_of(seal_by("ada", "ben", "cy", content=content)) == code


def test_too_few_votes_are_no_quorum() -> None:
    assert code_of(seal_by("ada", "ben")) == "seal_quorum"
    assert code_of(Seal(CONTENT, ())) == "seal_quorum"


def test_one_sealer_has_one_vote() -> None:
    assert code_of(seal_by("ada", "ada", "ben")) == "seal_votes"


def test_a_stranger_has_no_vote() -> None:
    assert code_of(seal_by("ada", "ben", "mallory")) == "seal_votes"
    assert code_of(seal_by("ada", "ben", "cy", "mallory")) == "seal_votes"


def test_votes_out_of_order_are_another_spelling() -> None:
    assert code_of(Seal(CONTENT, tuple(reversed(SEAL.votes)))) == "seal_votes"


def test_one_bad_signature_spoils_the_seal() -> None:
    votes = list(seal_by(*NAMES).votes)
    votes[3] = replace(votes[3], signature=votes[2].signature)
    assert code_of(Seal(CONTENT, tuple(votes))) == "seal_signature"


@pytest.mark.parametrize("field", ["set_root", "state_root"])
def test_votes_for_other_roots_do_not_count(field: str) -> None:
    changed: dict[str, Any] = {field: a_hash("another")}
    assert code_of(Seal(replace(CONTENT, **changed), SEAL.votes)) == "seal_signature"


def test_votes_of_another_network_do_not_count() -> None:
    with pytest.raises(Rejected):
        check_seal(b"network?", SEAL, PREV, 7, SEALERS, SEALERS)


def test_the_time_is_signed_though_no_rule_reads_it() -> None:
    later = Seal(replace(CONTENT, time_ms=1), SEAL.votes)
    assert code_of(later) == "seal_signature"


def test_the_root_of_a_set_does_not_depend_on_its_order() -> None:
    ids = [a_hash(str(i)) for i in range(9)]
    assert compute_set_root(ids) == compute_set_root(reversed(ids)) == compute_root(sorted(ids))


def test_the_beacon_changes_with_the_set_the_past_and_the_secret() -> None:
    roots = [compute_set_root([]), compute_set_root([a_hash("one")])]
    beacons = {
        compute_beacon(prev, root, secret)
        for prev in (PREV, bytes(32))
        for root in roots
        for secret in (None, a_hash("a secret"), a_hash("another"))
    }
    assert len(beacons) == 12


def test_a_seal_too_long_is_not_even_read() -> None:
    with pytest.raises(Rejected) as error:
        Seal.from_bytes(bytes(SEAL_BYTES_MAX + 1))
    assert error.value.code == "seal_too_long"


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(Rejected):
        Seal.from_bytes(data)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_makes_no_seal(place: int, mask: int) -> None:
    data = bytearray(SEAL.to_bytes())
    data[place % len(data)] ^= mask
    with pytest.raises(Rejected):
        check(Seal.from_bytes(bytes(data)))
