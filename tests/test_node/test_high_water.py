"""The signing marks: what was signed once is never signed again."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.author import Author
from node.events import Broadcast
from node.exits import Exit, find_exit
from node.high_water import (
    ACCOUNTS_MAX,
    PAIR_BYTES,
    SLOT_BYTES,
    HighWater,
    SigningError,
    decode_slot,
    encode_slot,
)
from node.private_files import KeyFileError
from node.state_manager import StateManager
from protocol.errors import Rejected
from storage.memory import MemoryEngine
from storage.store import Store
from tests.support.peers import a_genesis, a_signer, some_terms

ANN, BOB = b"\x01" * 32, b"\x02" * 32


def place(folder: Path) -> Path:
    return folder / "home" / "signed_seq"


def raise_and_close(path: Path, address: bytes, *numbers: int) -> None:
    marks = HighWater(path)
    for seq in numbers:
        marks.raise_to(address, seq)
    marks.close()


def read(path: Path, address: bytes) -> int | None:
    marks = HighWater(path)
    marks.close()
    return marks.get(address)


def test_a_mark_rises_and_is_there_after_a_restart(tmp_path: Path) -> None:
    path = place(tmp_path)
    assert read(path, ANN) is None
    raise_and_close(path, ANN, 0, 1, 7)
    raise_and_close(path, BOB, 3)
    assert (read(path, ANN), read(path, BOB)) == (7, 3)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("seq", [0, 6, 7])
def test_at_or_below_the_mark_nothing_is_signed(tmp_path: Path, seq: int) -> None:
    path = place(tmp_path)
    raise_and_close(path, ANN, 7)
    marks = HighWater(path)
    with pytest.raises(SigningError) as caught:
        marks.raise_to(ANN, seq)
    marks.close()
    assert caught.value.code == "already_signed"
    assert find_exit(caught.value) is Exit.KEY
    assert read(path, ANN) == 7


def test_a_torn_write_damages_the_older_truth_only(tmp_path: Path) -> None:
    path = place(tmp_path)
    raise_and_close(path, ANN, 5, 6)
    content = path.read_bytes()
    for cut in range(SLOT_BYTES):
        # The slot of 5 is the next to be written; the power goes after `cut` bytes of 7.
        slots = [content[:SLOT_BYTES], content[SLOT_BYTES:]]
        older = 0 if decode_slot(slots[0]) == (ANN, 5) else 1
        slots[older] = encode_slot(ANN, 7)[:cut] + slots[older][cut:]
        path.write_bytes(b"".join(slots))
        assert read(path, ANN) == 6


def test_an_append_that_was_cut_off_covers_nothing(tmp_path: Path) -> None:
    path = place(tmp_path)
    raise_and_close(path, ANN, 5)
    whole = path.read_bytes()
    for rest in (b"", b"x" * 10, encode_slot(BOB, 1), bytes(PAIR_BYTES)):
        path.write_bytes(whole + rest)
        assert (read(path, ANN), read(path, BOB)) == (5, None)
        raise_and_close(path, BOB, 0)
        assert (read(path, ANN), read(path, BOB)) == (5, 0)


def test_a_damaged_mark_is_refused_and_kept(tmp_path: Path) -> None:
    path = place(tmp_path)
    raise_and_close(path, ANN, 5)
    raise_and_close(path, BOB, 6)
    damaged = b"\x00" * PAIR_BYTES + path.read_bytes()[PAIR_BYTES:]
    path.write_bytes(damaged)
    with pytest.raises(SigningError) as caught:
        HighWater(path)
    assert caught.value.code == "mark_damaged"
    assert path.read_bytes() == damaged


def test_a_mark_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = place(tmp_path)
    raise_and_close(path, ANN, 5)
    path.chmod(0o666)
    with pytest.raises(KeyFileError):
        HighWater(path)


def test_there_is_a_bound_to_the_accounts(tmp_path: Path) -> None:
    marks = HighWater(place(tmp_path))
    for number in range(ACCOUNTS_MAX):
        marks.raise_to(number.to_bytes(32, "big"), 0)
    with pytest.raises(SigningError) as caught:
        marks.raise_to(b"\xff" * 32, 0)
    assert caught.value.code == "too_many_accounts"
    marks.raise_to(bytes(32), 1)
    marks.close()


@given(st.binary(min_size=SLOT_BYTES, max_size=SLOT_BYTES))
def test_no_bytes_but_a_slot_are_a_slot(data: bytes) -> None:
    assert decode_slot(data) is None


@given(st.binary(min_size=32, max_size=32), st.integers(0, (1 << 63) - 1))
def test_a_slot_is_read_back(address: bytes, seq: int) -> None:
    slot = encode_slot(address, seq)
    assert len(slot) == SLOT_BYTES
    assert decode_slot(slot) == (address, seq)


def test_the_mark_covers_what_was_stored_when_the_power_went_before_it_rose() -> None:
    """Peers are told of it after the restart, so a database lost later must not sign it again."""
    signer, marks, genesis = a_signer("alice"), HighWater(None), a_genesis()
    engine = MemoryEngine()
    state = StateManager(genesis, Store(engine, genesis), Broadcast())
    author = Author(state, signer, HighWater(None), lambda told: None)
    author.submit_nowait("publish_task", some_terms())
    restarted = StateManager(genesis, Store(engine, genesis), Broadcast())
    Author(restarted, signer, marks, lambda told: None)
    assert marks.get(signer.address) == 0
    empty = StateManager(genesis, Store.in_memory(genesis), Broadcast())
    with pytest.raises(Rejected, match="own_chain_behind"):
        Author(empty, signer, marks, lambda told: None).submit_nowait("publish_task", some_terms())
