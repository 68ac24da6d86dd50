"""One plan run again and again, each time by a Python that hashes in another way: one trace or not.

A run that depends on the order of a set, on an address in memory or on what ran before it in the
process leaves another trace here.
"""

import os
import subprocess
import sys
from pathlib import Path

from devnet.errors import DevnetError
from devnet.sim.plan import Plan, write_plan

HASH_SEEDS = ("0", "1", "random")
RUNS_EACH = 3
TIMEOUT_S = 600.0
_SCRIPT = """
import json, sys
from devnet.sim.plan import parse_plan
from devnet.sim.run import run_plan
from node.telemetry import configure_silently
configure_silently()
plan = parse_plan(json.load(sys.stdin))
for _ in range(int(sys.argv[1])):
    print(run_plan(plan).trace)
"""


def repeat_plan(plan: Plan) -> list[str]:
    """Return the traces of nine runs of a plan, three under each way of hashing.

    Raises:
        DevnetError: `repeat_failed`: one of the processes did not end well.
    """
    traces: list[str] = []
    for hash_seed in HASH_SEEDS:
        words = [sys.executable, "-c", _SCRIPT, str(RUNS_EACH)]
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        root = Path(__file__).resolve().parents[2]
        ran = subprocess.run(
            words,
            input=write_plan(plan),
            cwd=root,
            env=env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        if ran.returncode:
            raise DevnetError("repeat_failed", ran.stderr[-200:], "a run that ends")
        traces += ran.stdout.split()
    return traces


def describe_repeats(plan: Plan, traces: list[str]) -> str:
    """Return the one line about the runs of a plan."""
    different = len(set(traces))
    verdict = "PASS" if different == 1 else "FAIL"
    name = f"layer={plan.layer} seed={plan.seed}"
    return f"DETERMINISM {name} runs={len(traces)} traces={different} {verdict}"
