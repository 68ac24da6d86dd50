"""How far a long command is: a bar on a terminal, a plain line now and then elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from node.clock import read_wall_ms
from node.commands.common import Common
from node.exits import CommandError
from node.rpc.client import RpcClient

OnProgress = Callable[[int, int], None]
"""Told how much of how much is done."""
POLL_MS = 100
PLAIN_STEP_MS = 2_000
"""Between two plain lines; a command that is done sooner writes none."""


@contextmanager
def show_progress(common: Common, text: str) -> Iterator[OnProgress]:
    """Show progress on stderr while the block lasts; with `--json` show nothing."""
    if common.json:
        yield lambda done, total: None
    elif sys.stderr.isatty():
        console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        columns = (TextColumn(text), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=max(total, done, 1))
    else:
        yield _make_plain(text)


def _make_plain(text: str) -> OnProgress:
    shown_ms = read_wall_ms()

    def tell(done: int, total: int) -> None:
        nonlocal shown_ms
        now_ms = read_wall_ms()
        if now_ms - shown_ms >= PLAIN_STEP_MS:
            shown_ms = now_ms
            sys.stderr.write(f"{text}: {min(100, 100 * done // max(total, 1))} %\n")

    return tell


def follow(
    client: RpcClient, status: dict[str, Any], method: str, tell: OnProgress
) -> dict[str, Any]:
    """Ask a running node how its work goes until it is done; return its last status.

    Raises:
        CommandError: the work failed, for the reason that the node gives.
    """
    while status["running"]:
        tell(status["done"], status["total"])
        trio.run(trio.sleep, POLL_MS / 1_000)
        status = client.call(method)
    error = status["error"]
    if error is not None:
        raise CommandError(error["name"], error["found"], error["wanted"])
    return status
