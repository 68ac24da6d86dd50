"""The node layer: every peer is `run_peer` in one loop of trio, under a clock that jumps.

One task applies the plan, one looks at the peers ten times a virtual second, one is each peer.
"""

from collections.abc import Callable, Iterable

import trio

from devnet.sim.cast import make_cast
from devnet.sim.fates import Fates
from devnet.sim.habits import Tongue
from devnet.sim.hands import do_one
from devnet.sim.judge import SETTLED_EPOCHS, Judge
from devnet.sim.lies import Liar
from devnet.sim.links import choose_links
from devnet.sim.node_liar import TWISTED, serve_lying
from devnet.sim.node_network import WeatherNetwork
from devnet.sim.node_peer import STATUS_INTERVAL_MS, NodePeer
from devnet.sim.plan import LIES, LIVENESS, WORKLOAD, Event, Plan
from devnet.sim.scheduler import run_seeded
from devnet.sim.sealer_watch import SealerWatch, note_lost_quorum
from devnet.sim.witness import PropertyBroken, Witness
from node.transport.memory import MemoryStream
from protocol.closing import compute_archive_epochs
from protocol.messages import Transactions, encode_message
from protocol.transactions import SignedTransaction
from storage.errors import Full, StorageError

LOOK_S = 0.1
TASKS_PER_PEER_MAX = 60
"""P6: beside those of each link."""
TASKS_PER_LINK_MAX = 12
MESSAGES_PER_LOOK_MAX = 12
"""P15: of one link in a tenth of a second, on average over the run."""


