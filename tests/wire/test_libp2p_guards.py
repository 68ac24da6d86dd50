"""The guards hold, and a transport refuses to start as soon as one of them does not."""

import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import trio
from libp2p.abc import IMultiselectCommunicator
from libp2p.network import swarm
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.pubsub import gossipsub
from libp2p.tools.anyio_service.trio_manager import TrioManager
from libp2p.utils import read_delim

from node.transport import libp2p_version, libp2p_yamux
from node.transport.base import TransportError
from node.transport.libp2p_gossip import BoundedGossipSub
from node.transport.libp2p_guards import check_guards
from node.transport.libp2p_open import open_libp2p_transport
from node.transport.libp2p_swarm import BoundedSwarm
from node.transport.libp2p_yamux import Yamux
from node.transport.libp2p_yamux_stream import YamuxStream
from tests.support.transport_contract import take_all


async def read_any_line(communicator: IMultiselectCommunicator) -> str:
    """Read a line as the library does."""
    assert isinstance(communicator, MultiselectCommunicator)
    return (await read_delim(communicator.read_writer)).decode()


def keep_all_data(stream: YamuxStream, payload: bytes) -> None:
    """Take data as the library does, window or not."""
    stream._buffer += payload


def answer_all_pings(connection: Yamux, frame: bytes) -> None:
    """Queue answers as the library would, without end."""
    connection._control.append(frame)


Undo = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    "undo",
    [
        lambda patch: patch.setattr(MultiselectCommunicator, "read", read_any_line),
        lambda patch: patch.setattr(TrioManager, "_find_parent_task", lambda self, task: object()),
        lambda patch: patch.setattr(gossipsub, "time", time),
        lambda patch: patch.setattr(swarm, "DNSResolver", object),
        lambda patch: patch.setattr(YamuxStream, "on_data", keep_all_data),
        lambda patch: patch.setattr(Yamux, "push_control", answer_all_pings),
        lambda patch: patch.setattr(libp2p_version, "LIBP2P_VERSION", "0.8.2"),
    ],
    ids=["lines", "tasks", "clock", "resolver", "window", "pings", "version"],
)
async def test_nothing_starts_when_a_guard_is_gone(
    undo: Undo, monkeypatch: pytest.MonkeyPatch
) -> None:
    await check_guards()
    undo(monkeypatch)
    # A guard that is gone may leave an attack hanging: it is given up on after a while.
    monkeypatch.setattr(libp2p_yamux, "FAREWELL_S", 0.1)
    with trio.fail_after(20), pytest.raises(TransportError, match="guard_broken"):
        await check_guards()
    with trio.fail_after(20), pytest.raises(TransportError, match="guard_broken"):
        async with open_libp2p_transport(
            seed=bytes(32), listen="/ip4/127.0.0.1/tcp/0", topic="test", validate=take_all
        ):
            pass


@pytest.mark.parametrize(
    ("name", "value"),
    [("spam_protection_enabled", True), ("heartbeat_interval", 120), ("prune_back_off", 60)],
)
async def test_nothing_runs_with_another_setting(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = BoundedGossipSub.__init__

    def build_otherwise(router: BoundedGossipSub, topic: str) -> None:
        build(router, topic)
        setattr(router, name, value)

    monkeypatch.setattr(BoundedGossipSub, "__init__", build_otherwise)
    with pytest.raises(TransportError, match="guard_broken"):
        async with open_libp2p_transport(
            seed=bytes(32), listen="/ip4/127.0.0.1/tcp/0", topic="test", validate=take_all
        ):
            pass


async def test_the_swarm_dials_nobody_by_itself() -> None:
    async with open_libp2p_transport(
        seed=bytes(32), listen="/ip4/127.0.0.1/tcp/0", topic="test", validate=take_all
    ) as transport:
        inner = transport._swarm  # type: ignore[attr-defined]
        assert isinstance(inner, BoundedSwarm)
        with pytest.raises(Exception, match="nobody asked to dial"):
            await inner.dial_peer(inner.get_peer_id())


@pytest.mark.parametrize(
    "module", ["base", "memory", "faults", "libp2p_open", "inbox", "doorkeeper", "limits"]
)
def test_libp2p_is_loaded_only_by_opening_a_transport(module: str) -> None:
    script = f"import sys, node.transport.{module}; sys.exit('libp2p' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
