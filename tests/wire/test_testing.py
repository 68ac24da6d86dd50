"""The pytest plugin on real processes: the same test, and what a failure leaves behind."""

import re
from pathlib import Path

import pytest

from devnet.cluster import ProcessCluster
from devnet.layout import Devnet
from node.cli import run_command
from tests.support.ten_lines import FAULTY, read_ten_lines

pytest_plugins = ("pytester",)
pytestmark = [pytest.mark.wire, pytest.mark.timeout(300)]

ROOT = re.compile(r"seed \d+, process, (\S+)")
NEVER = """
import pytest

@pytest.mark.devnet(nodes=1)
async def test_never(devnet):
    await devnet.holds("epoch >= 1000", within=0.3)
"""


def run(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(test_inner=text)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "--devnet=process", *options)


def read_devnet(result: pytest.RunResult) -> Devnet:
    found = ROOT.search("\n".join(result.outlines))
    assert found is not None
    return Devnet.load(Path(found[1]))


def test_the_ten_lines_of_the_readme_pass_on_processes(pytester: pytest.Pytester) -> None:
    run(pytester, read_ten_lines()).assert_outcomes(passed=1)


def test_a_scripted_peer_lies_on_libp2p(pytester: pytest.Pytester) -> None:
    run(pytester, FAULTY).assert_outcomes(passed=1)


def test_a_failure_shows_what_the_processes_said_last(pytester: pytest.Pytester) -> None:
    result = run(pytester, NEVER, "--devnet-seed=7")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "seed 7, process, *",
            "  n1 * up * MiB",
            "last lines of n1:",
            "  * info *",
            "again: pytest test_inner.py::test_never --devnet=process --devnet-seed=7",
        ]
    )
    assert ProcessCluster(read_devnet(result)).find_running() == {}


def test_the_processes_of_a_failure_can_be_kept(
    pytester: pytest.Pytester, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run(pytester, NEVER, "--devnet-keep")
    devnet = read_devnet(result)
    where = ["--dir", str(devnet.root)]
    try:
        result.assert_outcomes(failed=1)
        assert list(ProcessCluster(devnet).find_running()) == ["n1"]
        for word in ("status", "logs", "down"):
            result.stdout.fnmatch_lines([f"  minesync devnet {word} --dir {devnet.root}"])
        assert run_command(["devnet", "status", *where]) == 0
    finally:
        assert run_command(["devnet", "down", *where]) == 0
    capfd.readouterr()
    assert ProcessCluster(devnet).find_running() == {}
