"""Messages between peers: each survives its bytes, and bytes that are none blame the sender."""

from dataclasses import replace
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import codec
from protocol.ballots import (
    PROPOSALS_PER_ROUND_MAX,
    ROUND_MAX,
    SHOWN_ROUNDS,
    Backed,
    Ballot,
    DoubleBallot,
    Proposal,
    Quorum,
    SealVote,
    Shown,
    Step,
)
from protocol.charter_records import SEALERS_MAX
from protocol.errors import InvariantBroken, PeerFault
from protocol.messages import (
    GOSSIP_BYTES_MAX,
    GOSSIP_MESSAGES,
    GOSSIP_SEAL_IDS_MAX,
    ITEMS_BYTES_MAX,
    ITEMS_PER_MESSAGE_MAX,
    MESSAGE_BYTES_MAX,
    PACKED_IDS_MAX,
    STREAM_MESSAGES,
    WANT_IDS_MAX,
    Announcement,
    BallotNotice,
    Ballots,
    Blob,
    Bye,
    DealNotice,
    DoubleBallotNotice,
    EvidenceNotice,
    GetBallots,
    GetBlob,
    GetChain,
    GetIds,
    GetSeals,
    GetSet,
    Hello,
    Ids,
    Items,
    OpeningNotice,
    ProposalNotice,
    Ranges,
    SealedIds,
    SealNotice,
    Seals,
    SealVoteNotice,
    SetIds,
    Status,
    Taken,
    Transactions,
    Want,
    decode_gossip_message,
    decode_stream_message,
    encode_message,
    pack_ids,
    unpack_ids,
)
from protocol.plan import Plan
from protocol.seals import SealContent, Sharing, Vote
from protocol.sharing import DEALS_MAX, Deal, Opening
from protocol.transactions import WIRE_BYTES_MAX

ID = bytes(range(32))
STATUS = Status(7, ID, 3, bytes(16), ID)
DEAL = Deal(9, ID, ID * 2, ID * 2, ID * 3, bytes(64))
PLAN = Plan(8, ID, ID, 2, ID, 0, (DEAL,))
CONTENT = SealContent(8, ID, ID, 2, ID, ID, 0, Sharing(ID, ID * 2))
OPENING = Opening(8, ID, ID * 2, ID * 2, bytes(64))
VOTE = Vote(ID, bytes(64))
PREVOTE = Ballot(8, 3, Step.PREVOTE, None, ID, bytes(64))
PROPOSAL = Proposal(Ballot(8, 3, Step.PROPOSE, ID, ID, bytes(64)), PLAN, Quorum(2, (VOTE, VOTE)))
SEAL_VOTE = SealVote(CONTENT, VOTE)
DOUBLE = DoubleBallot(PREVOTE, Ballot(8, 3, Step.PREVOTE, ID, ID, bytes(64)))
SHOWN = Shown(
    *((PROPOSAL,), (PREVOTE,), (SEAL_VOTE,), Backed(PLAN, Quorum(2, (VOTE,))), (DOUBLE,)),
    *((DEAL,), (OPENING,)),
)
FULL = Quorum(ROUND_MAX, (VOTE,) * SEALERS_MAX)
"""A quorum of everybody, in the largest network there is; what follows is of it, too."""
FULL_DEAL = replace(
    DEAL, commitments=ID * SEALERS_MAX, shares=ID * SEALERS_MAX, proof=ID * (1 + SEALERS_MAX)
)
FULL_PLAN = replace(PLAN, deals=(FULL_DEAL,) * DEALS_MAX)
FULL_PROPOSAL = replace(PROPOSAL, plan=FULL_PLAN, polka=FULL)
FULL_SEAL_VOTE = SealVote(replace(CONTENT, sharing=Sharing(ID, ID * DEALS_MAX)), VOTE)
STREAM = (
    Hello(1, bytes(8), "minesync", STATUS),
    STATUS,
    Ranges(1, 7, True, b"\x61"),
    Want(ID * 2),
    Items((b"one",), (b"two", b"three")),
    Taken(5),
    GetSeals(3),
    Seals((SealedIds(b"seal", ID), SealedIds(b"large", None))),
    GetIds(3, 16_384),
    Ids(3, 16_384, ID),
    GetBlob(ID, 61_440),
    Blob(ID, 100, 0, b"data"),
    Bye("wrong_network", "found another"),
    GetChain(ID, 0, (1 << 63) - 1),
    GetBallots(8, bytes(16)),
    Ballots(8, SHOWN),
    GetSet(ID, 16_384),
    SetIds(ID, 16_384, ID * 2),
)
GOSSIP = (
    Transactions((b"wire",)),
    Announcement("peer", ID),
    SealNotice(SealedIds(b"seal", None)),
    EvidenceNotice(b"proof"),
    BallotNotice(PREVOTE),
    ProposalNotice("peer", PROPOSAL, ID * 2),
    SealVoteNotice(SEAL_VOTE),
    DoubleBallotNotice(DOUBLE),
    DealNotice(DEAL),
    OpeningNotice(OPENING),
)


@pytest.mark.parametrize("message", STREAM, ids=lambda message: type(message).__name__)
def test_a_message_of_the_stream_survives_its_bytes(message: object) -> None:
    data = encode_message(message)
    assert decode_stream_message(data) == message
    with pytest.raises(PeerFault, match="message_unknown"):
        decode_gossip_message(data)


