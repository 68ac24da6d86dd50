"""Which log lines are wanted: a least level, and exceptions by area."""

import re
from dataclasses import dataclass

from protocol.errors import BlamedError

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
AREAS_MAX = 32
_AREA = re.compile(r"[a-z][a-z0-9_.]{0,31}")


class LevelError(BlamedError):
    """A level specification cannot be read."""


@dataclass(frozen=True, slots=True)
class Levels:
    """A parsed specification: numbers as in the standard library's logging."""

    default: int
    areas: dict[str, int]

    def get_least(self, area: str) -> int:
        """Return the least level that is wanted of an area."""
        return self.areas.get(area, self.default)

    @property
    def lowest(self) -> int:
        """The least level wanted of any area: what is below need not be looked at."""
        return min(self.default, *self.areas.values()) if self.areas else self.default


def parse_levels(text: str) -> Levels:
    """Return what `info,p2p=debug` means.

    Raises:
        LevelError: `bad_log_level`.
    """
    default, areas = LEVELS["info"], {}
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > AREAS_MAX:
        raise LevelError("bad_log_level", f"{len(parts)} parts", f"at most {AREAS_MAX}")
    for place, part in enumerate(parts):
        area, equals, level = part.rpartition("=")
        if level not in LEVELS:
            raise LevelError("bad_log_level", repr(level[:32]), " or ".join(LEVELS))
        if equals and not _AREA.fullmatch(area):
            raise LevelError("bad_log_level", repr(area[:32]), "the name of an area")
        if not equals and place:
            raise LevelError("bad_log_level", repr(part[:32]), "the general level first, and once")
        if equals:
            areas[area] = LEVELS[level]
        else:
            default = LEVELS[level]
    return Levels(default, areas)
