"""`make bench`: every benchmark, each in a process of its own, in bounded time and with no trace.

A benchmark that fails or takes too long says so on standard error; the others still run.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

TIMEOUT_S = 900
"""For one benchmark; the longest, a restart at a million, takes about three minutes."""


def find_benchmarks(words: list[str]) -> list[str]:
    """Return the modules whose name has one of the words, or all of them."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    return [name for name in names if not words or any(word in name for word in words)]


def run_benchmark(name: str) -> str | None:
    """Run one benchmark; return what went wrong, None if nothing did."""
    with tempfile.TemporaryDirectory(prefix="minesync-bench-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.benchmarks.{name}"],
            env={**os.environ, "TMPDIR": folder},
            start_new_session=True,
        )
        try:
            code = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"no end within {TIMEOUT_S} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return None if code == 0 else f"exit {code}"


def main(words: list[str]) -> int:
    """Run what the words select; return 1 if there is nothing or anything went wrong."""
    names = find_benchmarks(words)
    if not names:
        print(f"no benchmark has {' or '.join(words)} in its name", file=sys.stderr)
        return 1
    failed = 0
    for name in names:
        trouble = run_benchmark(name)
        if trouble is not None:
            print(f"{name}: {trouble}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
