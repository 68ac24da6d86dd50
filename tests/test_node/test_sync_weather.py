"""Whole peers in bad weather: gossip is lost, links break, authors cheat; all end up equal."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.transport.base import GossipMessage, PeerName
from protocol.errors import Rejected
from protocol.kinds.cancel_task import CancelTask
from protocol.tables import RULINGS
from protocol.transactions import SignedTransaction, sign_transaction
from tests.support.peers import TestPeer, a_genesis, some_registration, some_terms
from tests.support.scripted import Village, a_village

NAMES = ("alice", "bob", "carol", "dave", "erin")
STEPS = 60
CALM_S = 60.0
"""In which peers who compare every second or so must have become equal."""


class Weather:
    """What happens to one village; everything follows from one seed."""

    def __init__(self, village: Village, seed: int) -> None:
        self.village = village
        self.rng = random.Random(seed)
        self.signed: list[tuple[str, SignedTransaction]] = []
        self.is_stormy = True

    def deafen(self, peer: TestPeer) -> None:
        """Lose half of the gossip to a peer while the storm lasts."""
        arrive = peer.transport.arrive

        def maybe(message: GossipMessage) -> None:
            if not self.is_stormy or self.rng.random() < 0.5:
                arrive(message)

        peer.transport.arrive = maybe  # type: ignore[method-assign]

    def pick(self) -> TestPeer:
        return self.village.peers[self.rng.choice(NAMES)]

    async def step(self) -> None:
        often = (self.publish, self.seal)
        deed = self.rng.choice((*often, *often, self.cancel, self.cheat, self.cut))
        await deed()
        await trio.sleep(self.rng.random())

    async def publish(self) -> None:
        peer = self.pick()
        await self.submit(peer, "publish_task", some_terms(title=f"Task {len(self.signed)}"))

    async def cancel(self) -> None:
        if self.signed:
            subject = self.rng.choice(self.signed)[1].header.subject
            await self.submit(self.pick(), "cancel_task", CancelTask("rain"), subject)

    async def submit(
        self, peer: TestPeer, kind: str, payload: object, subject: bytes | None = None
    ) -> None:
        try:
            tx = await peer.author.submit(kind, payload, subject=subject)
        except Rejected:
            return
        if kind == "publish_task":
            self.signed.append((peer.name, tx))

    async def seal(self) -> None:
        self.village.peers["alice"].seal()

    async def cheat(self) -> None:
        """Somebody but the sealer signs one place twice and tells a peer of it."""
        known = [(name, tx) for name, tx in self.signed if name in ("dave", "erin")]
        if known and self.rng.random() < 0.3:
            name, tx = self.rng.choice(known)
            terms = some_terms(title=f"Fork {self.rng.random()}")
            fork = sign_transaction(tx.header, terms, self.village.peers[name].signer)
            peer = self.pick()
            peer.state.accept([fork], "dev")
            peer.sync.gossip.tell_nowait([fork])

    async def cut(self) -> None:
        network = self.village.network
        network.heal()
        if self.rng.random() < 0.6:
            left = self.rng.sample(NAMES, self.rng.randint(1, 2))
            right = [name for name in NAMES if name not in left]
            network.cut(map(PeerName, left), map(PeerName, right))
        await self.connect()

    async def connect(self) -> None:
        """Let neighbours in a ring find each other where they can."""
        for one, other in zip(NAMES, (*NAMES[1:], NAMES[0]), strict=True):
            transport = self.village.peers[one].transport
            if frozenset((one, other)) not in self.village.network._cut_pairs:
                await transport.dial(f"/memory/{other}/p2p/{other}")


@pytest.mark.parametrize("seed", range(6))
async def test_after_any_weather_all_are_equal(
    tmp_path: Path, autojump_clock: object, seed: int
) -> None:
    genesis = a_genesis()
    genesis = replace(genesis, params=replace(genesis.params, late_epochs=3))
    async with a_village(tmp_path, genesis) as village:
        weather = Weather(village, seed)
        for name in NAMES:
            weather.deafen(await village.add(name, interval_s=1.0, sessions_max=2))
        await weather.connect()
        await weather.submit(village.peers["bob"], "register_miner", some_registration())
        for _ in range(STEPS):
            await weather.step()
        weather.is_stormy = False
        village.network.heal()
        await weather.connect()
        peers = village.peers.values()
        for _ in range(2):
            village.peers["alice"].seal()
            with trio.fail_after(CALM_S):
                while len({peer.state.status() for peer in peers}) > 1:
                    await trio.sleep(0.1)
        assert village.peers["alice"].state.epoch > 10
        rulings = {tuple(peer.state.store.engine.scan(RULINGS.name)) for peer in peers}
        assert len(rulings) == 1
        assert all(peer.sync.book.get(name).faults == 0 for peer in peers for name in NAMES)
