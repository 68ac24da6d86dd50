"""The network that a test holds: its nodes, what is done to them, what is waited for.

Every wait has a limit in seconds, virtual ones in a simulation, and ends in an `AssertionError`
that says what was found at last.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import trio

from devnet import faults
from devnet.conditions import parse_condition
from devnet.errors import DevnetError
from devnet.facts import LOOK_S, wait_for
from devnet.functions import Function, write_command
from devnet.groups import parse_groups
from devnet.layout import Devnet
from devnet.load import SUBMISSION_EPOCHS
from devnet.manifests.lineup import ALL_DIAL_MAX, DIALS_MAX, NodePlan
from devnet.manifests.tables import OBSERVER, ROLES, VALIDATOR, NodeTable
from devnet.observe import COMPLETED, OVER
from devnet.provider import Provider
from devnet.remote import is_lost
from devnet.roster import PeerSpec
from devnet.scenario import Play
from devnet.testing.cast import LETTERS, make_table
from node.rpc.client import RpcError
from node.text import suggest
from node.workers.messages import SOLVER
from protocol.params import NANO_PER_COIN

PEOPLE = ("alice", "bob", "carol", "dave")
WITHIN_S = 60.0
SCORED = "scored"
"""Of a task whose answers have all been judged; for `wait` beside the statuses of tasks."""
LOCKED = "locked"
_JUDGED = frozenset({COMPLETED, "disputed"})
_EARNED = frozenset({"claimable", "claimed"})


class Node:
    """One node, as the test that holds its network steers it.

    Attributes:
        name: as in the manifest.
    """

    def __init__(self, network: "Network", name: str) -> None:
        self.name = name
        self._network = network

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    @property
    def spec(self) -> PeerSpec:
        """Its role, account and addresses."""
        return self._network.devnet.peer(self.name)

    async def call(self, method: str, **params: Any) -> Any:
        """Return the result of a method of its RPC.

        Raises:
            RpcError: it does not run, or refuses.
            DevnetError: it does not answer.
        """
        return await self._network.provider.remote(self.name).call(method, **params)

    async def task_publish(
        self,
        *,
        kind: str | Mapping[str, Any],
        input: str | bytes,
        reward: int,
        **terms: Any,
    ) -> str:
        """Publish a task; return its id.

        Args:
            kind: a type of task as the RPC takes it, or the category of a general one.
            input: what is to be worked on.
            reward: coins.
            **terms: further terms, as the RPC takes them.

        Raises:
            RpcError: the node refuses.
        """
        task_type = {"type": "general_task", "category": kind} if isinstance(kind, str) else kind
        usual = {
            "title": "A task of a test",
            "description": "What a test wants to be worked on.",
            "submission_epochs": SUBMISSION_EPOCHS,
            "reward": str(reward * NANO_PER_COIN),
            "task_type": dict(task_type),
        }
        data = input.encode("utf-8") if isinstance(input, str) else input
        reply = await self.call("task_publish", terms={**usual, **terms}, data="0x" + data.hex())
        return str(reply["task_id"])

    async def wait(self, task: str, *, status: str, within: float = WITHIN_S) -> dict[str, Any]:
        """Wait until this node shows a task with a status, or `scored`; return the task.

        Raises:
            AssertionError: it does not come to that in time, or no longer can.
        """
        wanted = _JUDGED if status == SCORED else frozenset({status})
        found = f"{self.name} does not know it"
        with trio.move_on_after(within):
            while True:
                shown = await self._ask("task_get", task_id=task)
                if shown is not None:
                    found = str(shown["status"])
                    if found in wanted:
                        return dict(shown)
                    if found in OVER:
                        break
                await trio.sleep(LOOK_S)
        raise AssertionError(f"task {task[:12]} on {self.name}: {found}; wanted {status}")

    async def wait_answer(self, task: str, *, within: float = WITHIN_S) -> dict[str, Any]:
        """Wait until this node's own answer to a task is on its way; return it as it sees it.

        Raises:
            AssertionError: it gives none in time.
        """
        with trio.move_on_after(within):
            while True:
                page = await self._ask("answer_list", task_id=task, miner=self.spec.account)
                own = [] if page is None else page["items"]
                own = [one for one in own if one["miner"] == self.spec.account]
                if own:
                    return dict(own[0])
                await trio.sleep(LOOK_S)
        raise AssertionError(f"task {task[:12]}: no answer of {self.name} in {within:g} s")

    async def reward_claimable(
        self, who: "Node | str", *, within: float = WITHIN_S
    ) -> dict[str, Decimal]:
        """Return by task the coins that a node can claim, or has claimed, as this one sees it.

        Waits until every task that it answers or judges is over, and none of its rewards is locked.

        Raises:
            AssertionError: that is not so after `within` seconds.
        """
        account = self._network[who].spec.account
        waiting: list[str] = []
        with trio.move_on_after(within):
            while True:
                earned, waiting = await self._look_at_rewards(account)
                if not waiting:
                    return earned
                await trio.sleep(LOOK_S)
        found = ", ".join(waiting) or "no answer"
        raise AssertionError(f"rewards not decided on {self.name} in {within:g} s: {found}")

    async def _look_at_rewards(self, account: str) -> tuple[dict[str, Decimal], list[str]]:
        """Return what an account has earned by task, and the tasks of which that is not sure."""
        earned: dict[str, Decimal] = {}
        waiting: list[str] = []
        async for brief in self._network.provider.remote(self.name).iterate("task_list"):
            task = await self.call("task_get", task_id=brief["task_id"])
            if account not in {*task["panel"], *(one["miner"] for one in task["participants"])}:
                continue
            entries = [one for paid in task["rewards"] for one in paid["entries"]]
            own = [one for one in entries if one["recipient"] == account]
            is_over = task["status"] in OVER and not task["provisional"]
            if task["status"] == COMPLETED and not entries:
                is_over = False
            if not is_over or any(one["state"] == LOCKED for one in own):
                waiting.append(f"task {task['task_id'][:12]} {task['status']}")
            coins = [
                Decimal(one["amount"]) / NANO_PER_COIN for one in own if one["state"] in _EARNED
            ]
            if coins:
                earned[task["task_id"]] = sum(coins, Decimal(0))
        return earned, waiting

    async def _ask(self, method: str, **params: Any) -> Any:
        """Return what the node says; None if it is not there or does not know the task yet."""
        try:
            return await self.call(method, **params)
        except (RpcError, DevnetError) as error:
            if error.code != "no_such_task" and not is_lost(error):
                raise
            return None


class Network:
    """One devnet of a test; `network["n1"]` is a node of it.

    Args:
        provider: of a devnet, none of whose nodes runs.
    """

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    @property
    def devnet(self) -> Devnet:
        """Its directory, roster and events."""
        return self.provider.devnet

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, in order."""
        return tuple(Node(self, name) for name in self.devnet.names)

    def __getitem__(self, which: Node | str) -> Node:
        name = which.name if isinstance(which, Node) else which
        return Node(self, self.devnet.peer(name).name)

    def __getattr__(self, person: str) -> Node:
        # alice, bob, ...: those who may publish for anybody, because they do not judge.
        if person not in PEOPLE:
            raise AttributeError(person + suggest(person, PEOPLE))
        able = [peer.name for peer in self.devnet.roster.peers if peer.role != VALIDATOR]
        place = PEOPLE.index(person)
        if place >= len(able):
            found = f"{person} among {len(able)} nodes that do not judge"
            raise DevnetError("unknown_peer", found, f"at least {place + 1} of them")
        return Node(self, able[place])

    async def start(self) -> None:
        """Start the nodes that are there from the beginning.

        Raises:
            DevnetError: one does not come up.
        """
        await Play(self.provider, self._tell).start()

    async def play(self) -> None:
        """Do all that the manifest says: load, events, late nodes, checks.

        Raises:
            AssertionError: a check does not hold.
        """
        verdicts = await Play(self.provider, self._tell).perform()
        broken = [f"{one.name}: {one.detail}" for one in verdicts if not one.ok]
        if broken:
            raise AssertionError("; ".join(broken))

    async def add(
        self,
        name: str | None = None,
        *,
        role: str = OBSERVER,
        worker: Function | str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Node:
        """Bring a new node into the network and wait until it is ready.

        Args:
            name: its name; the next free one of its role by default.
            role: validator, miner or observer.
            worker: a function, or a command line, that solves tasks; see `devnet.functions`.
            config: further options, by dotted key.

        Raises:
            DevnetError: `bad_value`, `bad_worker`, and as `devnet.faults.add`.
        """
        if role not in ROLES:
            raise DevnetError("bad_value", f"role {role[:32]!r}", " or ".join(ROLES))
        names = self.devnet.names
        table = make_table(role)
        options = {**table.config, **(config or {})}
        if worker is not None:
            line = worker if isinstance(worker, str) else write_command(SOLVER, worker)
            options["worker.command"] = line
        chosen = name or next(
            one
            for one in (f"{LETTERS[role]}{place + 1}" for place in range(len(names) + 1))
            if one not in names
        )
        dials = names if len(names) <= ALL_DIAL_MAX else names[-DIALS_MAX:]
        plan = NodePlan(
            chosen, NodeTable(role=role, config=options), group="", seals=False, dials=dials
        )
        return self[(await faults.add(self.provider, plan)).name]

    @asynccontextmanager
    async def partition(
        self, *sides: Iterable[Node | str], one_way: bool = False
    ) -> AsyncIterator[None]:
        """Cut the links between sides; after the block they are allowed again.

        Nodes that no side names are together on one more.

        Raises:
            DevnetError: `unknown_peer`, `bad_groups`, `nobody_told`.
        """
        text = "|".join(",".join(sorted(self[one].name for one in side)) for side in sides)
        groups = parse_groups(self.devnet.names, text)
        await faults.partition(self.provider, groups, one_way=one_way)
        try:
            yield
        finally:
            await faults.heal(self.provider)

    async def kill(self, which: Node | str) -> None:
        """End a node as a power cut does."""
        await faults.kill(self.provider, self[which].name)

    async def stop(self, which: Node | str) -> None:
        """End a node gently."""
        await faults.stop(self.provider, self[which].name)

    async def start_node(self, which: Node | str) -> None:
        """Start a node that is down, and wait until it is ready."""
        await faults.start(self.provider, self[which].name)

    async def pause(self, which: Node | str) -> None:
        """Freeze a node; its connections stay open and fall silent."""
        await faults.pause(self.provider, self[which].name)

    async def resume(self, which: Node | str) -> None:
        """Let a frozen node go on."""
        await faults.resume(self.provider, self[which].name)

    async def holds(self, condition: str, *, within: float = WITHIN_S) -> None:
        """Wait until a condition holds, in the language of manifests: `epoch >= 3 on n1`.

        Raises:
            AssertionError: it does not in time.
            ConditionError: it is none.
        """
        finding = await wait_for(self.provider, parse_condition(condition), within)
        if not finding.ok:
            raise AssertionError(f"not {condition} in {within:g} s: {finding.detail}")

    async def converged(self, *, within: float = WITHIN_S) -> None:
        """Wait until all honest nodes have the same seal and the same state root.

        Raises:
            AssertionError: they do not in time.
        """
        await self.holds("converged", within=within)

    def _tell(self, line: str) -> None:
        print(line)
