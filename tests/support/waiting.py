"""Waiting for what must come to be, instead of sleeping and hoping."""

from collections.abc import Callable
from typing import TypeVar

import trio

PATIENCE_S = 10.0

T = TypeVar("T")


async def wait_until(condition: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
    """Return as soon as `condition` holds; fail when it does not in time."""
    with trio.fail_after(patience_s):
        while not condition():
            await trio.sleep(0.005)


async def receive_soon(channel: trio.MemoryReceiveChannel[T]) -> T:
    """Return the next item of a channel; fail when there is none in time."""
    with trio.fail_after(PATIENCE_S):
        return await channel.receive()
