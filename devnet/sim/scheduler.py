"""One order for the tasks of trio: the only file that touches what trio keeps to itself.

trio shuffles the tasks that can run. The shuffle repeats when its generator has a seed and the
batch is sorted first, which is how property testing uses it: `trio._core._run._r` and
`_ALLOW_DETERMINISTIC_SCHEDULING`. Neither is promised, so the version is checked exactly and the
effect is tried out before the first simulation of a process.

The clock is virtual and jumps to the next deadline as soon as every task waits. A worker thread or
a real socket would be passed over by it: simulated peers have neither.
"""

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.metadata import version
from typing import TypeVar

import trio
from trio._core import _run
from trio.testing import MockClock

from devnet.errors import DevnetError

TRIO_VERSION = "0.35.0"
_TASKS = 12

T = TypeVar("T")


def run_seeded(seed: int, main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` under a virtual clock in the one order that the seed names.

    Raises:
        DevnetError: `trio_changed`: this trio would not repeat a run.
    """
    check_scheduler()
    return _run_in_order(seed, main)


@cache
def check_scheduler() -> None:
    """Check that one seed is one order with this trio.

    Raises:
        DevnetError: `trio_changed`.
    """
    names = ("_r", "_ALLOW_DETERMINISTIC_SCHEDULING")
    if version("trio") != TRIO_VERSION or not all(hasattr(_run, name) for name in names):
        raise DevnetError("trio_changed", f"trio {version('trio')}", f"trio {TRIO_VERSION}")
    orders = [_record_order(seed) for seed in (1, 1, 2)]
    if orders[0] != orders[1] or orders[0] == orders[2]:
        raise DevnetError("trio_changed", "an order that no seed names", f"trio {TRIO_VERSION}")


def _record_order(seed: int) -> list[int]:
    order: list[int] = []

    async def work(number: int) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(_TASKS):
                nursery.start_soon(work, number)

    _run_in_order(seed, main)
    return order


def _run_in_order(seed: int, main: Callable[[], Awaitable[T]]) -> T:
    earlier, was_sorted = _run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING
    _run._r.seed(seed)
    vars(_run)["_ALLOW_DETERMINISTIC_SCHEDULING"] = True
    try:
        return trio.run(main, clock=MockClock(autojump_threshold=0))
    finally:
        _run._r.setstate(earlier)
        vars(_run)["_ALLOW_DETERMINISTIC_SCHEDULING"] = was_sorted
