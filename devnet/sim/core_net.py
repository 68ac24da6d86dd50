"""The network of the core layer: links with fates, gossip, conversations, lives."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from devnet.sim.cast import Cast
from devnet.sim.core_peer import CorePeer
from devnet.sim.core_talk import Talk
from devnet.sim.fates import Fates
from devnet.sim.heap import Heap, HeapClock
from devnet.sim.judge import Judge
from devnet.sim.links import choose_links
from devnet.sim.plan import Plan
from devnet.sim.sealer_lies import Said
from devnet.sim.sealer_watch import SealerWatch
from devnet.sim.witness import Witness
from protocol.errors import PeerFault, Rejected
from protocol.messages import SealedIds, unpack_ids
from protocol.params import SCALE
from protocol.reconcile import ReconcileSession
from protocol.seals import Seal
from storage.errors import StorageError

TICK_MS = 500
"""Between two conversations that a peer begins by itself."""
TIMEOUT_MS = 300
"""After which a conversation is over whose message was lost."""
RESTART_MS = 200


class CoreNet(Heap):
    """The peers of one run and all that is on its way between them.

    Args:
        judge: looks at a peer after everything it does.
    """

    def __init__(
        self, plan: Plan, cast: Cast, witness: Witness, fates: Fates, judge: Judge
    ) -> None:
        super().__init__()
        self.witness = witness
        self.fates = fates
        watch = SealerWatch(witness, plan.sealers)
        offsets = (*plan.clock_offsets_ms, *(0,) * plan.peers)
        self.peers = [
            CorePeer(plan, cast, witness, fates, number, HeapClock(self, offset), watch)
            for number, offset in enumerate(offsets[: plan.peers])
        ]
        self.links = choose_links(plan, fates)
        self._cast = cast
        self._judge = judge
        self._blocked: dict[tuple[int, int], int] = {}
        self._talking: set[tuple[int, int]] = set()

    def start_all(self) -> None:
        """Start every peer and let it speak with others now and then."""
        for peer in self.peers:
            peer.start()
            self._flush(peer)
            self.later(self.fates.draw("tick", peer.number) % TICK_MS, self._tick, peer, 0)

    @property
    def up(self) -> list[CorePeer]:
        """The peers that are up."""
        return [peer for peer in self.peers if peer.is_up]

    def is_awake(self, peer: CorePeer) -> bool:
        """Tell whether a peer is up and its process not stopped."""
        return peer.is_up and peer.resumes_ms <= self.now_ms

    # --------------------------------------------------------------------------- messages

    def send(
        self,
        source: int,
        target: int,
        deliver: Callable[..., None],
        *arguments: Any,
        is_gossip: bool = True,
        on_loss: Callable[[], None] | None = None,
    ) -> None:
        """Send a message to whatever fate it has.

        Args:
            source, target: numbers of the peers.
            deliver: called with the target, the source and `arguments` when it arrives.
            arguments: what travels.
            is_gossip: whether copies of it may come twice or overtake each other.
            on_loss: called after a while if it never arrives.
        """
        self.witness.counts["messages"] += 1
        fate = self.fates.draw_message(source, target, is_gossip=is_gossip)
        if self._blocked.get((source, target)) or fate.is_lost:
            if on_loss is not None:
                self.later(TIMEOUT_MS, on_loss)
            return
        life = self.peers[target].lives
        for delay_ms in fate.delays_ms:
            self.later(delay_ms, self._deliver, source, target, life, deliver, arguments, on_loss)

    def _deliver(
        self,
        source: int,
        target: int,
        life: int,
        deliver: Callable[..., None],
        arguments: tuple[Any, ...],
        on_loss: Callable[[], None] | None,
    ) -> None:
        peer = self.peers[target]
        if not peer.is_up or peer.lives != life or self._blocked.get((source, target)):
            if on_loss is not None:
                self.later(TIMEOUT_MS, on_loss)
            return
        if peer.resumes_ms > self.now_ms:
            self.later(
                peer.resumes_ms - self.now_ms, self._deliver, source, target, life, deliver,
                arguments, on_loss,
            )  # fmt: skip
            return
        self.witness.note(self.now_ms, source, target, deliver.__name__)
        is_alive = self.act(peer, deliver, peer, source, *arguments)
        if not is_alive and on_loss is not None:
            self.later(TIMEOUT_MS, on_loss)

    def act(self, peer: CorePeer, action: Callable[..., None], *arguments: Any) -> bool:
        """Let a peer do something; return False if a failing disk ended it meanwhile."""
        try:
            action(*arguments)
            self._flush(peer)
        except StorageError:
            self.witness.reach("a disk fails inside a batch")
            self.end(peer, self.fates.draw("kept", peer.number, peer.lives) % (SCALE + 1))
            self.later(RESTART_MS, self.start, peer, peer.lives)
            return False
        if not peer.habit:
            self._judge.look(peer.number, peer.state)
        return True

    def _flush(self, peer: CorePeer) -> None:
        """Send what the peer wants to tell."""
        if peer.outbox or peer.learnt:
            self._tell_learnt(peer)
        self._take_letters(peer)

    def _tell_learnt(self, peer: CorePeer) -> None:
        """Gossip what the peer made and what it learnt in conversations."""
        told, peer.outbox[:] = list(peer.outbox), []
        learnt, peer.learnt[:] = list(dict.fromkeys(peer.learnt)), []
        journal = peer.state.store.journal
        wires = [tx.wire for tx in told if peer.habit != "silent"]
        proofs = []
        for item in learnt:
            tx = journal.get(item)
            if tx is not None and peer.tongue.is_passing_on(tx):
                wires.append(tx.wire)
            elif tx is None and (proof := journal.evidence_proof(item)) is not None:
                proofs.append(proof)
        if wires:
            self.gossip(peer, None, self.hear_transactions, tuple(wires))
        for proof in proofs:
            self.gossip(peer, None, self.hear_evidence, proof)

    def _take_letters(self, peer: CorePeer) -> None:
        """Send what the peer's sealer says and asks for; wake it if something happened."""
        for said in peer.take_words():
            for place, other in enumerate(self.links[peer.number]):
                if said.is_for(place):
                    self.send(peer.number, other, self.hear_word, said, peer.number)
        letters = peer.letters
        if letters.seals:
            sealed, letters.seals = letters.seals, []
            for one in sealed:
                self.witness.note("seal", peer.state.epoch, peer.state.state_root[:8])
                self.gossip(peer, None, self.hear_seal, one)
        if letters.holders:
            asked, letters.holders = letters.holders, []
            for holder in dict.fromkeys(asked):
                for other in self.links[peer.number] if holder is None else (int(holder),):
                    self.begin_talk(peer, other)
        if peer.sealer is not None and peer.bell.is_rung:
            peer.bell.is_rung = False
            self._wake_later(peer, 0)

    def _wake_later(self, peer: CorePeer, delay_ms: int) -> None:
        peer.wakes += 1
        self.later(delay_ms, self._wake, peer, peer.lives, peer.wakes)

    def _wake(self, peer: CorePeer, life: int, appointment: int) -> None:
        if not peer.is_up or (peer.lives, peer.wakes) != (life, appointment):
            return
        if peer.resumes_ms > self.now_ms:
            self._wake_later(peer, peer.resumes_ms - self.now_ms)
            return
        self.act(peer, self._wake_now, peer)

    def _wake_now(self, peer: CorePeer) -> None:
        assert peer.sealer is not None
        wait_s = peer.sealer.wake()
        peer.bell.is_rung = False
        self._wake_later(peer, max(1, math.ceil(wait_s * 1_000)))

    def hear_word(self, peer: CorePeer, sender: int, said: Said, origin: int) -> None:
        """Take in what a sealer says and pass on what is news."""
        try:
            is_news = peer.take_word(said, (str(origin), str(sender)))
        except Rejected:
            # Of another epoch, most often; conversations bring what lacks.
            self.witness.counts["refused"] += 1
            return
        if is_news and peer.habit not in ("silent", "forger"):
            for other in self.links[peer.number]:
                if other != sender:
                    self.send(peer.number, other, self.hear_word, replace(said, face=0), origin)

    def gossip(
        self, peer: CorePeer, came_from: int | None, hear: Callable[..., None], said: Any
    ) -> None:
        """Tell all neighbours but the one it came from."""
        for other in self.links[peer.number]:
            if other != came_from:
                self.send(peer.number, other, hear, said)

    def hear_transactions(self, peer: CorePeer, sender: int, wires: tuple[bytes, ...]) -> None:
        """Take in transactions; pass on what is new, ask for links that lack."""
        state = peer.state
        opened = []
        for wire in wires:
            try:
                opened.append(self._cast.verifier.open_now(wire))
            except Rejected:
                self.witness.counts["refused"] += 1
        accepted = state.accept(opened, str(sender))
        self._judge.heard(peer.number, state, opened)
        fresh = set(accepted.stored)
        onward = tuple(
            tx.wire for tx in opened if tx.tx_id in fresh and peer.tongue.is_passing_on(tx)
        )
        if onward:
            self.gossip(peer, sender, self.hear_transactions, onward)
        if accepted.evidence:
            self.witness.reach("two faces meet")
            peer.learnt.extend(accepted.evidence)
        if state.open.is_any_waiting(accepted.stored):
            self.begin_talk(peer, sender)

    def hear_evidence(self, peer: CorePeer, sender: int, proof: bytes) -> None:
        """Take in a proof of equivocation; pass it on if it is news."""
        known = set(peer.state.open.evidence)
        if peer.state.accept_evidence(proof):
            peer.learnt.extend(sorted(peer.state.open.evidence.keys() - known))

    def hear_seal(self, peer: CorePeer, sender: int, sealed: SealedIds) -> None:
        """Take in a seal and pass it on; ask its sender for what lacks."""
        state = peer.state
        seal = Seal.from_bytes(sealed.seal)
        if seal.content.epoch <= state.epoch:
            return
        ids = unpack_ids(sealed.ids or b"")
        is_next = seal.content.epoch == state.epoch + 1
        if is_next and state.apply_seal(seal, ids).applied:
            if peer.habit != "silent":
                self.gossip(peer, sender, self.hear_seal, sealed)
        else:
            self.begin_talk(peer, sender)

    # ---------------------------------------------------------------------- conversations

    def begin_talk(self, peer: CorePeer, other: int) -> None:
        """Let a peer begin a conversation, unless one is going on."""
        pair = (peer.number, other)
        if pair in self._talking:
            return
        self._talking.add(pair)
        talk = peer.talker.converse()
        self._ask(peer, other, peer.lives, talk, next(talk), [])

    def _ask(
        self,
        peer: CorePeer,
        other: int,
        life: int,
        talk: Talk,
        request: Any,
        sitting: list[ReconcileSession],
    ) -> None:
        end = self._makeend(peer.number, other, talk)

        def serve(server: CorePeer, asker: int) -> None:
            try:
                reply = server.answer(request, asker, sitting)
            except (PeerFault, Rejected):
                self.witness.counts["faults"] += 1
                end()
                return
            if reply is None:
                self.later(TIMEOUT_MS, end)
                return
            self.send(other, peer.number, hear, reply, is_gossip=False, on_loss=end)

        def hear(asker: CorePeer, _: int, reply: Any) -> None:
            if asker.lives != life:
                end()
                return
            try:
                following = talk.send(reply)
            except StopIteration:
                self._talking.discard((peer.number, other))
            except (PeerFault, Rejected):
                self.witness.counts["faults"] += 1
                end()
            else:
                self._ask(peer, other, life, talk, following, sitting)

        self.send(peer.number, other, serve, is_gossip=False, on_loss=end)

    def _makeend(self, number: int, other: int, talk: Talk) -> Callable[[], None]:
        def end() -> None:
            self._talking.discard((number, other))
            talk.close()

        return end

    def _tick(self, peer: CorePeer, place: int) -> None:
        jitter_ms = self.fates.draw("jitter", peer.number, place) % (TICK_MS // 4)
        self.later(TICK_MS + jitter_ms, self._tick, peer, place + 1)
        links = self.links[peer.number]
        if peer.is_up and peer.resumes_ms <= self.now_ms and peer.habit != "silent" and links:
            other = links[self.fates.draw("partner", peer.number, place) % len(links)]
            self.begin_talk(peer, other)

    # ------------------------------------------------------------------------- links and lives

    def block(self, pairs: Iterable[tuple[int, int]], block_ms: int) -> None:
        """Let nothing pass over these links for a while."""
        blocked = list(pairs)
        for pair in blocked:
            self._blocked[pair] = self._blocked.get(pair, 0) + 1
        self.later(block_ms, self._unblock, blocked)

    def _unblock(self, pairs: list[tuple[int, int]]) -> None:
        for pair in pairs:
            if self._blocked.get(pair):
                self._blocked[pair] -= 1

    def unblock_among(self, numbers: set[int]) -> None:
        """Let everything pass between these peers, whatever was cut."""
        for pair in sorted(self._blocked):
            if set(pair) <= numbers:
                self._blocked[pair] = 0

    def end(self, peer: CorePeer, kept_share: int) -> None:
        """Let a peer die as in a power cut, and its conversations with it."""
        peer.crash(kept_share)
        self._talking = {pair for pair in self._talking if pair[0] != peer.number}

    def start(self, peer: CorePeer, lives: int) -> None:
        """Start a peer again, unless it lives or was started since."""
        if peer.is_up or peer.lives != lives:
            return
        try:
            peer.start()
        except StorageError:
            peer.is_up = False
            self.later(RESTART_MS, self.start, peer, peer.lives)
            return
        self.witness.note("start", peer.number, peer.state.epoch)
        self._flush(peer)
        if not peer.habit:
            self._judge.restarted(peer.number, peer.state)
