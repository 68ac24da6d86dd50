"""What the RPC shows of sealing: the time of a seal, marked when it is odd; it decides nothing."""

from collections.abc import Sequence

import pytest

from node.rpc.sealing_view import CLOCKS_APART_MS, show_sealing
from tests.support.builders import a_genesis, a_signer
from tests.support.chains import a_state

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("times", "mark"),
    [
        ((), None),
        ((NOW_MS,), None),
        ((NOW_MS - 5, NOW_MS), None),
        ((NOW_MS + CLOCKS_APART_MS,), None),
        ((NOW_MS + CLOCKS_APART_MS + 1,), "ahead"),
        ((NOW_MS + 86_400_000, NOW_MS), "back"),
        ((NOW_MS + 86_400_000, NOW_MS, NOW_MS), None),
    ],
)
def test_an_odd_time_is_marked_and_the_next_right_one_is_not(
    times: Sequence[int], mark: str | None
) -> None:
    state = a_state(a_genesis())
    for time_ms in times:
        state.seal(a_signer("sealer"), time_ms=time_ms)
    shown = show_sealing(state, NOW_MS)
    assert shown["sealed_mark"] == mark
    assert shown["sealed_ms"] == (times[-1] if times else None)
