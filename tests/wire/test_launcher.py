"""Whatever ends a command of the devnet, at any moment: nobody is left, and `up` works at once."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from devnet.layout import Devnet
from devnet.processes import wait_until

pytestmark = [pytest.mark.wire, pytest.mark.timeout(180)]

PEERS = 3
SOON_S = 60.0
PROGRAM = [sys.executable, "-P", "-m", "node"]
UP = ["devnet", "up", "-n", str(PEERS), "--seed", "7"]


def list_holders(root: Path) -> list[int]:
    """Return the processes that were started with the directory, its launcher among them."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        words = process.info["cmdline"] or []
        if any(str(root) in word for word in words):
            found.append(process.info["pid"])
    return found


def count_lines(path: Path, part: str) -> int:
    return path.read_text().count(part) if path.exists() else 0


def run_minesync(words: list[str], root: Path) -> None:
    subprocess.run([*PROGRAM, *words, "--dir", str(root)], check=True, capture_output=True)


class Scene:
    """One command under way."""

    def __init__(self, folder: Path, words: list[str]) -> None:
        self.root = folder / "net"
        self.said = folder / "said"
        with self.said.open("wb") as said:
            self.launcher = subprocess.Popen(
                [*PROGRAM, *words, "--dir", str(self.root)], stdout=said, stderr=said
            )

    async def end_at(self, moment: Callable[["Scene"], bool], number: signal.Signals) -> None:
        assert await wait_until(lambda: moment(self) or self.is_over(), SOON_S)
        assert not self.is_over(), f"ended before the moment came: {self.said.read_text()}"
        os.kill(self.launcher.pid, number)
        self.launcher.wait()

    def is_over(self) -> bool:
        return self.launcher.poll() is not None

    async def check_nobody_is_left(self) -> None:
        assert await wait_until(lambda: not list_holders(self.root), SOON_S), self.said.read_text()

    def check_up_works(self) -> None:
        run_minesync(UP, self.root)
        assert len(Devnet.load(self.root).read_processes()) == PEERS
        run_minesync(["devnet", "down"], self.root)
        assert list_holders(self.root) == []


def has(name: str) -> Callable[[Scene], bool]:
    return lambda scene: (scene.root / name).exists()


def noted(event: str, count: int = 1) -> Callable[[Scene], bool]:
    return lambda scene: count_lines(scene.root / "events.jsonl", f'"{event}"') >= count


MOMENTS: dict[str, Callable[[Scene], bool]] = {
    "at_once": lambda scene: True,
    "making": has("manifest.toml"),
    "genesis": has("genesis.cbor"),
    "second_peer": has("n2"),
    "made": has("devnet.json"),
    "one_started": noted("start"),
    "two_started": noted("start", 2),
    "all_started": noted("start", 3),
    "first_log": has("logs/n1.log"),
    "one_listens": lambda scene: count_lines(scene.root / "logs/n1.log", "rpc_listening") > 0,
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_up_that_is_killed_leaves_nobody_and_up_works_at_once(
    tmp_path: Path, moment: str
) -> None:
    scene = Scene(tmp_path, UP)
    await scene.end_at(MOMENTS[moment], signal.SIGKILL)
    scene.check_up_works()
    await scene.check_nobody_is_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["making", "two_started", "first_log"])
async def test_up_that_is_told_to_end_leaves_nobody(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    scene = Scene(tmp_path, UP)
    await scene.end_at(MOMENTS[moment], number)
    await scene.check_nobody_is_left()


async def test_a_play_that_is_killed_leaves_nobody(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ["devnet", "run", "churn", "--seed", "7"])
    # Some are frozen or down meanwhile.
    await scene.end_at(noted("pause"), signal.SIGKILL)
    await scene.check_nobody_is_left()


def test_up_brings_back_those_that_do_not_run(tmp_path: Path) -> None:
    root = tmp_path / "net"
    run_minesync(UP, root)
    try:
        before = Devnet.load(root).read_processes()
        run_minesync(["devnet", "kill", "n2"], root)
        run_minesync(UP, root)
        after = Devnet.load(root).read_processes()
        assert [name for name in before if before[name] == after[name]] == ["n1", "n3"]
    finally:
        run_minesync(["devnet", "down"], root)
