"""The sealer: one seal an epoch, none in a burst, none twice."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.clock import SystemClock
from node.diary_file import DiaryFile
from node.events import Broadcast
from node.high_water import HighWater
from node.sealer import Sealer
from node.state_manager import StateManager
from protocol.messages import SealedIds
from protocol.seals import Seal
from protocol.transactions import sign_transaction
from storage.store import Store
from tests.support.builders import a_genesis, a_signer
from tests.support.chains import a_header
from tests.support.listeners import Listeners
from tests.support.peers import some_terms

EPOCH_S = 1.0


def a_sealer(folder: Path, name: str = "sealer") -> tuple[Sealer, StateManager, list[SealedIds]]:
    genesis = a_genesis()
    state = StateManager(genesis, Store.in_memory(genesis), Broadcast())
    peers = Listeners()
    mark, diary = HighWater(folder / "sealed_epoch"), DiaryFile(folder / "sealer_diary")
    sealer = Sealer(state, a_signer(name), SystemClock(), mark, diary, peers)
    return sealer, state, peers.seals


async def test_an_epoch_ends_when_it_has_lasted_long_enough(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    sealer, state, told = a_sealer(tmp_path)
    with trio.move_on_after(3.5 * EPOCH_S):
        await sealer.run()
    assert state.epoch == 3
    assert [Seal.from_bytes(one.seal).content.epoch for one in told] == [1, 2, 3]


async def test_after_a_pause_one_seal_is_made_and_not_all_that_were_missed(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    sealer, state, _ = a_sealer(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sealer.run)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(60 * EPOCH_S)
        await trio.testing.wait_all_tasks_blocked()
        assert state.epoch == 1
        mock_clock.jump(EPOCH_S)
        await trio.testing.wait_all_tasks_blocked()
        assert state.epoch == 2
        nursery.cancel_scope.cancel()


async def test_a_sealer_with_an_older_database_waits_for_its_own_seals(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    sealer, state, told = a_sealer(tmp_path)
    with trio.move_on_after(2.5 * EPOCH_S):
        await sealer.run()
    restored, fresh, again = a_sealer(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(restored.run)
        await trio.sleep(5 * EPOCH_S)
        assert (fresh.epoch, again) == (0, [])
        for sealed in told:
            assert fresh.apply_seal(Seal.from_bytes(sealed.seal), []).applied
        await trio.sleep(2.5 * EPOCH_S)
        assert fresh.epoch > state.epoch
        nursery.cancel_scope.cancel()
    assert Seal.from_bytes(again[0].seal).content.epoch == 3


async def test_a_sealer_killed_between_its_word_and_the_seal_makes_the_same_seal(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealer, state, told = a_sealer(tmp_path)

    class PowerCutError(Exception):
        pass

    def pull_the_plug(*args: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(state.store, "commit_epoch", pull_the_plug)
        with pytest.raises(PowerCutError):
            await sealer.run()
    assert (state.epoch, told) == (0, [])
    saved = DiaryFile(tmp_path / "sealer_diary").read()
    assert saved is not None
    promised = saved[0].sealed
    assert promised is not None
    # Later, and with something to seal that it did not know of when it signed.
    restarted, fresh, again = a_sealer(tmp_path)
    alice = a_signer("alice")
    header = a_header(fresh, alice, seq=0, prev=None)
    fresh.accept([sign_transaction(header, some_terms(), alice)], None)
    with trio.move_on_after(1.5 * EPOCH_S):
        await restarted.run()
    assert fresh.epoch == 1
    assert Seal.from_bytes(again[0].seal).content == promised.content


async def test_a_sealer_that_lost_its_diary_says_nothing_more_in_that_epoch(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    sealer, _, told = a_sealer(tmp_path)
    with trio.move_on_after(1.5 * EPOCH_S):
        await sealer.run()
    HighWater(tmp_path / "sealed_epoch").raise_to(a_signer("sealer").address, 2)
    restarted, fresh, again = a_sealer(tmp_path)
    assert fresh.apply_seal(Seal.from_bytes(told[0].seal), []).applied
    with trio.move_on_after(10 * EPOCH_S):
        await restarted.run()
    assert (fresh.epoch, again) == (1, [])


async def test_an_alarm_stops_the_sealer(tmp_path: Path, autojump_clock: MockClock) -> None:
    sealer, state, _ = a_sealer(tmp_path)
    state.alarm = "another root"
    with trio.fail_after(5 * EPOCH_S):
        await sealer.run()
    assert state.epoch == 0


async def test_an_account_that_is_no_sealer_seals_nothing_and_waits(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    sealer, state, told = a_sealer(tmp_path, "mallory")
    with trio.move_on_after(5 * EPOCH_S):
        await sealer.run()
    sealer.end_epoch()
    assert (state.epoch, told) == (0, [])
