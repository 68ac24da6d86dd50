"""Places where a simulation may make this node do something rare: legal, unlikely and unpleasant.

A full queue, a reply that comes too late, a cache that has forgotten: each happens in life, and
seldom where somebody looks. `buggify("name")` stands where it could happen and is false for ever,
unless a simulation has put a chooser into the context that it runs in.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Chooser = Callable[[str], bool]

_CHOOSER: ContextVar[Chooser | None] = ContextVar("buggify", default=None)


def buggify(name: str) -> bool:
    """Tell whether the rare thing of this name happens now."""
    chooser = _CHOOSER.get()
    return chooser is not None and chooser(name)


@contextmanager
def buggified(chooser: Chooser) -> Iterator[None]:
    """Let `chooser` decide in whatever is started while the block lasts."""
    token = _CHOOSER.set(chooser)
    try:
        yield
    finally:
        _CHOOSER.reset(token)
