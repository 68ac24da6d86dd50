"""The core layer: what a plan does to peers that are objects on one heap of events.

No task, no stream, no thread: thousands of runs a minute. What of a peer is real here,
`devnet.sim.core_peer` says.
"""

from devnet.sim.cast import make_cast
from devnet.sim.core_net import RESTART_MS, TICK_MS, CoreNet
from devnet.sim.core_peer import CorePeer
from devnet.sim.disk import CrashEngine
from devnet.sim.fates import Fates
from devnet.sim.hands import do_one
from devnet.sim.judge import SETTLED_EPOCHS, Judge
from devnet.sim.lies import Liar
from devnet.sim.plan import LIES, LIVENESS, WORKLOAD, Event, Plan
from devnet.sim.sealer_watch import note_lost_quorum
from devnet.sim.witness import PropertyBroken, Witness

LOOK_MS = 100
MESSAGES_PER_TICK_MAX = 40
"""P15: of one peer, beside the gossip of each transaction over each link."""
COPIES_MAX = 6


class CoreWorld:
    """One run of the core layer."""

    def __init__(self, plan: Plan, witness: Witness, fates: Fates) -> None:
        self.plan = plan
        self.cast = make_cast(plan.peers, plan.late_epochs, plan.sealers)
        self.witness = witness
        self.fates = fates
        self.judge = Judge(plan, self.cast, witness, fates)
        self.net = CoreNet(plan, self.cast, witness, fates, self.judge)
        self.is_converged = False
        self._calm_epoch = 0

    def run(self) -> None:
        """Run the plan to its end.

        Raises:
            PropertyBroken: something does not hold.
        """
        net, plan = self.net, self.plan
        net.start_all()
        for event in plan.events:
            net.later(event.at_ms, self._apply, event)
        if plan.mode == LIVENESS:
            net.later(plan.calm_ms, self._calm_down)
        while not self.is_converged and net.step(plan.end_ms):
            pass
        self.witness.counts["virtual_ms"] += net.now_ms
        if plan.mode == LIVENESS and not self.is_converged:
            heads = [(peer.number, peer.state.epoch, peer.state.open.count) for peer in net.up]
            raise PropertyBroken("P14", "not_converged", f"peer, epoch, open: {heads}")
        states = {peer.number: peer.state for peer in net.up if not peer.habit}
        self.judge.finish(states, converged=self.is_converged)

    # ------------------------------------------------------------------------------- events

    def _apply(self, event: Event) -> None:
        peer = self.net.peers[event.peer % self.plan.peers]
        self.witness.note(self.net.now_ms, event.kind, peer.number, *event.arguments)
        arguments = (*event.arguments, 0, 0, 0)
        if event.kind in WORKLOAD or event.kind in LIES:
            if self.net.is_awake(peer):
                act = self._work if event.kind in WORKLOAD else self._lie
                self.net.act(peer, act, peer, event.kind, arguments)
            return
        getattr(self, f"_apply_{event.kind}")(peer, *arguments[:3])

    def _work(self, peer: CorePeer, kind: str, arguments: tuple[int, ...]) -> None:
        if peer.habit == "copier" and kind == "work":
            for place in range(len(peer.accounts)):
                self._lie(peer, "copy", (arguments[0], place, 0))
        if peer.habit not in ("", "shy", "partial", "censor"):
            return
        if kind == "work":
            for one in peer.hands:
                one.work(arguments[0])
        else:
            do_one(peer.hands, kind, *arguments[:2])

    def _lie(self, peer: CorePeer, kind: str, arguments: tuple[int, ...]) -> None:
        if not peer.habit:
            return
        signer = peer.accounts[arguments[1] % len(peer.accounts)]
        lie = Liar(peer.state, signer).make(kind, arguments[0])
        told = tuple(tx.wire for tx in lie.told)
        peer.state.accept(lie.told, None)
        links = self.net.links[peer.number]
        if kind == "hoard":
            self.net.later(arguments[2], self._release, peer, told)
        elif lie.also:
            also = tuple(tx.wire for tx in lie.also)
            for place, other in enumerate(links):
                face = told if place % 2 else also
                self.net.send(peer.number, other, self.net.hear_transactions, face)
        elif told:
            for other in links:
                self.net.send(peer.number, other, self.net.hear_transactions, told)

    def _release(self, peer: CorePeer, told: tuple[bytes, ...]) -> None:
        if peer.is_up:
            self.net.gossip(peer, None, self.net.hear_transactions, told)

    def _apply_crash(self, peer: CorePeer, kept_share: int, down_ms: int, _: int) -> None:
        if peer.is_up:
            self.witness.counts["crashes"] += 1
            self.net.end(peer, kept_share)
            self.net.later(RESTART_MS + down_ms, self.net.start, peer, peer.lives)

    def _apply_pause(self, peer: CorePeer, pause_ms: int, _: int, __: int) -> None:
        self.witness.counts["pauses"] += 1
        peer.resumes_ms = max(peer.resumes_ms, self.net.now_ms + pause_ms)

    def _apply_wipe(self, peer: CorePeer, down_ms: int, _: int, __: int) -> None:
        if peer.is_up and self.plan.may_lose_disk(peer.number):
            self.net.end(peer, 0)
            peer.disk = CrashEngine()
            self.witness.disk_is_gone(peer.number, ())
            self.judge.disk_is_gone(peer.number)
            self.witness.reach("a wiped disk is refilled")
            self.net.later(RESTART_MS + down_ms, self.net.start, peer, peer.lives)

    def _apply_backup(self, peer: CorePeer, _: int, __: int, ___: int) -> None:
        if peer.is_up:
            peer.backup = peer.disk.copy_image()

    def _apply_rewind(self, peer: CorePeer, down_ms: int, _: int, __: int) -> None:
        if peer.is_up and self.plan.may_lose_disk(peer.number) and peer.backup:
            self.net.end(peer, 0)
            peer.disk = CrashEngine.from_image(peer.backup)
            self.witness.disk_is_gone(peer.number, peer.backup["transactions"].keys())
            self.judge.disk_is_gone(peer.number)
            self.witness.reach("an old backup is restored")
            self.net.later(RESTART_MS + down_ms, self.net.start, peer, peer.lives)

    def _apply_clean(self, peer: CorePeer, _: int, __: int, ___: int) -> None:
        if self.net.is_awake(peer):
            self.net.act(peer, peer.clean_up)

    def _apply_disk(self, peer: CorePeer, choice: int, _: int, __: int) -> None:
        peer.disk.fails_next = "after" if choice % 2 else "before"

    def _apply_full(self, peer: CorePeer, full_ms: int, _: int, __: int) -> None:
        self.witness.reach("a disk is full for a while")
        peer.disk.is_full = True
        self.net.later(full_ms, self._make_room, peer)

    def _make_room(self, peer: CorePeer) -> None:
        peer.disk.is_full = False

    def _apply_cut(self, _: CorePeer, mask: int, cut_ms: int, one_way: int) -> None:
        numbers = range(self.plan.peers)
        left = [number for number in numbers if mask >> number & 1]
        right = [number for number in numbers if not mask >> number & 1]
        pairs = [(one, other) for one in left for other in right]
        if one_way % 2:
            self.witness.reach("a cut goes one way")
        else:
            pairs += [(other, one) for one, other in pairs]
        if cut_ms > TICK_MS:
            self.witness.reach("a cut outlasts a sync period")
        if not one_way % 2:
            note_lost_quorum(self.witness, self.plan, left, cut_ms)
        self.witness.counts["cuts"] += 1
        self.net.block(pairs, cut_ms)

    def _apply_clog(self, peer: CorePeer, other: int, clog_ms: int, _: int) -> None:
        target = other % self.plan.peers
        self.net.block([(peer.number, target), (target, peer.number)], clog_ms)

    def _calm_down(self) -> None:
        """End all faults among those that are to become equal; whoever is lost stays lost."""
        core = set(self.plan.core)
        self.fates.calm_down()
        for number in self.plan.lost:
            lost = self.net.peers[number]
            match self.fates.draw("lost", number) % 3:
                case 0 if lost.is_up:
                    self.net.end(lost, 0)
                    lost.lives += 1
                case 1:
                    lost.resumes_ms = self.plan.end_ms + 1
                case _:
                    self.net.block([(other, number) for other in core], self.plan.end_ms)
        self.net.unblock_among(core)
        for peer in self.net.peers:
            if peer.number in core:
                peer.resumes_ms = 0
                peer.disk.fails_next = None
                peer.disk.is_full = False
                self.net.start(peer, peer.lives)
        self.judge.calmed_down({number: self.net.peers[number].state for number in self.plan.core})
        self._calm_epoch = max((peer.state.epoch for peer in self.net.up), default=0)
        self.net.later(LOOK_MS, self._look_whether_equal)

    def _look_whether_equal(self) -> None:
        core = [self.net.peers[number] for number in self.plan.core]
        is_settled = min(peer.state.epoch for peer in core) >= self._calm_epoch + SETTLED_EPOCHS
        if is_settled and len({peer.state.status() for peer in core}) == 1:
            self.is_converged = True
            self._check_traffic()
            return
        self.net.later(LOOK_MS, self._look_whether_equal)

    def _check_traffic(self) -> None:
        counts, links = self.witness.counts, sum(map(len, self.net.links))
        stored = max(peer.state.store.totals.stored for peer in self.net.up)
        ticks = self.net.now_ms // TICK_MS + 1
        bound = ticks * self.plan.peers * MESSAGES_PER_TICK_MAX + COPIES_MAX * links * (
            stored + ticks
        )
        if counts["messages"] > bound:
            raise PropertyBroken("P15", "traffic", f"{counts['messages']} messages of {bound}")
