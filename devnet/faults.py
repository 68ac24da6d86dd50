"""What can be done to a running devnet, one function for each fault.

Processes are killed, frozen and restarted by signals. Partitions are made inside the peers'
transports, which each peer does to itself when its RPC is told; no root and no firewall is needed.
Every fault is written to the devnet's events.
"""

import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from devnet.cluster import ProcessCluster
from devnet.errors import DevnetError
from devnet.processes import KILL_S, is_alive, is_stopped, send_signal, wait_until

Groups = Sequence[Sequence[str]]


async def kill(cluster: ProcessCluster, name: str) -> None:
    """End a peer as a power cut does: SIGKILL, nothing is written down.

    Raises:
        DevnetError: `unknown_peer`, `not_running`.
    """
    ref = cluster.require_running(name)
    cluster.devnet.note_event("kill", peer=name)
    send_signal(ref, signal.SIGKILL)
    await wait_until(lambda: not is_alive(ref), KILL_S)


async def pause(cluster: ProcessCluster, name: str) -> None:
    """Freeze a peer; its connections stay open and fall silent.

    Raises:
        DevnetError: `unknown_peer`, `not_running`.
    """
    ref = cluster.require_running(name)
    cluster.devnet.note_event("pause", peer=name)
    send_signal(ref, signal.SIGSTOP)
    await wait_until(lambda: is_stopped(ref), KILL_S)


async def resume(cluster: ProcessCluster, name: str) -> None:
    """Let a frozen peer go on.

    Raises:
        DevnetError: `unknown_peer`, `not_running`.
    """
    ref = cluster.require_running(name)
    cluster.devnet.note_event("resume", peer=name)
    send_signal(ref, signal.SIGCONT)
    await wait_until(lambda: not is_stopped(ref), KILL_S)


async def restart(cluster: ProcessCluster, name: str) -> None:
    """Start a peer anew on its data, after ending it gently if it runs.

    Raises:
        DevnetError: `unknown_peer`, `port_in_use`, `peer_died`, `not_ready`.
    """
    cluster.devnet.peer(name)
    cluster.devnet.note_event("restart", peer=name)
    await cluster.stop([name])
    await cluster.start([name])


async def partition(cluster: ProcessCluster, groups: Groups) -> None:
    """Cut the links between groups of peers; those within a group stay.

    Peers that do not run, or are frozen, are cut off by the others.

    Raises:
        DevnetError: `nobody_told`.
        RpcError: a peer refuses.
    """
    cluster.devnet.note_event("partition", groups=[list(group) for group in groups])
    own = {name: group for group in groups for name in group}
    peer_ids = {peer.name: peer.peer_id for peer in cluster.devnet.manifest.peers}
    awake = find_awake(cluster)
    if not awake:
        raise DevnetError("nobody_told", "no peer that answers", "a running devnet")
    for name in awake:
        friends = [peer_ids[other] for other in own[name]]
        others = [peer_ids[other] for other in cluster.devnet.names if other not in own[name]]
        await cluster.remote(name).call("dev_partition", peers=others)
        await cluster.remote(name).call("dev_heal", peers=friends)


async def heal(cluster: ProcessCluster) -> None:
    """Allow every link again.

    Raises:
        DevnetError: `nobody_told`.
        RpcError: a peer refuses.
    """
    cluster.devnet.note_event("heal")
    awake = find_awake(cluster)
    if not awake:
        raise DevnetError("nobody_told", "no peer that answers", "a running devnet")
    for name in awake:
        await cluster.remote(name).call("dev_heal")


def find_awake(cluster: ProcessCluster) -> list[str]:
    """Return the peers that run and are not frozen, in order."""
    running = cluster.find_running()
    return [
        name for name in cluster.devnet.names if name in running and not is_stopped(running[name])
    ]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, for the command line and for plans of faults.

    Attributes:
        name: of the command.
        text: what it does, for people.
        apply_to: does it, to the peer of a name.
    """

    name: str
    text: str
    apply_to: Callable[[ProcessCluster, str], Awaitable[None]]


FAULTS: tuple[Fault, ...] = (
    Fault("kill", "End a peer as a power cut does.", kill),
    Fault("pause", "Freeze a peer; its connections stay open and fall silent.", pause),
    Fault("resume", "Let a frozen peer go on.", resume),
    Fault("restart", "Start a peer anew on its data, after ending it gently if it runs.", restart),
)
"""Those that are done to one peer; `partition` and `heal` concern all of them."""
