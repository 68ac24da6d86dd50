"""Four sealers: seals while three agree, none while two do, and one history whatever happens."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.clock import SystemClock
from protocol.lthash import LtHash
from tests.support.council import EPOCH_S, SEALERS, Council, a_council
from tests.support.peers import some_terms

DAY_MS = 86_400_000


async def publish(council: Council, name: str, title: str = "A task") -> bytes:
    tx = await council.seats[name].peer.author.submit("publish_task", some_terms(title=title))
    return tx.tx_id


def is_sealed(council: Council, name: str, tx_id: bytes) -> bool:
    return council.seats[name].peer.state.store.journal.sealed_epoch(tx_id) is not None


async def test_four_sealers_end_epoch_after_epoch_together(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        tx_id = await publish(council, "bob")
        begun_s = trio.current_time()
        await council.wait_for(6)
        assert trio.current_time() - begun_s < 7 * EPOCH_S
        assert council.check_one_history() >= 6
        assert all(is_sealed(council, name, tx_id) for name in SEALERS)
        assert len(council.read_seal("alice", 5).votes) >= 3


async def test_seals_go_on_without_one_stop_without_two_and_resume(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        await council.wait_for(2)
        council.kill("dave")
        # Every fourth epoch is the turn of the one that is gone.
        await council.wait_for(10)
        council.kill("carol")
        await trio.sleep(2 * EPOCH_S)
        stopped_at = max(council.epochs().values())
        tx_id = await publish(council, "alice")
        await trio.sleep(60 * EPOCH_S)
        assert set(council.epochs().values()) == {stopped_at}
        assert tx_id in council.seats["bob"].peer.state.open.effective, "shown as provisional"
        await council.start("carol")
        await council.wait_for(stopped_at + 5)
        await council.start("dave")
        await council.wait_for(stopped_at + 10)
        assert council.check_one_history() >= stopped_at + 10
        assert is_sealed(council, "dave", tx_id)


async def test_a_cut_in_halves_stops_both_and_neither_forks(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        await council.wait_for(3)
        council.cut(("alice", "bob"), ("carol", "dave"))
        await trio.sleep(2 * EPOCH_S)
        before = council.epochs()
        here, there = await publish(council, "alice"), await publish(council, "dave")
        await trio.sleep(30 * EPOCH_S)
        assert council.epochs() == before
        await council.heal()
        await council.wait_for(max(before.values()) + 5)
        council.check_one_history()
        assert all(is_sealed(council, name, tx) for name in SEALERS for tx in (here, there))


async def test_a_clock_that_is_a_day_ahead_moves_only_what_is_shown(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        council.seats["carol"].clock = SystemClock(DAY_MS)
        await council.start()
        begun_s = trio.current_time()
        await council.wait_for(9)
        assert trio.current_time() - begun_s < 10 * EPOCH_S
        council.check_one_history()
        times = [council.read_seal("alice", epoch).content.time_ms for epoch in range(1, 9)]
        now_ms = council.seats["alice"].clock.now_ms()
        assert sum(time_ms > now_ms + DAY_MS // 2 for time_ms in times) == 2, "his turns"


async def test_without_any_gossip_seals_still_come(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        council.is_deaf = True
        await council.start()
        tx_id = await publish(council, "dave")
        await council.wait_for(5, patience_s=120)
        council.check_one_history()
        assert all(is_sealed(council, name, tx_id) for name in SEALERS)


async def test_who_finds_another_root_over_an_equal_set_stops_and_the_others_go_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        await council.wait_for(2)
        state = council.seats["bob"].peer.state
        # What a flipped bit in memory does: rows that hash to something else.
        wrong = LtHash.from_bytes(state.store.head.rows_hash.to_bytes())
        wrong.add_row("tasks", b"key", b"row")
        state.store.head.rows_hash = wrong
        others = ("alice", "carol", "dave")
        await council.wait_for(max(council.epochs().values()) + 6, *others)
        assert state.alarm is not None
        stopped_at = state.epoch
        await trio.sleep(5 * EPOCH_S)
        assert state.epoch == stopped_at, "folding stopped"
        council.running.discard("bob")
        assert council.check_one_history() > stopped_at + 5


@pytest.mark.parametrize("count", [1, 2, 3, 7])
async def test_any_number_of_sealers_agrees(
    count: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    names = tuple(f"sealer {place}" for place in range(count))
    async with a_council(tmp_path, names) as council:
        await council.start()
        await council.wait_for(4)
        assert council.check_one_history() >= 4
