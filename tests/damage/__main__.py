"""The long sweep: `python -m tests.damage` prints a line for each kind, and fails on a silent one.

It takes minutes; `--positions 1000000` damages every byte of every file and takes hours.
"""

import argparse
import faulthandler
import logging
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path

import structlog
import trio

from tests.damage.image import build_image
from tests.damage.sweep import KINDS, sweep
from tests.damage.writes import (
    list_writes,
    survive_failing_read,
    survive_full_disk,
    survive_io_error,
)
from tests.support.faulty import Fate
from tests.support.life import Script, write_script

EPOCHS = 31
HANG_S = 120
READS = tuple(range(1, 60)) + tuple(range(60, 400, 20))


def main() -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.damage", description=__doc__)
    parser.add_argument("--positions", type=int, default=60, help="of each kind, about")
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    parser.add_argument("--seed", type=int, default=1, help="of the life whose writes fail")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    failed = 0
    with tempfile.TemporaryDirectory(prefix="minesync-damage-") as name:
        folder = Path(name)
        failed += _sweep_files(folder, arguments.only, arguments.positions)
        if arguments.only in "write=full write=io read=io":
            failed += trio.run(_sweep_calls, folder, arguments.seed)
    return 1 if failed else 0


def _sweep_files(folder: Path, only: str, most: int) -> int:
    failed = 0
    images = {}
    for is_in_log in (True, False):
        place = folder / f"image-{is_in_log}"
        place.mkdir()
        images[is_in_log] = build_image(place, is_flushed=not is_in_log)
    for kind in KINDS:
        if only not in kind.name:
            continue
        work = folder / "work"
        work.mkdir(exist_ok=True)
        started_s = time.monotonic()
        tally = sweep(kind, images[kind.is_in_log], work, most, _arm)
        _say(f"{tally.render(kind.name)} seconds={time.monotonic() - started_s:.0f}")
        for line in tally.examples:
            _say(f"  {line}")
        failed += tally.silent + tally.wrong
    faulthandler.cancel_dump_traceback_later()
    return failed


def _arm(where: str) -> None:
    """End the process with a trace if the next position hangs: no exception leaves such a loop."""
    del where
    faulthandler.dump_traceback_later(HANG_S, exit=True)


async def _sweep_calls(folder: Path, seed: int) -> int:
    script = await write_script(folder / "script", EPOCHS, seed)
    marks = folder / "marks"
    marks.mkdir(mode=0o700)
    failed = 0
    for name, survive in (("full", survive_full_disk), ("io", survive_io_error)):
        count = wrong = 0
        for place, number in list_writes(script):
            for fate in Fate:
                count += 1
                case = marks / f"{name}{count}"
                wrong += await _try(
                    f"write={name} step {place} write {number} {fate.value}",
                    survive(script, place, number, fate, case),
                )
        _say(f"DAMAGE write={name} n=1..{sum(script.writes)} cases={count} failed={wrong}")
        failed += wrong
    told = await _sweep_reads(script, marks)
    _say(f"DAMAGE read=io steps={len(script.steps)} told={told}")
    return failed


async def _sweep_reads(script: Script, marks: Path) -> int:
    told = 0
    for place in range(len(script.steps)):
        for number in READS:
            case = marks / f"read{place}.{number}"
            if await survive_failing_read(script, place, number, case) == "absent":
                break
            told += 1
    return told


async def _try(name: str, survival: Coroutine[None, None, None]) -> int:
    try:
        await survival
    except AssertionError as error:
        _say(f"  {name}: {error}")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