@pytest.mark.parametrize("message", GOSSIP, ids=lambda message: type(message).__name__)
def test_a_message_of_gossip_survives_its_bytes(message: object) -> None:
    data = encode_message(message)
    assert decode_gossip_message(data) == message
    with pytest.raises(PeerFault, match="message_unknown"):
        decode_stream_message(data)


def test_every_message_is_in_these_tests_and_has_a_code_of_its_own() -> None:
    assert {type(message) for message in STREAM} == set(STREAM_MESSAGES.values())
    assert {type(message) for message in GOSSIP} == set(GOSSIP_MESSAGES.values())
    assert STREAM_MESSAGES.keys().isdisjoint(GOSSIP_MESSAGES)


def test_every_field_of_every_message_is_bounded() -> None:
    for cls in (*STREAM_MESSAGES.values(), *GOSSIP_MESSAGES.values()):
        for name, hint in get_type_hints(cls, include_extras=True).items():
            assert hint not in (bytes, str), f"{cls.__name__}.{name} has no bound"


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_blame_the_sender(data: bytes) -> None:
    for decode in (decode_stream_message, decode_gossip_message):
        try:
            message = decode(data)
        except PeerFault:
            continue
        assert encode_message(message) == data


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.sampled_from((*STREAM, *GOSSIP)), st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_makes_another_message_or_none(message: object, at: int, byte: int) -> None:
    data = bytearray(encode_message(message))
    data[at % len(data)] = byte
    decode = decode_gossip_message if type(message) in GOSSIP_MESSAGES.values() else None
    try:
        found = (decode or decode_stream_message)(bytes(data))
    except PeerFault:
        return
    assert encode_message(found) == bytes(data)


@pytest.mark.parametrize(
    "plain",
    [
        [4, bytes(32 * (PACKED_IDS_MAX + 1))],
        [3, 2, 0, True, b""],
        [3, 0, 1 << 31, True, b""],
        [5, [b""] * (ITEMS_PER_MESSAGE_MAX + 1), []],
        [5, [bytes(2 * WIRE_BYTES_MAX + 65)], []],
        [13, "x" * 65, ""],
        [14, bytes(31), 0, 0],
        [14, bytes(32), 0],
        [2],
        [],
        7,
    ],
)
def test_what_is_out_of_bounds_blames_the_sender(plain: object) -> None:
    with pytest.raises(PeerFault):
        decode_stream_message(codec.encode(plain))


def test_we_send_nothing_out_of_bounds_ourselves() -> None:
    with pytest.raises(InvariantBroken):
        encode_message(Announcement("peer", bytes(32 * (GOSSIP_SEAL_IDS_MAX + 1))))


def test_ids_travel_packed_and_are_counted() -> None:
    ids = [bytes([place]) * 32 for place in range(5)]
    assert unpack_ids(pack_ids(ids)) == ids
    with pytest.raises(PeerFault, match="ids_malformed"):
        unpack_ids(bytes(33))
    with pytest.raises(PeerFault, match="ids_too_many"):
        unpack_ids(bytes(32 * 3), 2)


def test_the_largest_of_each_fits_its_frame() -> None:
    largest = (
        Want(bytes(32 * WANT_IDS_MAX)),
        Ids(1, 0, bytes(32 * PACKED_IDS_MAX)),
        Seals((SealedIds(bytes(8_192), bytes(32 * PACKED_IDS_MAX)),)),
        Items(tuple(bytes(ITEMS_BYTES_MAX // 512) for _ in range(512)), ()),
        Items((), (bytes(2 * WIRE_BYTES_MAX + 64),) * 15),
        Ballots(
            8,
            Shown(
                (FULL_PROPOSAL,) * SHOWN_ROUNDS * PROPOSALS_PER_ROUND_MAX,
                (replace(PREVOTE, value=ID, round=ROUND_MAX),) * (2 * SHOWN_ROUNDS * SEALERS_MAX),
                (FULL_SEAL_VOTE,) * SEALERS_MAX,
                Backed(FULL_PLAN, FULL),
                (DOUBLE,) * SEALERS_MAX,
                (FULL_DEAL,) * (2 * DEALS_MAX),
                (replace(OPENING, shares=ID * DEALS_MAX),) * DEALS_MAX,
            ),
        ),
        SetIds(ID, 0, bytes(32 * PACKED_IDS_MAX)),
    )
    assert all(len(encode_message(message)) <= MESSAGE_BYTES_MAX for message in largest)
    # Items and depth have bounds of their own.
    assert all(decode_stream_message(encode_message(message)) == message for message in largest)
    notices = (
        SealNotice(SealedIds(bytes(8_192), bytes(32 * GOSSIP_SEAL_IDS_MAX))),
        EvidenceNotice(bytes(2 * WIRE_BYTES_MAX + 64)),
        Announcement("x" * 128, bytes(32 * GOSSIP_SEAL_IDS_MAX)),
        ProposalNotice("x" * 128, replace(PROPOSAL, polka=FULL), bytes(32 * GOSSIP_SEAL_IDS_MAX)),
        ProposalNotice("x" * 128, FULL_PROPOSAL, None),
        SealVoteNotice(FULL_SEAL_VOTE),
    )
    assert all(len(encode_message(notice)) <= GOSSIP_BYTES_MAX for notice in notices)
    assert all(decode_gossip_message(encode_message(notice)) == notice for notice in notices)
