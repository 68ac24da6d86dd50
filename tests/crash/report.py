"""One line for each part of the harness, in a fixed form, and what it means for the exit code."""

import sys
import time
from dataclasses import dataclass, field

FAULTS_SHOWN_MAX = 5


@dataclass(slots=True)
class Tally:
    """What one part found.

    Attributes:
        name: how its line begins, as `kill=store`.
        seed: of all that it drew.
        must_lose: it is a control: not to see a loss is its failure.
        figures: what else to print, in this order.
        acknowledged: things promised.
        lost: of them, those that were gone.
        losing: crashes after which any was gone.
        half: crashes after which something was neither before nor after a fact.
        faults: what else was wrong, for people.
        missing: what this machine lacks, if the part could not run.
    """

    name: str
    seed: int
    must_lose: bool = False
    figures: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    lost: int = 0
    losing: int = 0
    half: int = 0
    faults: list[str] = field(default_factory=list)
    missing: str = ""
    _began: float = field(default_factory=time.monotonic)

    def count(self, name: str, more: int = 1) -> None:
        """Add to a figure."""
        self.figures[name] = self.figures.get(name, 0) + more

    @property
    def verdict(self) -> str:
        """`PASS`, `FAIL`, or that it did not run."""
        if self.missing:
            return "NOT-RUN"
        if self.must_lose:
            if self.half:
                return "FAIL (half)"
            return "PASS (sees loss)" if self.lost else "FAIL (blind)"
        return "FAIL" if self.lost or self.half or self.faults else "PASS"

    @property
    def is_failure(self) -> bool:
        """Whether the run failed by it; what cannot run on this machine is said, and no failure."""
        return self.verdict.startswith("FAIL")

    def to_lines(self) -> list[str]:
        """Return the line of this part, and one for each of its first faults."""
        figures = {
            **self.figures,
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "losing": self.losing,
            "half": self.half,
            "seed": self.seed,
            "wall_s": round(time.monotonic() - self._began),
        }
        line = f"CRASH {self.name} " + " ".join(f"{key}={value}" for key, value in figures.items())
        line += f" verdict={self.verdict}"
        if self.missing:
            line += f" missing: {self.missing}"
        shown = self.faults[:FAULTS_SHOWN_MAX] if self.is_failure else []
        return [line, *(f"  {fault}" for fault in shown)]


def show_progress(tally: Tally, done: int, wanted: int) -> None:
    """Say on standard error how far a part is: at every tenth, and at its end."""
    if done == wanted or done % max(1, wanted // 10) == 0:
        line = f"{tally.name} {done}/{wanted} acknowledged={tally.acknowledged} lost={tally.lost}"
        print(line, file=sys.stderr, flush=True)
