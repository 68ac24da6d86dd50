"""Every change to py-libp2p that a subclass cannot make, and the proof that all of them hold.

The library is pinned to one version. Importing this file checks the version and applies the
changes, once; `check_guards` then attacks the result in memory, and a transport does not start
when an attack succeeds. What subclasses change is in the `libp2p_*.py` files beside this one.

Changes made here:
1. A line of the protocol negotiation is at most 1 KiB (there: unbounded, before any handshake) and
   must be UTF-8 (there: an exception that ends the process).
2. A background task is not looked for in the tree of all tasks (there: on every message).
3. The router's back-offs and rates run on a steady clock (there: a clock set back by a day is a
   day of silence).
4. Nothing logs by a handler of its own; `node.telemetry` writes what rises, within its budget.
5. No resolver is made that needs a file in /etc to exist; the operating system resolves names.
6. The agent string tells no version.
"""

import logging
import time
from collections.abc import Awaitable, Callable

import libp2p.identity.identify.identify as identify_module
import libp2p.network.connection.swarm_connection as swarm_connection_module
import libp2p.network.swarm as swarm_module
import libp2p.pubsub.gossipsub as gossipsub_module
import trio
from libp2p.exceptions import ParseError
from libp2p.io.exceptions import IOException
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.tools.anyio_service.trio_manager import TrioManager
from libp2p.utils.varint import read_varint_prefixed_bytes_limited

from node.transport.base import TransportError
from node.transport.libp2p_logging import lead_loggers
from node.transport.libp2p_self_attack import (
    SelfAttackError,
    attack_with_ping_flood,
    attack_with_too_much_data,
    attack_with_wide_frame,
)
from node.transport.libp2p_version import check_version

NEGOTIATION_LINE_BYTES_MAX = 1024
AGENT = "minesync"


class _SteadyTime:
    """What the router reads in place of the module `time`."""

    time = staticmethod(time.monotonic)


class _NoResolver:
    """In place of a DNS resolver that nothing here asks."""


async def _read_negotiation_line(communicator: MultiselectCommunicator) -> str:
    """Read one line of the protocol negotiation.

    Raises:
        MultiselectCommunicatorError: as the library expects it, for whatever a peer sends.
    """
    try:
        line = await read_varint_prefixed_bytes_limited(
            communicator.read_writer, NEGOTIATION_LINE_BYTES_MAX
        )
        text = line.decode()
    except (ParseError, IOException, UnicodeDecodeError) as error:
        raise MultiselectCommunicatorError(f"no line to negotiate with: {error!r}") from error
    if not text.endswith("\n"):
        raise MultiselectCommunicatorError("a line without its end")
    return text[:-1]


def _find_no_parent(manager: TrioManager, task: trio.lowlevel.Task) -> None:
    """Take every background task for one without a parent: all end with their service anyhow."""


_CHANGES: tuple[tuple[object, str, object], ...] = (
    (MultiselectCommunicator, "read", _read_negotiation_line),
    (TrioManager, "_find_parent_task", _find_no_parent),
    (gossipsub_module, "time", _SteadyTime),
    (
        swarm_connection_module,
        "logging",
        logging.getLogger("libp2p.network.connection.swarm_connection"),
    ),
    (swarm_module, "DNSResolver", _NoResolver),
    (identify_module, "AGENT_VERSION", AGENT),
)


def _apply() -> None:
    lead_loggers()
    for owner, name, ours in _CHANGES:
        if not hasattr(owner, name):
            raise TransportError("guard_broken", f"{owner} without {name}", "the place to guard")
        setattr(owner, name, ours)


check_version()
_apply()


class _CannedBytes:
    """A connection on which a peer has already said everything."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    async def read(self, n: int | None = None) -> bytes:
        data, self._rest = self._rest[:n], self._rest[n or len(self._rest) :]
        return data


async def _attack_with_long_line() -> None:
    # It announces 100 MiB. The defence must speak before it has read any of that.
    await _negotiate(b"\x80\x80\x80\x32" + b"x" * 4096)


async def _attack_with_foreign_text() -> None:
    await _negotiate(b"\x03\xff\xfe\n")


async def _negotiate(said: bytes) -> None:
    communicator = MultiselectCommunicator(_CannedBytes(said))  # type: ignore[arg-type]
    try:
        await communicator.read()
    except MultiselectCommunicatorError:
        return
    raise SelfAttackError("the line was taken")


async def _attack_with_undone_changes() -> None:
    for owner, name, ours in _CHANGES:
        if getattr(owner, name) is not ours:
            raise SelfAttackError(f"{owner} has another {name} again")


async def _attack_with_task_tree() -> None:
    manager = TrioManager(None)  # type: ignore[arg-type]
    if manager._find_parent_task(trio.lowlevel.current_task()) is not None:
        raise SelfAttackError("a task has a parent")


_ATTACKS: tuple[Callable[[], Awaitable[None]], ...] = (
    _attack_with_long_line,
    _attack_with_foreign_text,
    _attack_with_undone_changes,
    _attack_with_task_tree,
    attack_with_too_much_data,
    attack_with_wide_frame,
    attack_with_ping_flood,
)


async def check_guards() -> None:
    """Attack the guarded library in memory.

    Raises:
        TransportError: guard_broken. Do not run.
    """
    check_version()
    for attack in _ATTACKS:
        name = attack.__name__.strip("_").replace("_", " ")
        try:
            with trio.fail_after(5):
                await attack()
        except Exception as error:
            # Whatever goes wrong here: an assumption about the library does not hold.
            raise TransportError(
                "guard_broken", f"{name}: {error!r}", "every guard to hold"
            ) from error
