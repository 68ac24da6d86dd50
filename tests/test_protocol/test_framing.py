"""Framing: however a stream is cut, its payloads are the same; a bad length is judged at once."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import InvariantBroken, PeerFault
from protocol.framing import FRAME_BYTES_MAX, FrameReader, frame

PAYLOADS = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def read_all(pieces: list[bytes], frame_bytes_max: int = FRAME_BYTES_MAX) -> list[bytes]:
    reader = FrameReader(frame_bytes_max)
    return [payload for piece in pieces for payload in reader.feed(piece)]


def outcome(pieces: list[bytes]) -> str:
    try:
        read_all(pieces, frame_bytes_max=40)
    except PeerFault as fault:
        return fault.code
    return "read"


def test_a_frame_is_a_length_and_its_payload() -> None:
    assert frame(b"abc") == b"\0\0\0\3abc"
    assert FRAME_BYTES_MAX == 1_048_576


@settings(deadline=None, max_examples=100)
@given(payloads=PAYLOADS, cuts=st.lists(st.integers(0, 300), max_size=10))
def test_a_stream_in_any_pieces_gives_the_payloads(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(frame, payloads))
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert read_all([stream]) == payloads
    assert read_all([bytes([byte]) for byte in stream]) == payloads
    assert read_all(pieces) == payloads


@settings(deadline=None, max_examples=200)
@given(stream=st.binary(max_size=30) | PAYLOADS.map(lambda some: b"".join(map(frame, some))))
def test_garbage_is_judged_alike_whole_and_byte_by_byte(stream: bytes) -> None:
    assert outcome([stream]) == outcome([bytes([byte]) for byte in stream])


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"\0\0\0\0", "frame_empty"),
        (b"\0\0\0\x29", "frame_too_long"),
        (b"\xff\xff\xff\xff", "frame_too_long"),
    ],
)
def test_a_bad_length_is_refused_before_its_payload_and_for_good(head: bytes, code: str) -> None:
    reader = FrameReader(40)
    assert reader.feed(frame(bytes(40))) == [bytes(40)]
    for data in (head, b"", b"more"):
        with pytest.raises(PeerFault) as caught:
            reader.feed(data)
        assert caught.value.code == code


def test_an_end_inside_a_frame_is_a_fault_and_between_frames_none() -> None:
    reader = FrameReader()
    reader.finish()
    reader.feed(frame(b"abc"))
    reader.finish()
    reader.feed(b"\0\0")
    with pytest.raises(PeerFault, match="frame_cut"):
        reader.finish()


def test_we_never_make_a_frame_that_we_would_refuse() -> None:
    assert read_all([frame(bytes(40), 40)], 40) == [bytes(40)]
    with pytest.raises(InvariantBroken):
        frame(b"")
    with pytest.raises(InvariantBroken):
        frame(bytes(41), 40)
