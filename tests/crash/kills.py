"""`kill -9` of a store: while it opens, at random, and at every step to the disk; and the control.

The cycles go on in one database, which grows, with a fresh one now and then and other options at
each start. The first cycles walk through the failpoints one by one, each in a fresh database.
"""

import random
import signal
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from tests.crash.database import Database, Life, draw_settings
from tests.crash.failpoints import MOMENTS, STORE_SITES, Failpoint
from tests.crash.reference import Finding
from tests.crash.report import Tally, show_progress
from tests.crash.writer import Plan

DELAY_S_MAX = 0.05
WALK = {"write": 12, "floor": 12, "fsync": 12, "rename": 4, "replace": 2}
"""By site, up to which call every moment is tried in a fresh database."""
FAILPOINT_MAX = 30
LIVES_MAX = 80
"""Of one database; then a fresh one, or folding it anew would take longer than the crashes."""
FRESH_ONE_IN = 60
FULL_ONE_IN = 10
SEED_BITS = 32


def kill_stores(folder: Path, seed: int, cycles: int) -> Tally:
    """Kill writers and look at what they leave."""
    tally = Tally("kill=store", seed)
    tally.figures |= {"cycles": 0, "opening": 0, "random": 0, "failpoint": 0, "ended": 0}
    tally.figures |= {"databases": 0, "full_checks": 0}
    chance = random.Random(seed)
    database: Database | None = None
    lives = 0
    points = walk_failpoints()
    for number in range(1, cycles + 1):
        # Half of a short run is for the walk, so that it has of everything.
        walked = next(points, None) if number <= cycles // 2 else None
        is_fresh = walked is not None or lives == LIVES_MAX or chance.randrange(FRESH_ONE_IN) == 0
        if database is None or is_fresh:
            if database is not None:
                database.remove()
            database, lives = Database(folder / f"{number:06d}"), 0
            tally.count("databases")
        lives += 1
        point = walked if walked is not None else draw_failpoint(chance)
        plan = Plan(chance.getrandbits(SEED_BITS), draw_settings(chance), point)
        kill_one(database, plan, chance, tally)
        is_full = number % FULL_ONE_IN == 0 or number == cycles
        tally.count("full_checks", is_full)
        finding = database.check(settings=draw_settings(chance), is_full=is_full)
        note_finding(tally, finding, f"cycle {number} ({plan})")
        if finding.point is None:
            # It stays where it is, for whoever named a folder to look into it.
            database = None
        else:
            database.settle(finding.point)
        show_progress(tally, number, cycles)
    return tally


def kill_hasty_writers(folder: Path, seed: int, cycles: int) -> Tally:
    """The control: writers that acknowledge before they write. Their losses must be seen."""
    tally = Tally("kill=control", seed, must_lose=True, figures={"cycles": 0, "failpoint": 0})
    chance = random.Random(seed)
    for number in range(1, cycles + 1):
        database = Database(folder / f"{number:06d}")
        # The first write is the genesis, about which nobody promised anything.
        point = Failpoint("write", "before", chance.randrange(2, 20))
        plan = Plan(chance.getrandbits(SEED_BITS), draw_settings(chance), point, is_hasty=True)
        kill_one(database, plan, chance, tally)
        note_finding(tally, database.check(is_full=False), f"cycle {number}")
        database.remove()
        show_progress(tally, number, cycles)
    return tally


def walk_failpoints() -> Iterator[Failpoint]:
    """Yield every failpoint of `WALK`, the first calls of every site first."""
    for number, site, moment in product(range(1, max(WALK.values()) + 1), WALK, MOMENTS):
        if number <= WALK[site]:
            yield Failpoint(site, moment, number)


def draw_failpoint(chance: random.Random) -> Failpoint | None:
    """Return a failpoint in one of three cases; in the others somebody kills at random."""
    if chance.randrange(3):
        return None
    site = chance.choice(STORE_SITES)
    return Failpoint(site, chance.choice(MOMENTS), chance.randrange(1, FAILPOINT_MAX))


def kill_one(database: Database, plan: Plan, chance: random.Random, tally: Tally) -> None:
    """Live one life to its violent end and note what it promised."""
    life = database.begin(plan)
    if plan.failpoint is not None:
        life.listen()
        how = "failpoint"
    elif chance.randrange(4) == 0:
        life.listen(chance.uniform(0, DELAY_S_MAX))
        how = "random" if life.hearing.is_ready else "opening"
    else:
        life.listen_until(lambda heard: heard.is_ready)
        life.listen(chance.uniform(0, DELAY_S_MAX))
        how = "random"
    end(life, plan)
    if plan.failpoint is not None and life.code == 0:
        how = "ended"
    tally.count(how)
    tally.count("cycles")
    tally.acknowledged += life.hearing.items
    if life.code not in (0, -signal.SIGKILL):
        tally.faults.append(f"a writer ended with {life.code} ({plan})")
    database.note(life.hearing)


def end(life: Life, plan: Plan) -> None:
    """Kill a writer unless it dies by itself, and hear its last words."""
    if plan.failpoint is None:
        life.child.kill()
    life.listen()
    life.code = life.child.wait()


def note_finding(tally: Tally, finding: Finding, where: str) -> None:
    """Add what was found to a tally."""
    tally.lost += len(finding.lost)
    tally.losing += bool(finding.lost)
    tally.half += bool(finding.half)
    for text in (*finding.half, *finding.faults, *finding.lost[:1]):
        tally.faults.append(f"{where}: {text[:200]}")
