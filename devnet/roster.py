"""Who the peers of a devnet are: names, keys, ports and roles, as they were given out."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devnet.errors import DevnetError
from devnet.ports import HOST
from node.text import suggest


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a peer is; by itself, one that lives in memory.

    Attributes:
        host: its address for peers.
        p2p_port: 0 for a peer that lives in memory.
        rpc_port: likewise; on 127.0.0.1, wherever the peer is.
        namespace: the network namespace it runs in; empty for that of everybody.
    """

    host: str = HOST
    p2p_port: int = 0
    rpc_port: int = 0
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class PeerSpec:
    """One peer.

    Attributes:
        role: validator, miner or observer.
        seals: it ends the epochs.
        host, p2p_port, rpc_port, namespace: its seat.
        peer_id: its name among peers.
        account: address of its account, 64 hex digits.
        key: the name from which the key of its account is derived.
        dials: names of the peers that it keeps connected.
        byzantine: how it cheats; empty for an honest one.
        exe: another Python to run it; empty for the one that runs.
        env: variables of its environment.
    """

    name: str
    role: str
    seals: bool
    host: str
    p2p_port: int
    rpc_port: int
    namespace: str
    peer_id: str
    account: str
    key: str = ""
    dials: tuple[str, ...] = ()
    byzantine: tuple[str, ...] = ()
    exe: str = ""
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The multiaddr that others dial."""
        if not self.p2p_port:
            return f"/memory/{self.peer_id}/p2p/{self.peer_id}"
        return f"/ip4/{self.host}/tcp/{self.p2p_port}/p2p/{self.peer_id}"

    @property
    def rpc_bind(self) -> tuple[str, str]:
        """Where its RPC listens: address and port."""
        return HOST, str(self.rpc_port)

    @property
    def url(self) -> str:
        """Where its RPC answers; empty for a peer that lives in memory."""
        return f"http://{HOST}:{self.rpc_port}" if self.rpc_port else ""


@dataclass(frozen=True, slots=True)
class Roster:
    """All peers of a devnet.

    Attributes:
        provider: process or sim.
        seed: all keys come from it.
        network: the network id, 16 hex digits.
        switch: the namespace in which those of the peers meet; empty if they are on loopback.
    """

    name: str
    provider: str
    seed: int
    network: str
    peers: tuple[PeerSpec, ...]
    switch: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all peers, in order."""
        return tuple(peer.name for peer in self.peers)

    def peer(self, name: str) -> PeerSpec:
        """Return the peer of a name.

        Raises:
            DevnetError: `unknown_peer`.
        """
        for peer in self.peers:
            if peer.name == name:
                return peer
        wanted = ", ".join(self.names) + suggest(name, self.names)
        raise DevnetError("unknown_peer", repr(name[:32]), wanted)

    def with_peer(self, spec: PeerSpec) -> "Roster":
        """Return the roster with one more peer, at the end."""
        return dataclasses.replace(self, peers=(*self.peers, spec))

    def replace_peer(self, spec: PeerSpec) -> "Roster":
        """Return the roster with another peer in the place of the one of the same name."""
        peers = tuple(spec if peer.name == spec.name else peer for peer in self.peers)
        return dataclasses.replace(self, peers=peers)

    def without_peer(self, name: str) -> "Roster":
        """Return the roster without a peer."""
        left = tuple(peer for peer in self.peers if peer.name != name)
        return dataclasses.replace(self, peers=left)


def read_spec(entry: Mapping[str, Any]) -> PeerSpec:
    """Return the peer of an entry of devnet.json.

    Raises:
        KeyError: something lacks.
    """
    values = {one.name: entry[one.name] for one in dataclasses.fields(PeerSpec)}
    lists = {name: tuple(values[name]) for name in ("dials", "byzantine")}
    return PeerSpec(**{**values, **lists})
