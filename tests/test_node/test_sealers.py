"""Four sealers: seals while three agree, none while two do, and one history whatever happens."""

from pathlib import Path

from trio.testing import MockClock

from tests.support.council import a_council
from tests.support.peers import some_terms

DAY_MS = 86_400_000


async def test_four_sealers_end_epoch_after_epoch_together(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        tx = await council.seats["bob"].peer.author.submit("publish_task", some_terms())
        await council.wait_for(5)
        assert council.check_one_history() >= 5
        for seat in council.seats.values():
            assert seat.peer.state.store.journal.has(tx.tx_id)
            assert seat.peer.state.open.count == 0
        assert len(council.read_seal("alice", 5).votes) >= 3
