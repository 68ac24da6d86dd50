"""Contexts that run tasks, without their wrapping around what the block raises."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def raising_plainly(context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Enter `context`; an `Exception` of the block comes out of this as it went in.

    A nursery inside `context` would put it into a group, several nurseries into groups of groups,
    and who waits for a `TransportError` would not find it.
    """
    failure: Exception | None = None
    async with context as value:
        try:
            yield value
        except Exception as error:
            # Only carried past the nurseries: raised again below.
            failure = error
    if failure is not None:
        raise failure
