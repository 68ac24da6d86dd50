"""A devnet while it runs: a picture that renews itself on a terminal, plain lines elsewhere."""

from types import TracebackType

import trio
from rich.console import Console
from rich.live import Live

from devnet.report import render_tasks
from devnet.top import draw_top
from devnet.watch.links import list_faults
from devnet.watch.snapshot import Snapshot

QUIET_EPOCHS = 10
"""Plain lines: one at least so often, even if no task has moved."""


class Screen:
    """Shows a devnet as it is seen, again and again. Use it in a `with`.

    Args:
        console: where it is shown; on one that is no terminal a line is written for each change.
        is_whole: the picture takes the whole terminal, which is as before afterwards; else it
            stands below what was written, and is gone at the end.
    """

    def __init__(self, console: Console, *, is_whole: bool = False) -> None:
        self._console = console
        self._live = (
            Live(console=console, auto_refresh=False, transient=not is_whole, screen=is_whole)
            if console.is_terminal
            else None
        )
        self._began_s = trio.current_time()
        self._last_line = ""
        self._last_epoch = -QUIET_EPOCHS

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot in the place of the one before."""
        if self._live is not None:
            width, height = self._console.size
            # The last line stays free: writing into its last column would scroll.
            self._live.update(draw_top(snapshot, width, height - 1), refresh=True)
            return
        epoch = max((peer.epoch for peer in snapshot.view.peers), default=0)
        line = render_tasks(snapshot.view)
        faults = list_faults(snapshot)
        if faults:
            line += f"; in force: {', '.join(faults)}"
        if line != self._last_line or epoch >= self._last_epoch + QUIET_EPOCHS:
            self._last_line, self._last_epoch = line, epoch
            self._print(f"epoch {epoch:3d}  {line}")

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._print(text)

    def __enter__(self) -> "Screen":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def _print(self, text: str) -> None:
        elapsed_s = trio.current_time() - self._began_s
        # Lines are not cut where a file has no columns.
        self._console.print(f"{elapsed_s:6.1f} s  {text}", soft_wrap=True)
