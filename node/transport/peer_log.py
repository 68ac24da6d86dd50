"""What peers make us log, at a pace that no peer decides."""

import time

import structlog

from node.transport.base import PeerName, TransportError

LINES_PER_S_MAX = 20
TEXT_CHARS_MAX = 256

_log = structlog.get_logger(__name__)


class LineBudget:
    """So many lines a second; the others are counted."""

    def __init__(self, lines_per_s: int) -> None:
        self._lines_per_s = lines_per_s
        self._second = -1
        self._lines = 0
        self._held_back = 0

    def take(self, now_s: float) -> int | None:
        """Return how many lines were held back since the last that passed, or None: hold back."""
        if int(now_s) != self._second:
            self._second, self._lines = int(now_s), 0
        if self._lines >= self._lines_per_s:
            self._held_back += 1
            return None
        self._lines += 1
        held_back, self._held_back = self._held_back, 0
        return held_back


_budget = LineBudget(LINES_PER_S_MAX)


def take_line() -> int | None:
    """Take one line of what this process may log because of its peers; see `LineBudget.take`."""
    return _budget.take(time.monotonic())


def log_peer_fault(event: str, *, peer: object, error: object) -> None:
    """Log what a peer did wrong, as far as the budget goes."""
    held_back = take_line()
    if held_back is not None:
        _log.warning(event, peer=str(peer), error=clean_text(repr(error)), held_back=held_back)


def log_handler_failure(*, peer: PeerName, protocol_id: str, error: Exception) -> None:
    """Log why the handler of a stream raised; in full, unless the peer only hung up."""
    if isinstance(error, TransportError):
        _log.debug("stream_ended_early", peer=peer, protocol=protocol_id, code=error.code)
        return
    held_back = take_line()
    if held_back is not None:
        _log.error(
            "stream_handler_failed",
            peer=peer,
            protocol=protocol_id,
            held_back=held_back,
            exc_info=error,
        )


def clean_text(text: str) -> str:
    """Return `text` on one line, without control characters, and not too long."""
    cut = text[:TEXT_CHARS_MAX]
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in cut)
