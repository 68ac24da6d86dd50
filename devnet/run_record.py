"""The record of a run: what was asked for, what was seen while it went on, what came of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from devnet.checks import Verdict
from devnet.provider import Provider
from devnet.watch.events import RunEvent, Span, find_spans
from devnet.watch.snapshot import Snapshot
from devnet.watch.watcher import Watcher


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All that is kept of a run.

    Attributes:
        title: what was run.
        manifest: what was asked for, as text.
        began_ms: when it began, in milliseconds since 1970.
        last: what was seen, to the end.
        verdicts: what became of its checks.
    """

    title: str
    manifest: str
    began_ms: int
    last: Snapshot
    verdicts: Sequence[Verdict]

    @property
    def ended_ms(self) -> int:
        """When it was over."""
        return self.last.at_ms

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(verdict.ok for verdict in self.verdicts)

    @property
    def events(self) -> list[RunEvent]:
        """What was done in this run; a devnet may have had others before."""
        return [event for event in self.last.events if event.at_ms >= self.began_ms]

    @property
    def spans(self) -> list[Span]:
        """Its faults."""
        return find_spans(self.events)


async def record_run(
    provider: Provider, title: str, play: Callable[[], Awaitable[Sequence[Verdict]]]
) -> RunRecord:
    """Play something, watching it, and return the record of it; the nodes go on running.

    Raises:
        BaseExceptionGroup: of what `play` raises.
    """
    devnet = provider.devnet
    began_ms = devnet.read_now_ms()
    watcher = Watcher(provider)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher.run)
        verdicts = await play()
        nursery.cancel_scope.cancel()
    manifest = devnet.manifest_path.read_text(encoding="utf-8")
    return RunRecord(title, manifest, began_ms, await watcher.look(), verdicts)