class NodeWorld:
    """One run of the node layer."""

    def __init__(self, plan: Plan, witness: Witness, fates: Fates) -> None:
        self.plan = plan
        self.cast = make_cast(plan.peers, plan.late_epochs, plan.sealers)
        self.witness = witness
        self.fates = fates
        self.judge = Judge(plan, self.cast, witness, fates)
        self.is_converged = False
        self.peers: list[NodePeer] = []
        self.network: WeatherNetwork
        self._links = choose_links(plan, fates)
        self._seen_lives: dict[int, int] = {}
        self._calm_epoch = 0

    def run(self) -> None:
        """Run the plan to its end.

        Raises:
            PropertyBroken: something does not hold.
        """
        run_seeded(self.plan.seed, self._main)
        if self.plan.mode == LIVENESS and not self.is_converged:
            heads = [
                (one.number, one.peer.state.epoch, one.peer.state.open.count)
                for one in self.peers
                if one.peer is not None
            ]
            raise PropertyBroken("P14", "not_converged", f"peer, epoch, open: {heads}")

    async def _main(self) -> None:
        plan = self.plan
        self.network = WeatherNetwork(plan.peers, self.fates, self.witness)
        watch = SealerWatch(self.witness, plan.sealers)
        self.peers = [
            NodePeer(
                plan, self.cast, self.witness, self.fates, self.network, watch, number,
                # Whoever has the higher number dials, so that two never dial each other at once.
                tuple(other for other in self._links[number] if other < number),
            )
            for number in range(plan.peers)
        ]  # fmt: skip
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.network.run)
            for one in self.peers:
                nursery.start_soon(one.live)
                if one.habit in TWISTED:
                    self.network.liars[one.number] = self._make_lie(one, nursery)
            nursery.start_soon(self._apply_all, nursery)
            await self._watch()
            self.witness.counts["virtual_ms"] += int(trio.current_time() * 1_000)
            self._finish()
            nursery.cancel_scope.cancel()

    def _make_lie(self, one: NodePeer, nursery: trio.Nursery) -> Callable[[MemoryStream], None]:
        tongue = Tongue(one.habit, one.number, self.cast, self.fates)

        def lie(stream: MemoryStream) -> None:
            nursery.start_soon(serve_lying, one, self.cast, tongue, stream)

        return lie

    def _finish(self) -> None:
        states = {
            one.number: one.peer.state
            for one in self.peers
            if one.peer is not None and not one.habit
        }
        if self.is_converged or self.plan.mode != LIVENESS:
            self.judge.finish(states, converged=self.is_converged)

    # ---------------------------------------------------------------------------- watching

    async def _watch(self) -> None:
        """Look at all peers until they are equal after the calm, or the time is up."""
        is_calm = False
        while trio.current_time() * 1_000 < self.plan.end_ms:
            await trio.sleep(LOOK_S)
            for one in self.peers:
                self._look(one)
            self._check_bounds()
            if self.plan.mode != LIVENESS or trio.current_time() * 1_000 < self.plan.calm_ms:
                continue
            if not is_calm:
                is_calm = True
                self._calm_down()
            elif self._are_equal():
                self.is_converged = True
                return

    def _look(self, one: NodePeer) -> None:
        if one.peer is None or one.habit:
            return
        if self._seen_lives.get(one.number) != one.lives:
            self._seen_lives[one.number] = one.lives
            self.judge.restarted(one.number, one.peer.state)
        self.witness.note("look", one.number, one.peer.state.epoch, one.peer.state.open.count)
        self.judge.look(one.number, one.peer.state)

    def _are_equal(self) -> bool:
        states = [one.peer.state for one in self._core() if one.peer is not None]
        if len(states) < len(self.plan.core):
            return False
        is_settled = min(state.epoch for state in states) >= self._calm_epoch + SETTLED_EPOCHS
        return is_settled and len({state.status() for state in states}) == 1

    def _check_bounds(self) -> None:
        links = sum(map(len, self._links))
        tasks = trio.lowlevel.current_statistics().tasks_living
        most = TASKS_PER_PEER_MAX * len(self.peers) + TASKS_PER_LINK_MAX * links
        if tasks > most:
            raise PropertyBroken("P6", "tasks", f"{tasks} of {most}")
        looks = int(trio.current_time() / LOOK_S) + 10
        messages = self.witness.counts["messages"]
        if messages > MESSAGES_PER_LOOK_MAX * looks * max(1, links):
            raise PropertyBroken("P15", "traffic", f"{messages} in {looks} looks, {links} links")

    def _core(self) -> list[NodePeer]:
        return [self.peers[number] for number in self.plan.core]

    def _calm_down(self) -> None:
        core = set(self.plan.core)
        self.fates.calm_down()
        self.network.unblock_all(core)
        for one in self._core():
            one.disk.fails_next = None
            one.disk.is_full = False
        for number in self.plan.lost:
            lost = self.peers[number]
            if self.fates.draw("lost", number) % 2:
                lost.stays_down = True
                if lost.is_up:
                    lost.kill(0, 0)
            else:
                self.network.block([(other, number) for other in core])
        states = {one.number: one.peer.state for one in self._core() if one.peer is not None}
        if states:
            self.judge.calmed_down(states)
        self._calm_epoch = max((state.epoch for state in states.values()), default=0)

    # ------------------------------------------------------------------------------- events

    async def _apply_all(self, nursery: trio.Nursery) -> None:
        for event in self.plan.events:
            await trio.sleep_until(event.at_ms / 1_000)
            one = self.peers[event.peer % self.plan.peers]
            self.witness.note(event.at_ms, event.kind, one.number, *event.arguments)
            arguments = (*event.arguments, 0, 0, 0)
            try:
                if event.kind == "work" and one.habit == "copier":
                    for place in range(len(one.accounts)):
                        self._lie(one, "copy", (arguments[0], place, 0), nursery)
                elif event.kind in WORKLOAD:
                    self._work(one, event.kind, arguments)
                elif event.kind in LIES:
                    self._lie(one, event.kind, arguments, nursery)
                else:
                    self._harm(one, event, nursery)
            except Full:
                # The node is read-only until its disk has room.
                continue
            except StorageError:
                self.witness.reach("a disk fails inside a batch")
                one.kill(0, 0)

    def _work(self, one: NodePeer, kind: str, arguments: tuple[int, ...]) -> None:
        if one.habit or not one.hands:
            return
        if kind == "work":
            # The roles of the node act for its own account, but for what people do by hand.
            one.hands[0].judge()
            for hands in one.hands[1:]:
                hands.work(arguments[0])
            return
        do_one(one.hands, kind, *arguments[:2])

    def _lie(
        self, one: NodePeer, kind: str, arguments: tuple[int, ...], nursery: trio.Nursery
    ) -> None:
        if not one.habit or one.peer is None:
            return
        signer = one.accounts[arguments[1] % len(one.accounts)]
        lie = Liar(one.peer.state, signer).make(kind, arguments[0])
        one.peer.state.accept(lie.told, None)
        if kind == "hoard":
            nursery.start_soon(self._release, one, lie.told, arguments[2])
            return
        self._spread(one, lie.told, 0)
        self._spread(one, lie.also, 1)

    async def _release(
        self, one: NodePeer, told: tuple[SignedTransaction, ...], delay_ms: int
    ) -> None:
        await trio.sleep(delay_ms / 1_000)
        self._spread(one, told, 0)

    def _spread(self, one: NodePeer, told: tuple[SignedTransaction, ...], face: int) -> None:
        """Tell neighbours; of two faces each neighbour is shown one first."""
        transport = self.network.find_transport(one.number)
        if transport is None or not told:
            return
        data = encode_message(Transactions(tuple(tx.wire for tx in told)))
        links = self._links[one.number]
        for place, other in enumerate(links):
            if len(links) == 1 or place % 2 == face or not face:
                self.network.send_gossip(one.number, other, data)

    def _harm(self, one: NodePeer, event: Event, nursery: trio.Nursery) -> None:
        first, second, third = (*event.arguments, 0, 0, 0)[:3]
        match event.kind:
            case "crash" if one.is_up:
                self.witness.counts["crashes"] += 1
                one.kill(first, second)
            case "wipe" if one.is_up and self.plan.may_lose_disk(one.number):
                self.witness.reach("a wiped disk is refilled")
                one.wipe(None, first)
            case "backup" if one.is_up:
                one.backup = one.disk.copy_image()
            case "rewind" if one.backup and one.is_up and self.plan.may_lose_disk(one.number):
                self.witness.reach("an old backup is restored")
                one.wipe(one.backup, first)
            case "clean" if one.peer is not None and not one.peer.cleaner.status.is_running:
                one.peer.cleaner.start(compute_archive_epochs(self.cast.params))
            case "disk":
                one.disk.fails_next = "after" if first % 2 else "before"
            case "full":
                self.witness.reach("a disk is full for a while")
                nursery.start_soon(self._fill_up, one, first)
            case "pause":
                self.witness.counts["pauses"] += 1
                pairs = [(one.number, other) for other in self._links[one.number]]
                pairs += [(other, own) for own, other in pairs]
                nursery.start_soon(self._block, pairs, first, False)
            case "clog":
                target = first % self.plan.peers
                pairs = [(one.number, target), (target, one.number)]
                nursery.start_soon(self._block, pairs, second, False)
            case "cut":
                nursery.start_soon(self._cut, first, second, third)

    async def _fill_up(self, one: NodePeer, full_ms: int) -> None:
        one.disk.is_full = True
        await trio.sleep(full_ms / 1_000)
        one.disk.is_full = False

    async def _cut(self, mask: int, cut_ms: int, one_way: int) -> None:
        numbers = range(self.plan.peers)
        left = [number for number in numbers if mask >> number & 1]
        right = [number for number in numbers if not mask >> number & 1]
        pairs = [(one, other) for one in left for other in right]
        is_both_ways = one_way % 2 == 0
        if is_both_ways:
            pairs += [(other, one) for one, other in pairs]
            note_lost_quorum(self.witness, self.plan, left, cut_ms)
        else:
            self.witness.reach("a cut goes one way")
        if cut_ms > STATUS_INTERVAL_MS:
            self.witness.reach("a cut outlasts a sync period")
        self.witness.counts["cuts"] += 1
        await self._block(pairs, cut_ms, is_both_ways)

    async def _block(
        self, pairs: Iterable[tuple[int, int]], block_ms: int, is_parting: bool
    ) -> None:
        blocked = list(pairs)
        self.network.block(blocked, is_parting=is_parting)
        await trio.sleep(block_ms / 1_000)
        self.network.unblock(blocked)
