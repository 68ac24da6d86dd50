"""A batch of seeds of both layers: small here, large with `make swarm`."""

import pytest

from devnet.errors import DevnetError
from devnet.sim.batch import Tally, run_batch
from devnet.sim.plan import CORE, NODE
from devnet.sim.run import Failure
from devnet.sim.witness import list_sometimes

FIRST = 1_000_000
"""Away from the seeds that a person tries first."""


@pytest.mark.parametrize(("layer", "count"), [(CORE, 20), (NODE, 2)])
def test_a_batch_of_seeds_holds(layer: str, count: int) -> None:
    told: list[int] = []
    tally = run_batch(
        layer, FIRST, count, processes=1, on_progress=lambda done: told.append(done.seeds)
    )
    assert tally.failures == []
    assert tally.seeds == count == told[-1]
    assert tally.is_good
    line = tally.describe(FIRST, "0123abc")
    assert line.startswith("SIM layer=L")
    assert f" commit=0123abc seeds=1000000..{FIRST + count - 1} fail=0 " in line


def test_a_batch_says_what_failed_and_what_it_missed() -> None:
    tally = Tally(CORE, seeds=3)
    other = Tally(CORE, seeds=5_000, failed=1, peers=[2], failures=[(7, Failure("P1", "a", "b"))])
    assert tally.is_good
    assert "a reward is claimed" in tally.missed
    tally.add(other)
    assert not tally.is_good
    assert tally.failures[0][0] == 7
    other.failed = 0
    assert not other.is_good, "a large batch must have reached everything"
    other.reached.update(other.missed)
    assert other.is_good
    everything = len(list_sometimes(CORE))
    assert f"sometimes={everything}/{everything}" in other.describe(0, "x")


@pytest.mark.parametrize(("first", "count"), [(0, 0), (0, 10**9), (-1, 5), (2**63, 5)])
def test_a_batch_of_nothing_or_too_much_is_refused(first: int, count: int) -> None:
    with pytest.raises(DevnetError, match="bad_"):
        run_batch(CORE, first, count, processes=1)
