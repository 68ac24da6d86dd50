"""python -m tests.swarm.profit: what cheating pays, cheat by cheat, with and without its defence.

Two lines for each cheat and share of attackers: what it pays under the rules (PROFIT), and once
with its defence away (CONTROL), which must pay or the table could not see it. How profit is counted
and when a cheat passes is said in `tests.support.profits`. Exit code 1 if a cheat pays of which
that is not known, or a control does not.
"""

import argparse
import sys
from collections.abc import Iterator

from tests.support.profits import (
    SCHEMES,
    SHARES,
    Line,
    Scheme,
    measure,
    measure_undefended,
)

RUNS = 12
LUCKY = 4
"""Times as many runs where lots decide."""


def read_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.swarm.profit", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"seeds for each line: {RUNS}")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("names", nargs="*", help="of cheats; all if none is named")
    return parser.parse_args()


def measure_all(scheme: Scheme, runs: int, first: int) -> tuple[list[Line], Line]:
    """Return the lines of a scheme by share, and its control at the largest share."""
    count = runs * LUCKY if scheme.is_luck else runs
    lines = [measure(scheme, share, range(first, first + count)) for share in SHARES]
    return lines, measure_undefended(scheme, SHARES[-1], range(first, first + runs))


def find_surprises(lines: list[Line], control: Line) -> Iterator[str]:
    """Yield what a reader of the table would not expect."""
    scheme = control.scheme
    paying = [line for line in lines if not line.has_passed]
    if paying and not scheme.flaw:
        yield f"{scheme.name} pays"
    if scheme.flaw and not paying:
        yield f"{scheme.name} pays no more: {scheme.flaw}"
    if control.mean <= 0:
        yield f"{scheme.name} does not pay even without its defence"


def main() -> int:
    """Print the table."""
    options = read_arguments()
    surprises: list[str] = []
    for scheme in SCHEMES:
        if options.names and scheme.name not in options.names:
            continue
        lines, control = measure_all(scheme, options.runs, options.first)
        for line in lines:
            print(f"PROFIT {line.render()}", flush=True)
        print(f"CONTROL {control.render()}", flush=True)
        if scheme.flaw:
            print(f"  known: {scheme.flaw}", flush=True)
        surprises += find_surprises(lines, control)
    for surprise in surprises:
        print(f"SURPRISE {surprise}")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
