"""One run of one test: its networks come up before it and are gone after it, whatever happens.

In virtual time the whole test runs in the loop of its nodes, in the one order that its seed names;
on processes it runs in real time beside them. What a failure left behind is looked at before the
nodes end.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from devnet.cluster import ProcessCluster
from devnet.founding import found
from devnet.layout import Devnet
from devnet.manifests.tables import SIM
from devnet.provider import Provider
from devnet.session import STOP_S
from devnet.sim.scheduler import run_seeded
from devnet.testing.cast import check_arguments, make_cast
from devnet.testing.failure import describe_network
from devnet.testing.faulty_peer import Answer, FaultyPeer, hold, open_peer, read_status
from devnet.testing.network import Network
from devnet.virtual.cluster import VirtualCluster
from node.telemetry import configure_silently
from protocol.messages import Status

LOOK_S = 10.0
"""For a look at nodes that may not answer."""

Main = Callable[[], Awaitable[Any]]


class DevnetRun:
    """The networks of one test.

    Args:
        given: the arguments of its mark.
        provider: process or sim.
        seed: of its first network; the next one has the next seed.
        folder: of the file of the test.
        make_root: returns a new folder.
        keeps: after a failure processes stay up.
        again: the command line that repeats the run.

    Attributes:
        report: what a failure left behind; empty before one.
    """

    def __init__(
        self,
        given: Mapping[str, Any],
        provider: str,
        seed: int,
        folder: Path,
        make_root: Callable[[], Path],
        *,
        keeps: bool,
        again: str,
    ) -> None:
        self.report = ""
        self._given = given
        self._provider = provider
        self._seed = seed
        self._folder = folder
        self._make_root = make_root
        self._keeps = keeps
        self._again = again
        self._networks: list[Network] = []
        self._nursery: trio.Nursery | None = None
        self._faulty_peers = 0

    @property
    def network(self) -> Network:
        """The network of the mark."""
        return self._networks[0]

    def run(self, main: Main, *, opens: bool) -> Any:
        """Run a test.

        Args:
            main: the test with its fixtures.
            opens: whether it takes the network of its mark.

        Raises:
            BaseException: what the test raises.
        """
        __tracebackhide__ = True
        self._networks, self._faulty_peers = [], 0

        async def live() -> Any:
            __tracebackhide__ = True
            return await self._live(main, opens)

        try:
            if self._provider == SIM:
                with _silenced():
                    return run_seeded(self._seed, live)
            return trio.run(live)
        except BaseExceptionGroup as group:
            error = _unwrap(group)
        # Out here, so that the error keeps what it was raised from.
        raise error

    async def open(self, given: Mapping[str, Any]) -> Network:
        """Start one more network.

        Raises:
            DevnetError: as `make_cast`, `found` and `Network.start`.
        """
        check_arguments(given)
        seed = given.get("seed", self._seed + len(self._networks))
        manifest = make_cast(given, self._provider, seed, self._folder)
        network = Network(self._hold(found(self._make_root() / "net", manifest)))
        self._networks.append(network)
        await network.start()
        return network

    async def open_faulty_peer(
        self, network: Network, answer: Answer, status: Status | None
    ) -> FaultyPeer:
        """Let a scripted peer into a network; it stays to the end of the test."""
        assert self._nursery is not None
        self._faulty_peers += 1
        said = await read_status(network.nodes[0]) if status is None else status
        peer = open_peer(network.provider, f"faulty{self._faulty_peers}", answer, said)
        entered: FaultyPeer = await self._nursery.start(hold, peer)
        return entered

    def _hold(self, devnet: Devnet) -> Provider:
        if self._provider == SIM:
            assert self._nursery is not None
            return VirtualCluster(devnet, self._nursery)
        return ProcessCluster(devnet, guarded=True)

    async def _live(self, main: Main, opens: bool) -> Any:
        __tracebackhide__ = True
        is_kept = False
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                if opens:
                    await self.open({**self._given, "seed": self._seed})
                return await main()
            except (KeyboardInterrupt, pytest.skip.Exception):
                raise
            except BaseException:
                is_kept = self._keeps and self._provider != SIM
                await self._look(is_kept)
                raise
            finally:
                await self._end(is_kept)
                nursery.cancel_scope.cancel()

    async def _look(self, is_kept: bool) -> None:
        texts = []
        with trio.CancelScope(shield=True), trio.move_on_after(LOOK_S):
            for network in self._networks:
                texts.append(await describe_network(network.provider, is_kept=is_kept))
        self.report = "\n\n".join([*texts, f"again: {self._again}"])

    async def _end(self, is_kept: bool) -> None:
        with trio.CancelScope(shield=True):
            for network in self._networks:
                provider = network.provider
                if not isinstance(provider, ProcessCluster):
                    continue
                if is_kept:
                    provider.let_go()
                    continue
                try:
                    await provider.stop(limit_s=STOP_S)
                finally:
                    provider.end_now()


@contextmanager
def _silenced() -> Iterator[None]:
    """Let the nodes of this process log nothing; after the block the log is as it was."""
    earlier = structlog.get_config()
    configure_silently()
    try:
        yield
    finally:
        structlog.configure(**earlier)


def _unwrap(error: BaseException) -> BaseException:
    """Return the one error of nested groups; a group that holds several stays."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
