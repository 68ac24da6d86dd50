"""A manifest played: start, load, events in time or on a condition, waits, checks.

    play
      ├ watchers    checks that must always hold, at every look
      └ deeds ──┬ load
                ├ late nodes
                └ events, each with its end if it lasts
    then what single nodes are to bear (`devnet.perturb`)
    then the other checks, each until it holds or its time is over

The same play runs on either provider; what it does goes into the devnet's events.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

import trio

from devnet.checks import Verdict
from devnet.conditions import parse_condition
from devnet.errors import DevnetError
from devnet.facts import look, wait_for
from devnet.faults import (
    begin_outage,
    corrupt,
    end_outage,
    heal,
    kill,
    partition,
    pause,
    restart,
    restore_links,
    resume,
    set_clock,
    set_links,
    start,
    stop,
    upgrade,
)
from devnet.groups import parse_groups
from devnet.load import Acknowledged, Publication, Workload, publish_all
from devnet.manifests.lineup import PLAIN, NodePlan, line_up, list_pairs, plan_link
from devnet.manifests.tables import MINER, CheckTable, EventTable
from devnet.perturb import perturb_all
from devnet.provider import Provider
from node.exits import find_blamed
from node.network import read_genesis
from node.outages import DISCONNECT
from node.rpc.client import RpcError
from node.text import clean_text
from protocol.errors import BlamedError

WATCH_S = 1.0
"""Between two looks at a check that must always hold."""
LOAD = "load"
TIMEOUT = "timeout"
EVENTS = "events"
START = "start"
LOG_LINES = 5
LOG_CHARACTERS = 600
"""Of what a node that did not come up wrote last."""

Tell = Callable[[str], None]
"""Shows a line to whoever watches."""


class Play:
    """One run of the manifest of a devnet.

    Args:
        provider: of the devnet, none of whose nodes runs.
        tell: shows what happens.
    """

    def __init__(self, provider: Provider, tell: Tell) -> None:
        self._provider = provider
        self._tell = tell
        self._devnet = provider.devnet
        self._manifest = self._devnet.read_manifest()
        self._lineup = line_up(self._manifest)
        self._loads = 0
        self._ready: list[str] = []
        self._refused: list[str] = []
        self._broken: dict[int, str] = {}
        self._begun_s = 0.0

    async def start(self) -> None:
        """Start the nodes that are there from the beginning.

        Raises:
            DevnetError: one does not come up.
        """
        names = [one.name for one in self._lineup.nodes if not one.is_late]

        def hear(name: str) -> None:
            self._ready.append(name)
            self._tell(f"{name} is ready")

        await self._provider.start(names, hear)
        await restore_links(self._provider, names)

    def explain_start(self, error: BlamedError) -> list[Verdict]:
        """Return what is to be said of a start that failed: each node, and what it wrote last."""
        verdicts = [Verdict(START, False, str(error))]
        for one in self._lineup.nodes:
            if one.is_late:
                continue
            is_ready = one.name in self._ready
            last = "; ".join(self._devnet.read_log_tail(one.name, LOG_LINES)) or "nothing"
            detail = "" if is_ready else f"it wrote: {clean_text(last, LOG_CHARACTERS)}"
            verdicts.append(Verdict(f"{one.name} is ready", is_ready, detail))
        self._note(verdicts)
        return verdicts

    async def perform(self) -> list[Verdict]:
        """Do all that the manifest says; return what became of its checks, and of its load.

        Raises:
            DevnetError: an event cannot be done, a late node does not come up.
            RpcError: a node refuses an event.
        """
        self._begun_s = trio.current_time()
        verdicts: list[Verdict] = []
        with trio.move_on_after(self._manifest.devnet.timeout_ms / 1_000) as scope:
            async with trio.open_nursery() as watchers:
                for number, check in enumerate(self._manifest.check):
                    if check.always:
                        watchers.start_soon(self._watch, number, check)
                await self._do_all()
                verdicts += await perturb_all(self._provider, self._lineup, self._tell)
                for check in self._manifest.check:
                    if not check.always:
                        verdicts.append(await self._check(check))
                watchers.cancel_scope.cancel()
        verdicts += self._list_watched()
        if self._refused:
            verdicts.append(Verdict(LOAD, False, "; ".join(self._refused[:3])))
        if scope.cancelled_caught:
            found = f"not over after {self._manifest.devnet.timeout_ms / 1_000:g} s"
            verdicts.append(Verdict(TIMEOUT, False, found))
        self._note(verdicts)
        return verdicts

    def _note(self, verdicts: Iterable[Verdict]) -> None:
        for one in verdicts:
            self._devnet.note_event("check", name=one.name, ok=one.ok, detail=one.detail)

    # ---------------------------------------------------------------------------- what is done

    async def _do_all(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._load, self._manifest.load.tasks)
            for one in self._lineup.nodes:
                if one.is_late:
                    nursery.start_soon(self._join, one)
            for event in self._manifest.event:
                nursery.start_soon(self._happen, event)

    async def _load(self, tasks: int) -> None:
        if not tasks:
            return
        load, params = self._manifest.load, read_genesis(self._devnet.genesis_path).params
        self._loads += 1
        workload = Workload(
            self._devnet.roster.seed + self._loads,
            self._lineup.publishers,
            len(self._devnet.peers_of(MINER)) - 1,
            params,
            load.submission_epochs,
        )

        def hear(publication: Publication, result: Acknowledged | RpcError | DevnetError) -> None:
            if not isinstance(result, Acknowledged):
                self._refused.append(f"{publication.publisher} {result.code}")

        pause_s = load.every_ms / 1_000
        done = await publish_all(self._provider, workload.iterate(tasks), hear, pause_s)
        self._devnet.note_event("load", asked=tasks, published=len(done))
        self._tell(f"{len(done)} tasks published")

    async def _join(self, one: NodePlan) -> None:
        await self._wait_moment(one.table.start_at_ms, one.table.start_when)
        await start(self._provider, one.name, meets=False)
        self._tell(f"{one.name} joins")

    async def _happen(self, event: EventTable) -> None:
        await self._wait_moment(event.at_ms or 0, event.when)
        targets = self._lineup.resolve(event.target)
        self._tell(describe_event(event, targets))
        await self._do(event, targets)
        # Without a time a disconnected node may dial again at once.
        for_ms = 0 if event.for_ms is None and event.do == DISCONNECT else event.for_ms
        if for_ms is not None:
            await trio.sleep(for_ms / 1_000)
            self._tell(f"{event.do} is over")
            await self._take_back(event, targets)

    async def _wait_moment(self, at_ms: int, when: str) -> None:
        if when:
            await wait_for(self._provider, parse_condition(when), float("inf"))
        else:
            await trio.sleep_until(self._begun_s + at_ms / 1_000)

    async def _do(self, event: EventTable, targets: Sequence[str]) -> None:
        provider = self._provider
        match event.do:
            case "kill":
                await _each(targets, lambda name: kill(provider, name))
            case "stop":
                await _each(targets, lambda name: stop(provider, name))
            case "start":
                await _each(targets, lambda name: start(provider, name, meets=False))
            case "pause":
                await _each(targets, lambda name: pause(provider, name))
            case "resume":
                await _each(targets, lambda name: resume(provider, name))
            case "restart":
                await _each(targets, lambda name: restart(provider, name, meets=False))
            case "upgrade":
                exe, env = event.exe, event.env
                await _each(targets, lambda name: upgrade(provider, name, exe, env, meets=False))
            case "corrupt":
                await _each(targets, lambda name: corrupt(provider, name))
            case "clock":
                await _each(targets, lambda name: set_clock(provider, name, event.offset_ms))
            case "disconnect" | "drop_topic" | "disk_full":
                await _each(targets, lambda name: begin_outage(provider, name, event.do))
            case "partition":
                groups = parse_groups(self._lineup.names, event.groups, self._lineup.sets)
                await partition(provider, groups, one_way=event.one_way)
            case "heal":
                await heal(provider)
            case "link":
                pairs = list_pairs(self._lineup, event.target, one_way=event.one_way)
                await set_links(provider, pairs, plan_link(event))
            case "load":
                await self._load(event.tasks)

    async def _take_back(self, event: EventTable, targets: Sequence[str]) -> None:
        provider = self._provider
        match event.do:
            case "kill" | "stop":
                await _each(targets, lambda name: start(provider, name, meets=False))
            case "pause":
                await _each(targets, lambda name: resume(provider, name))
            case "disconnect" | "drop_topic" | "disk_full":
                await _each(targets, lambda name: end_outage(provider, name, event.do))
            case "partition":
                await heal(provider)
            case "link":
                pairs = list_pairs(self._lineup, event.target, one_way=event.one_way)
                await set_links(provider, pairs, PLAIN)
                await restore_links(provider, {name for pair in pairs for name in pair})
            case "clock":
                offsets = {one.name: one.table.clock_offset_ms for one in self._lineup.nodes}
                await _each(targets, lambda name: set_clock(provider, name, offsets[name]))

    # ------------------------------------------------------------------------- what must hold

    async def _watch(self, number: int, check: CheckTable) -> None:
        condition = parse_condition(check.expr)
        while True:
            finding = await look(self._provider, condition)
            if not finding.ok:
                self._broken[number] = finding.detail
                self._devnet.note_event("broken", name=_name(check), detail=finding.detail)
                return
            await trio.sleep(WATCH_S)

    def _list_watched(self) -> list[Verdict]:
        return [
            Verdict(_name(check), number not in self._broken, self._broken.get(number, "always"))
            for number, check in enumerate(self._manifest.check)
            if check.always
        ]

    async def _check(self, check: CheckTable) -> Verdict:
        name = _name(check)
        self._tell(f"checking {name}")
        condition = parse_condition(check.expr)
        finding = await wait_for(self._provider, condition, check.within_ms / 1_000)
        return Verdict(name, finding.ok, finding.detail)


async def play_all(play: Play) -> list[Verdict]:
    """Start and perform a play; what an event could not do is a verdict that does not hold.

    Raises:
        DevnetError: the nodes do not come up.
    """
    await play.start()
    try:
        return await play.perform()
    except (BlamedError, ExceptionGroup) as error:
        blamed = find_blamed(error)
        if blamed is None:
            raise
        return [Verdict(EVENTS, False, str(blamed))]


def describe_event(event: EventTable, targets: Iterable[str]) -> str:
    """Return an event in a few words."""
    what = event.groups or " ".join(targets) or (str(event.tasks) if event.tasks else "")
    lasting = f" for {event.for_ms / 1_000:g} s" if event.for_ms is not None else ""
    return f"{event.do} {what}".rstrip() + lasting


async def _each(names: Iterable[str], do: Callable[[str], Awaitable[None]]) -> None:
    for name in names:
        await do(name)


def _name(check: CheckTable) -> str:
    return check.name or check.expr
