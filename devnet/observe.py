"""What can be seen of a running devnet, as plain records; nothing here changes anything."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from devnet.errors import DevnetError
from devnet.provider import DOWN, PAUSED, UP, Provider, call_each
from devnet.remote import Remote
from devnet.roster import PeerSpec
from node.rpc.client import RpcError

OBSERVE_S = 2.0
"""For one look; a peer that is busier than that is shown as silent."""

SILENT = "silent"
ALARM = "alarm"

COMPLETED = "completed"
TASK_ORDER = (
    "published",
    "in_progress",
    "answers_submitted",
    "under_validation",
    "completed",
    "expired",
    "disputed",
    "cancelled",
)
"""The statuses of tasks in the order of their lives."""
OVER = frozenset({COMPLETED, "expired", "cancelled"})
"""Statuses of tasks to which nothing more happens."""


@dataclass(frozen=True, slots=True)
class PeerView:
    """One peer at one moment. Figures of a peer that does not answer are 0 and empty.

    Attributes:
        state: up, down, paused, silent or alarm.
        state_root: of the sealed state, hex.
        memory_bytes: resident, of the process itself, without its worker.
        alarm: why the peer stopped folding, if it did.
        reversals: provisional results that a seal changed, since its database was made.
    """

    name: str
    role: str
    state: str
    epoch: int = 0
    seal_hash: str = ""
    state_root: str = ""
    transactions: int = 0
    open: int = 0
    peers: int = 0
    memory_bytes: int = 0
    alarm: str = ""
    reversals: int = 0


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task, as one peer sees it, the moves that are not sealed yet included.

    Attributes:
        entries: reward entries of the task; none before it is decided.
        is_provisional: whether the last seal left it otherwise.
    """

    task_id: str
    status: str
    entries: tuple["RewardView", ...] = ()
    is_provisional: bool = False


@dataclass(frozen=True, slots=True)
class RewardView:
    """One payment owed: to whom, how many nano-units, and how far it has got."""

    entry_id: str
    task_id: str
    recipient: str
    amount: int
    state: str
    claim_tx: str | None = None
    is_provisional: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it has been paid, or never will be, and a seal says so."""
        return self.state in ("claimed", "revoked") and not self.is_provisional


@dataclass(frozen=True, slots=True)
class NetworkView:
    """All peers and all tasks at about one moment."""

    peers: tuple[PeerView, ...]
    tasks: tuple[TaskView, ...] = field(default=())

    def count_tasks(self) -> dict[str, int]:
        """Return how many tasks are in each status."""
        counts: dict[str, int] = {}
        for task in self.tasks:
            counts[task.status] = counts.get(task.status, 0) + 1
        return counts

    def count_provisional(self) -> int:
        """Return how many tasks the next seal would change."""
        return sum(task.is_provisional for task in self.tasks)

    def list_entries(self) -> list[RewardView]:
        """Return the reward entries of all tasks."""
        return [entry for task in self.tasks for entry in task.entries]


class Observer:
    """Looks at a devnet again and again; what cannot change any more is asked for once.

    Args:
        provider: of the devnet.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._paid: dict[str, TaskView] = {}

    async def look_at_peers(self) -> tuple[PeerView, ...]:
        """Return what every peer says of itself."""
        provider = self._provider
        states = provider.read_states()

        async def ask(remote: Remote) -> PeerView:
            spec = provider.devnet.peer(remote.name)
            return await observe_peer(provider, spec, states[remote.name])

        views = await call_each(provider, provider.devnet.names, ask)
        return tuple(views.values())

    async def look(self) -> NetworkView:
        """Return the peers, and the tasks as the first that answers knows them."""
        peers = await self.look_at_peers()
        for peer in peers:
            if peer.state == UP:
                try:
                    return NetworkView(peers, await self._look_at_tasks(peer.name))
                except (RpcError, DevnetError):
                    # It was just there; the next one may do.
                    continue
        return NetworkView(peers)

    async def _look_at_tasks(self, name: str) -> tuple[TaskView, ...]:
        remote = self._provider.remote(name)
        tasks: list[TaskView] = []
        async for item in remote.iterate("task_list"):
            task_id, status = str(item["task_id"]), str(item["status"])
            is_provisional = bool(item["provisional"])
            task = TaskView(task_id, status, is_provisional=is_provisional)
            if task_id in self._paid and status == COMPLETED:
                task = self._paid[task_id]
            elif status == COMPLETED:
                task = replace(task, entries=await observe_entries(remote, task_id))
                if task.entries and all(entry.is_over for entry in task.entries):
                    self._paid[task_id] = task
            tasks.append(task)
        return tuple(tasks)


async def observe_peer(provider: Provider, spec: PeerSpec, state: str) -> PeerView:
    """Return what one peer, which is up, down or paused, says of itself."""
    if state == DOWN:
        return PeerView(spec.name, spec.role, DOWN)
    memory_bytes = provider.read_memory_bytes(spec.name)
    if state == PAUSED:
        return PeerView(spec.name, spec.role, PAUSED, memory_bytes=memory_bytes)
    try:
        status = await provider.remote(spec.name).call("node_status", limit_s=OBSERVE_S)
    except (RpcError, DevnetError):
        return PeerView(spec.name, spec.role, SILENT, memory_bytes=memory_bytes)
    return read_status(spec, status, memory_bytes)


def read_status(spec: PeerSpec, status: dict[str, Any], memory_bytes: int) -> PeerView:
    """Return the view that a reply to `node_status` gives."""
    alarm = str(status.get("alarm") or "")
    return PeerView(
        name=spec.name,
        role=spec.role,
        state=ALARM if alarm else UP,
        epoch=int(status["epoch"]),
        seal_hash=str(status["seal_hash"]),
        state_root=str(status["state_root"]),
        transactions=int(status["transactions"]),
        open=int(status["open"]),
        peers=int(status["peers"]),
        memory_bytes=memory_bytes,
        alarm=alarm,
        reversals=int(status["reversals"]),
    )


async def observe_entries(remote: Remote, task_id: str) -> tuple[RewardView, ...]:
    """Return the reward entries of a task; none before it is decided.

    Raises:
        RpcError: the peer is not there, or does not know the task.
        DevnetError: it does not answer.
    """
    task = await remote.call("task_get", task_id=task_id)
    return tuple(
        RewardView(
            entry_id=str(entry["entry_id"]),
            task_id=task_id,
            recipient=str(entry["recipient"]),
            amount=int(entry["amount"]),
            state=str(entry["state"]),
            claim_tx=entry["claim_tx"],
            is_provisional=bool(entry["provisional"]),
        )
        for distribution in task["rewards"]
        for entry in distribution["entries"]
    )


def is_settled(view: NetworkView, tasks: Collection[str] = ()) -> bool:
    """Tell whether nothing more will happen to any task; `tasks` must be known, too."""
    known = {task.task_id: task.status for task in view.tasks}
    is_done = known.keys() >= set(tasks) and all(status in OVER for status in known.values())
    # A claim counts once it is sealed: before that its money is still in escrow.
    return is_done and is_paid(view) and not any(peer.open for peer in view.peers)


def is_paid(view: NetworkView) -> bool:
    """Tell whether completed tasks have reward entries, and each is claimed or revoked."""
    decided = [task for task in view.tasks if task.status == COMPLETED]
    return all(task.entries for task in decided) and all(
        entry.is_over for entry in view.list_entries()
    )
