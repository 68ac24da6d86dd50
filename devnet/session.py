"""Running a devnet from one command: whatever ends the command early, no peer is left behind."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import trio

from devnet.cluster import ProcessCluster
from devnet.errors import DevnetError

STOP_S = 5.0
"""For peers to write down what they hold; then they are killed."""


async def run_guarded(cluster: ProcessCluster, work: Callable[[], Awaitable[bool]]) -> None:
    """Run `work`; leave the peers running only if it returns true. Call with a guarded cluster.

    SIGTERM and SIGHUP end it like Ctrl-C does.

    Raises:
        DevnetError: `stopped_by_signal`.
        BaseExceptionGroup: of what `work` raises.
    """
    keep = False
    stopped_by: list[str] = []

    async def watch(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        async for number in signals:
            stopped_by.append(signal.Signals(number).name)
            scope.cancel()

    try:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch, signals, nursery.cancel_scope)
                keep = await work()
                nursery.cancel_scope.cancel()
    finally:
        if keep:
            cluster.let_go()
        else:
            try:
                with trio.CancelScope(shield=True):
                    await cluster.stop(limit_s=STOP_S)
            finally:
                # Reached by a second Ctrl-C, too.
                cluster.end_now()
    if stopped_by:
        raise DevnetError("stopped_by_signal", stopped_by[0])
