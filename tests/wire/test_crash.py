"""A short run of the crash harness: nothing promised is lost, and the controls see losses."""

import re
import subprocess
import sys

import pytest

LINE = re.compile(r"CRASH (\S+) .*lost=(\d+) .*half=(\d+) .*verdict=(PASS|NOT-RUN)")
SHORT = ("--seed", "1", "--store-cycles", "40", "--node-cycles", "2", "--cuts", "3")


@pytest.mark.wire
@pytest.mark.timeout(400)
def test_no_crash_takes_what_was_promised_and_the_controls_see_losses() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.crash", *SHORT], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = [LINE.match(line) for line in ran.stdout.splitlines()]
    found = {line[1]: line for line in lines if line is not None}
    controls = ("kill=control", "cut=nosync(control)")
    assert list(found) == ["kill=store", controls[0], "kill=node", "cut=sync", controls[1]]
    for name, line in found.items():
        # Where nothing can be mounted the report says so, and that is all.
        if line[4] == "PASS":
            assert line[3] == "0"
            assert (int(line[2]) > 0) is (name in controls)
        else:
            assert name.startswith("cut=")
            assert "missing: " in line.string
