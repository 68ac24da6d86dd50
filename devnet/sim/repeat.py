"""One seed run again and again, each time by a Python that hashes in another way: one trace or not.

A run that depends on the order of a set, on an address in memory or on what ran before it in the
process leaves another trace here.
"""

import os
import subprocess
import sys
from pathlib import Path

from devnet.errors import DevnetError

HASH_SEEDS = ("0", "1", "random")
RUNS_EACH = 3
TIMEOUT_S = 600.0
_SCRIPT = """
import sys
from devnet.sim.generate import make_plan
from devnet.sim.run import run_plan
from node.telemetry import configure_silently
configure_silently()
for _ in range(int(sys.argv[3])):
    print(run_plan(make_plan(sys.argv[1], int(sys.argv[2]))).trace)
"""


def repeat_seed(layer: str, seed: int) -> list[str]:
    """Return the traces of nine runs of a seed, three under each way of hashing.

    Raises:
        DevnetError: `repeat_failed`: one of the processes did not end well.
    """
    traces: list[str] = []
    for hash_seed in HASH_SEEDS:
        words = [sys.executable, "-c", _SCRIPT, layer, str(seed), str(RUNS_EACH)]
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        root = Path(__file__).resolve().parents[2]
        ran = subprocess.run(
            words, cwd=root, env=env, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        if ran.returncode:
            raise DevnetError("repeat_failed", ran.stderr[-200:], "a run that ends")
        traces += ran.stdout.split()
    return traces


def describe_repeats(layer: str, seed: int, traces: list[str]) -> str:
    """Return the one line about the runs of a seed."""
    different = len(set(traces))
    verdict = "PASS" if different == 1 else "FAIL"
    return f"DETERMINISM layer={layer} seed={seed} runs={len(traces)} traces={different} {verdict}"
