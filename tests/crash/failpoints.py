"""Failpoints: the n-th call of a function, before or after which a process ends or halts itself."""

import os
import signal
from dataclasses import dataclass
from functools import wraps
from typing import Any

from storage.folder import Folder
from storage.rocks import RocksEngine
from tests.crash.telling import TellingStore

SITES: dict[str, tuple[Any, str]] = {
    "write": (RocksEngine, "write"),
    "floor": (Folder, "write_floor"),
    "fsync": (os, "fsync"),
    "fdatasync": (os, "fdatasync"),
    "rename": (os, "rename"),
    "replace": (os, "replace"),
    "transactions": (TellingStore, "put_transactions"),
    "evidence": (TellingStore, "put_evidence"),
    "blob": (TellingStore, "put_blob"),
    "epoch": (TellingStore, "commit_epoch"),
}
"""By name, what the steps to the disk pass; `floor` lies between the two steps of a `write`.

The last four are no such steps: after each of them something has just been promised.
"""
STORE_SITES = ("write", "floor", "fsync", "rename", "replace")
"""Those that a store passes; a node also syncs the marks of what it signed."""
BACKUP_SITES = ("fsync", "rename")
"""Those that hardly anything but a backup passes."""
MOMENTS = ("before", "after")


@dataclass(frozen=True, slots=True)
class Failpoint:
    """Where to die.

    Attributes:
        site: one of `SITES`.
        moment: one of `MOMENTS`.
        number: of the call, from 1.
    """

    site: str
    moment: str
    number: int

    @classmethod
    def parse(cls, text: str) -> "Failpoint":
        """Return the failpoint that `str` wrote."""
        site, moment, number = text.split(":")
        if site not in SITES or moment not in MOMENTS or int(number) < 1:
            raise ValueError(f"{text!r} instead of site:moment:number")
        return cls(site, moment, int(number))

    def __str__(self) -> str:
        return f"{self.site}:{self.moment}:{self.number}"

    def arm(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Have this process send itself a signal there; it is not meant to live on."""
        owner, name = SITES[self.site]
        inner = getattr(owner, name)
        calls = 0

        @wraps(inner)
        def dying(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == self.number and self.moment == "before":
                os.kill(os.getpid(), number)
            result = inner(*args, **kwargs)
            if calls == self.number and self.moment == "after":
                os.kill(os.getpid(), number)
            return result

        setattr(owner, name, dying)
