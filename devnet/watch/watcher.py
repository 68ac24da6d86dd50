"""Watches a running devnet: asks its peers again and again, and keeps what they say."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import trio

from devnet.observe import OBSERVE_S, NetworkView, Observer
from devnet.provider import KeptWays, Provider, call_each, find_awake
from devnet.remote import Remote
from devnet.snapshots.swap import LOADED
from devnet.watch.events import EventLog
from devnet.watch.history import History, Sample, SealSeen
from devnet.watch.snapshot import Identity, PeerLinks, Snapshot

LOOK_S = 0.5
"""Between two looks of `run`."""
PAGES_MAX = 16
"""Replies of one peer that are read at one look; a peer has no more to tell."""


class Watcher:
    """Keeps the history of a devnet from the moment it is made, and what peers remember of before.

    Args:
        provider: of the devnet.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._observer = Observer(provider)
        self._history = History()
        self._events = EventLog(provider.devnet.events_path)
        self._loads = 0
        # By peer: which run of it was asked last, and from where on to ask.
        self._places: dict[str, tuple[int, int]] = {}
        self.latest = Snapshot(self._identify(), provider.devnet.read_now_ms(), NetworkView(()))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await trio.sleep(LOOK_S)

    async def look(self) -> Snapshot:
        """Look once, and return all that is known then.

        Raises:
            DevnetError: `no_devnet`: it has been deleted.
        """
        self._provider.refresh()
        devnet = self._provider.devnet
        self._forget_other_times()
        links = await self._look_around()
        view = await self._observer.look()
        now_ms = devnet.read_now_ms()
        if view.peers:
            self._history.take_sample(Sample(now_ms, view.count_tasks()))
        events = self._events.read()
        self.latest = Snapshot(self._identify(), now_ms, view, links, events, self._history)
        return self.latest

    def _forget_other_times(self) -> None:
        """Forget what was seen before a snapshot was loaded: it has not happened."""
        loads = sum(event.name == LOADED for event in self._events.read())
        if loads != self._loads:
            self._loads, self._history = loads, History()
            self._places.clear()

    async def _look_around(self) -> dict[str, PeerLinks]:
        names = {peer.peer_id: peer.name for peer in self._provider.devnet.roster.peers}

        kept = await self._provider.links.read_kept()

        async def ask(remote: Remote) -> PeerLinks:
            return add_kept(remote.name, await self._ask(remote, names), kept)

        awake = find_awake(self._provider)
        replies = await call_each(self._provider, awake, ask)
        return {name: one for name, one in replies.items() if isinstance(one, PeerLinks)}

    async def _ask(self, remote: Remote, names: Mapping[str, str]) -> PeerLinks:
        """Take in what a peer saw since the last time; return what it says of its links."""
        reply: dict[str, Any] = {}
        for _ in range(PAGES_MAX):
            run, after = self._places.get(remote.name, (0, 0))
            reply = await remote.call("dev_look", limit_s=OBSERVE_S, run=run, after=after)
            self._take(remote.name, reply)
            if reply["next"] >= reply["count"]:
                break
        return PeerLinks(
            connected=_name_all(reply["peers"], names),
            cut=_name_all(reply["cut"], names),
            deaf=_name_all(reply["deaf"], names),
            slow=_name_all(reply["slow"], names),
            # A node of an earlier release knows none.
            outages=tuple(reply.get("outages", ())),
            clock_offset_ms=int(reply["clock_offset_ms"]),
        )

    def _take(self, name: str, reply: Mapping[str, Any]) -> None:
        self._places[name] = (int(reply["run"]), int(reply["next"]))
        for tx_id, at_ms in reply["stored"]:
            self._history.take_arrival(name, str(tx_id), int(at_ms))
        for epoch, root, at_ms in reply["sealed"]:
            self._history.take_seal(name, SealSeen(int(epoch), str(root), int(at_ms)))

    def _identify(self) -> Identity:
        devnet = self._provider.devnet
        known = devnet.roster
        return Identity(known.name, known.seed, known.network, devnet.names)


def add_kept(name: str, links: PeerLinks, kept: KeptWays) -> PeerLinks:
    """Return what a peer says of its links with what the network does to them besides."""
    unheard = {source for source, target in kept.cut if target == name}
    cut = {source for source in unheard if (name, source) in kept.cut}
    poor = {source for source, target in kept.poor if target == name}
    return dataclasses.replace(
        links,
        cut=tuple(sorted(cut.union(links.cut))),
        deaf=tuple(sorted((unheard - cut).union(links.deaf))),
        slow=tuple(sorted(poor.union(links.slow))),
    )


def _name_all(peer_ids: list[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Return peers by their names in the devnet; strangers are left out."""
    return tuple(sorted(names[peer_id] for peer_id in peer_ids if peer_id in names))
