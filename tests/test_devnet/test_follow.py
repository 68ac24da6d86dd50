"""The logs of peers: what is found in them, and what is shown where."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from devnet.errors import DevnetError
from devnet.follow import MATCHES_MAX, Wanted, compile_pattern, find_lines, follow_logs
from devnet.founding import found_devnet
from devnet.layout import Devnet
from node.cli import run_command
from node.exits import Exit

NOW_S = 1_000_000.0


def write(path: Path, *lines: str, idle_s: float = 0.0) -> Path:
    """Write a log whose last line was written `idle_s` ago."""
    path.write_text("".join(f"{line}\n" for line in lines))
    os.utime(path, (NOW_S - idle_s, NOW_S - idle_s))
    return path


def find(
    path: Path, *, lines: int | None = None, grep: str = "", since_s: float | None = None
) -> list[str]:
    return find_lines(path, Wanted(lines, compile_pattern(grep), since_s), NOW_S)


@pytest.fixture
def devnet(tmp_path: Path) -> Devnet:
    devnet = found_devnet(tmp_path / "net", 2, 7)
    write(
        devnet.log_path("n1"), "10:00:00.000 info p2p peer_connected", "10:00:01.000 info sync done"
    )
    write(devnet.log_path("n2"), "10:00:02.000 warning p2p peer_lost \x1b[31mred")
    return devnet


def test_lines_are_found_by_a_pattern_the_last_of_them_if_they_are_many(tmp_path: Path) -> None:
    path = write(tmp_path / "log", *(f"line {number}" for number in range(20)))
    assert find(path, grep=r"^line 1\d$", lines=2) == ["line 18", "line 19"]
    assert len(find(path, grep="line")) == 20
    assert find(path, grep="none") == []
    assert find(tmp_path / "missing", grep="line") == []
    many = write(tmp_path / "many", *("x" for _ in range(MATCHES_MAX + 5)))
    assert len(find(many, grep="x")) == MATCHES_MAX


def test_lines_of_the_last_seconds_are_found_by_how_far_they_lie_apart(tmp_path: Path) -> None:
    lines = ["10:00:00.000 a", "10:00:20.000 b", "    | of b", "10:00:30.000 c"]
    path = write(tmp_path / "log", *lines)
    assert find(path, since_s=15) == lines[1:]
    assert find(path, since_s=5) == lines[3:]
    assert find(path, since_s=60) == lines
    assert find(path, since_s=60, grep="b") == lines[1:3]
    # Nothing was written for twenty seconds.
    assert find(write(path, *lines, idle_s=20), since_s=25) == lines[3:]
    assert find(write(path, *lines, idle_s=20), since_s=15) == []


def test_midnight_passes_and_clocks_are_put_back(tmp_path: Path) -> None:
    lines = ["23:59:50.000 a", "00:00:05.000 b", "23:59:58.000 c", "00:00:01.500 d"]
    path = write(tmp_path / "log", *lines)
    assert find(path, since_s=20) == lines
    assert find(path, since_s=4) == lines[1:]


def test_lines_as_json_have_their_times_too(tmp_path: Path) -> None:
    lines = [f'{{"time":"2026-11-24T10:00:{second}.000Z","event":"x"}}' for second in (10, 40)]
    assert find(write(tmp_path / "log", *lines), since_s=10) == lines[1:]


@pytest.mark.parametrize("text", ["(", "*", "[a", "(?P<x", "a" * 1_001])
def test_a_pattern_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DevnetError, match="bad_pattern"):
        compile_pattern(text)


async def test_colours_are_for_terminals_and_come_from_us_alone(devnet: Devnet) -> None:
    shown = {}
    for is_terminal in (False, True):
        console = Console(
            file=io.StringIO(),
            force_terminal=is_terminal,
            color_system="standard" if is_terminal else None,
            width=40,
        )
        with console.capture() as captured:
            wanted = Wanted(pattern=compile_pattern("peer_[cl]"))
            await follow_logs(devnet, devnet.names, wanted, console, goes_on=False)
        shown[is_terminal] = captured.get()
    assert shown[False] == (
        "n1 | 10:00:00.000 info p2p peer_connected\n"
        "n2 | 10:00:02.000 warning p2p peer_lost \\x1b[31mred\n"
    )
    assert "\x1b[1;31mpeer_l" in shown[True]
    assert "\\x1b[31mred" in shown[True]


def test_the_command_finds_and_refuses(devnet: Devnet, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--dir", str(devnet.root)]
    assert run_command(["devnet", "logs", "n1", "--grep", "done$", *where]) == Exit.OK
    assert capsys.readouterr().out == "10:00:01.000 info sync done\n"
    for words, code in (
        (["--grep", "("], "bad_pattern"),
        (["--since", "soon"], "bad_value"),
        (["--lines", "-1"], "bad_value"),
    ):
        assert run_command(["devnet", "logs", *words, *where]) != Exit.OK
        assert capsys.readouterr().err.startswith(f"minesync: {code}")
