"""The wall between the RPC and the node: a mistake in answering a question ends that question only.

What is not held back: a `BlamedError`, which is an answer; and an `AssertionError`, of which a
broken invariant is one: then the state is in doubt, whoever happened to ask, and the node stops.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from protocol.errors import BlamedError

log = structlog.get_logger("rpc")


@contextmanager
def hold_back(event: str, **facts: Any) -> Iterator[None]:
    """Log whatever mistake of ours the block raises and go on behind it.

    Args:
        event: the name of the log line.
        facts: what else the line says.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, BlamedError) or _is_our_state(error):
            raise
        log.exception(event, **facts)


def _is_our_state(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return error.subgroup(AssertionError) is not None
    return isinstance(error, AssertionError)
