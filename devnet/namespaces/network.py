"""The namespaces of one devnet: made, entered, taken away. Names in devnet.json say which are its.

                  namespace of the machine: launcher, RPC clients; never changed
                     │ 127.0.0.1, a listening socket that each node inherits
  ┌──────────────────┼──────────────────┐
ms-…-n1            ms-…-n2            ms-…-n3        a node each
  eth0               eth0               eth0
   │ veth             │ veth             │ veth
  port1 ──────────── port2 ──────────── port3        ms-…: the switch, a bridge
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from devnet.errors import DevnetError
from devnet.layout import Devnet
from devnet.manifests.lineup import PLAIN
from devnet.namespaces import commands
from devnet.namespaces.runner import LOOPBACK, CommandError, Runner
from devnet.roster import PeerSpec

_ENTER = Path(__file__).with_name("enter.py")

NEEDS = {
    "netns": "a kernel with network namespaces, and root to make them",
    "bridge": "a kernel with bridges (CONFIG_BRIDGE, module bridge)",
    "veth": "a kernel with pairs of interfaces (CONFIG_VETH, module veth)",
    "nft": "a kernel with nftables for bridges (CONFIG_NF_TABLES_BRIDGE, module nf_tables)",
    "queue": "a kernel with tc htb and u32 (CONFIG_NET_SCH_HTB, CONFIG_NET_CLS_U32)",
    "address": "a kernel with IPv4, and an iproute2 that knows gso_max_segs",
    "loss": "a kernel with numgen of nftables (CONFIG_NFT_NUMGEN, module nft_numgen)",
    "rate": "a kernel with tc tbf (CONFIG_NET_SCH_TBF, module sch_tbf)",
}
"""What each step asks of the machine, for whoever reads why it failed."""


class Namespaces:
    """The namespaces of a devnet; none at all for one whose network is loopback.

    Args:
        devnet: its roster says how they are called.
        runner: runs `ip`, `tc` and `nft`.
    """

    def __init__(self, devnet: Devnet, runner: Runner) -> None:
        self._devnet = devnet
        self._runner = runner
        self._has_delay: bool | None = None

    @property
    def switch(self) -> str:
        """The namespace of the switch; empty if there is none."""
        return self._devnet.roster.switch

    def ensure(self, peers: Iterable[PeerSpec]) -> None:
        """Make those of some peers, and the switch, unless they are there.

        Raises:
            DevnetError: `no_namespaces`; what was made for these peers is gone again.
        """
        if not self.switch:
            return
        there = self._list_there()
        lacking = [peer for peer in peers if peer.namespace not in there]
        is_new = self.switch not in there
        try:
            if is_new:
                self._step("netns", ["ip", "netns", "add", self.switch])
                self.tell_ip("bridge", self.switch, commands.build_switch())
                self.tell_nft("nft", commands.build_table())
            for peer in lacking:
                self._step("netns", ["ip", "netns", "add", peer.namespace])
                self.tell_ip("veth", self.switch, commands.build_port(peer))
                self.tell_tc("queue", commands.build_queue(peer))
                self.tell_ip("address", peer.namespace, commands.build_node(peer))
        except DevnetError:
            made = [peer.namespace for peer in lacking] + ([self.switch] if is_new else [])
            self._delete(made)
            raise

    def enter(self, peer: PeerSpec, command: Sequence[str]) -> list[str]:
        """Return the command that runs a peer's program where the peer is."""
        if not peer.namespace:
            return list(command)
        where = [peer.namespace, *peer.rpc_bind]
        # -I and -S: nothing but the interpreter, and no module from where we happen to be.
        return [sys.executable, "-I", "-S", str(_ENTER), *where, *command]

    def remove(self) -> None:
        """Delete all that belong to the devnet; programs in there lose their network."""
        if self.switch:
            peers = self._devnet.roster.peers
            self._delete([self.switch, *(peer.namespace for peer in peers)])

    def remove_peer(self, peer: PeerSpec) -> None:
        """Delete that of a peer which leaves; nothing of it stays in the switch."""
        if not self.switch or not {self.switch, peer.namespace} <= self._list_there():
            return
        others = [one.host for one in self._devnet.roster.peers if one.name != peer.name]
        ways = [way for host in others for way in ((peer.host, host), (host, peer.host))]
        lost = [line for way in ways for line in commands.lose(way, PLAIN)]
        self.tell_nft("nft", [*commands.allow(ways), *lost])
        shaped = [line for host in others for line in commands.shape((peer.host, host), PLAIN)]
        self.tell_tc("queue", shaped)
        self.tell_ip("veth", self.switch, commands.remove_port(peer))
        self._delete([peer.namespace])

    def tell_ip(self, need: str, namespace: str, lines: Sequence[str]) -> None:
        """Tell `ip` something, in a namespace.

        Args:
            need: of `NEEDS`: what is missing if it refuses.

        Raises:
            DevnetError: `no_namespaces`.
        """
        self._step(need, ["ip", "-n", namespace, "-batch", "-"], lines)

    def tell_tc(self, need: str, lines: Sequence[str]) -> None:
        """Tell `tc` something, in the switch; see `tell_ip`."""
        self._step(need, ["tc", "-n", self.switch, "-batch", "-"], lines)

    def tell_nft(self, need: str, lines: Sequence[str]) -> None:
        """Tell `nft` something, in the switch: all of it or nothing; see `tell_ip`."""
        self._step(need, ["ip", "netns", "exec", self.switch, "nft", "-f", "-"], lines)

    def read_table(self) -> str:
        """Return the table of the switch as `nft -j` shows it; empty if there is none now."""
        words = ["ip", "netns", "exec", self.switch, "nft", "-j", "list", "table"]
        try:
            return self._runner.run([*words, *commands.TABLE.split()])
        except CommandError:
            return ""

    def has_delay(self) -> bool:
        """Tell whether the kernel can delay packets: whether it has netem."""
        if self._has_delay is None:
            try:
                self._runner.run(["tc", "-n", self.switch, "-batch", "-"], commands.probe_delay())
            except CommandError:
                self._has_delay = False
            else:
                self._has_delay = True
        return self._has_delay

    def _list_there(self) -> set[str]:
        shown = self._runner.run(["ip", "netns", "list"])
        # Behind the name there may stand its number.
        return {line.split()[0] for line in shown.splitlines() if line.strip()}

    def _delete(self, names: Iterable[str]) -> None:
        there = self._list_there()
        for name in names:
            if name not in there:
                continue
            try:
                self._runner.run(["ip", "netns", "del", name])
            except CommandError:
                # The guard of another command may have been quicker.
                if name in self._list_there():
                    raise

    def _step(self, need: str, words: Sequence[str], lines: Sequence[str] = ()) -> None:
        try:
            self._runner.run(words, lines)
        except CommandError as error:
            wanted = error.wanted if error.code == "no_program" else NEEDS[need]
            raise DevnetError("no_namespaces", error.found, f"{wanted}; {LOOPBACK}") from error
