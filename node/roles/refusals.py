"""What was refused: told once each, and not tried again before the next epoch."""

from collections import OrderedDict

import structlog

from protocol.errors import BlamedError

log = structlog.get_logger("roles")

REMEMBERED_MAX = 4_096


class Refusals:
    """The refusals that one role met, the oldest forgotten first."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._seen: OrderedDict[bytes, tuple[str, int]] = OrderedDict()

    def note(self, about: bytes, error: BlamedError, epoch: int) -> None:
        """Remember that something about a task was refused in an epoch; log it if it is news."""
        known = self._seen.pop(about, None)
        self._seen[about] = (error.code, epoch)
        if len(self._seen) > REMEMBERED_MAX:
            self._seen.popitem(last=False)
        if known is None or known[0] != error.code:
            log.info(
                "role_refused",
                role=self._role,
                about=about[:8],
                code=error.code,
                found=error.found,
                wanted=error.wanted,
            )

    def is_fresh(self, about: bytes, epoch: int) -> bool:
        """Tell whether it was refused in this very epoch, so that another try would only repeat."""
        known = self._seen.get(about)
        return known is not None and known[1] == epoch
