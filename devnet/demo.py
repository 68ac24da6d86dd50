"""The demonstration: a network from nothing to paid rewards, on one machine, in half a minute.

Five processes, each with a port, a database and a key of its own. n1, n2 and n3 validate with the
scorer that is shipped, n1 ends the epochs; n4 and n5 mine with the solver. A publisher may neither
answer its own task nor judge it: so the miners publish, by turns, each for the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trio
from rich.console import Console

from devnet.checks import Ledger, Survey, Verdict, run_checks, survey_devnet
from devnet.cluster import ProcessCluster
from devnet.errors import DevnetError
from devnet.faults import heal, kill, partition, restart
from devnet.founding import DEMO_NAME, assign_roles, found_devnet
from devnet.layout import Devnet
from devnet.live import Screen
from devnet.load import (
    SUBMISSION_EPOCHS,
    Acknowledged,
    Publication,
    Workload,
    check_count,
    publish_all,
)
from devnet.observe import COMPLETED, NetworkView, is_paid, is_settled
from devnet.report import render_report, render_verdicts
from devnet.run_record import RunRecord
from devnet.run_report import write_reports
from devnet.session import run_guarded
from devnet.watch.watcher import LOOK_S, Watcher
from node.network import read_genesis
from node.rpc.client import RpcError

FINISH_S = 240.0
"""From the last publication to the last claim; it takes some twenty epochs on an idle machine."""
FAULTY_EPOCHS = 12
"""For answers, when there are faults: they end well before."""
CUT_S = 3.0


MINERS_MIN = 2
"""One publishes, another answers."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What a demonstration does.

    Attributes:
        once: it ends the peers at its end, and answers by its exit code.
        faults: while work goes on, a validator loses its power and a miner its links.
        report: folder for a report of it; None for none.
    """

    root: Path
    peers: int
    tasks: int
    seed: int
    once: bool
    faults: bool
    report: Path | None = None

    def describe(self) -> str:
        """Return what is asked for, a line each."""
        wanted = (("peers", self.peers), ("tasks", self.tasks), ("seed", self.seed))
        lines = [f"{name} = {value}" for name, value in wanted]
        return "\n".join([*lines, f"faults = {str(self.faults).lower()}", ""])

    def check(self) -> None:
        """Check that the plan can be carried out, before anything of an earlier one is replaced.

        Raises:
            DevnetError: `bad_count`, `no_publisher`.
        """
        miners = assign_roles(self.peers).count("miner")
        if miners < MINERS_MIN:
            found = f"{self.peers} peers, {miners} of them miners"
            raise DevnetError("no_publisher", found, "5 peers or more")
        check_count(self.tasks)


async def run_demo(plan: DemoPlan, console: Console) -> bool:
    """Run the demonstration; return whether every check passed and every task was completed.

    Raises:
        DevnetError: peers do not start, tasks cannot be published, a signal came.
    """
    devnet = found_devnet(plan.root, plan.peers, plan.seed, name=DEMO_NAME)
    cluster = ProcessCluster(devnet, guarded=True)
    outcome: list[bool] = []

    async def work() -> bool:
        outcome.append(await _play(plan, cluster, console))
        return not plan.once

    await run_guarded(cluster, work)
    if not plan.once:
        for line in explain_play(devnet):
            console.print(line)
    return outcome[0]


async def _play(plan: DemoPlan, cluster: ProcessCluster, console: Console) -> bool:
    devnet = cluster.devnet
    params = read_genesis(devnet.genesis_path).params
    epochs = FAULTY_EPOCHS if plan.faults else SUBMISSION_EPOCHS
    workload = Workload.of_devnet(devnet, plan.seed, params, epochs)
    for line in explain_cast(devnet):
        console.print(line)
    began_ms = devnet.read_now_ms()
    watcher = Watcher(cluster)
    with Screen(console) as screen:
        screen.say(f"starting {len(devnet.names)} processes")
        await cluster.start(on_ready=lambda name: screen.say(f"{name} is ready"))

        def tell(publication: Publication, result: Acknowledged | RpcError | DevnetError) -> None:
            if not isinstance(result, Acknowledged):
                screen.say(f"{publication.publisher} refuses {publication.source}: {result}")

        acknowledged = await publish_all(cluster, workload.iterate(plan.tasks), tell)
        screen.say(f"{len(acknowledged)} tasks published")
        if not acknowledged:
            raise DevnetError("nothing_published", "no publication accepted", "at least one")
        view = NetworkView(())
        async with trio.open_nursery() as nursery:
            if plan.faults:
                nursery.start_soon(_disturb, cluster, screen)
            view = await _watch(watcher, screen, {one.task_id for one in acknowledged})
        screen.say("comparing the peers")
        survey = await survey_devnet(cluster)
    last = await watcher.look()
    view = NetworkView(last.view.peers, view.tasks)
    verdicts = run_checks(survey)
    console.print()
    console.print(render_report(devnet, view, find_ledger(survey), verdicts))
    counts = view.count_tasks()
    is_complete = counts.get(COMPLETED, 0) == plan.tasks and is_paid(view)
    if not is_complete:
        verdicts.append(Verdict("paid", False, "not every task was completed and paid"))
        console.print(render_verdicts(verdicts[-1:]))
    if plan.report is not None:
        record = RunRecord("minesync devnet demo", plan.describe(), began_ms, last, verdicts)
        console.print(f"report: {write_reports(record, plan.report)[0]}", soft_wrap=True)
    return all(verdict.ok for verdict in verdicts)


async def _watch(watcher: Watcher, screen: Screen, tasks: set[str]) -> NetworkView:
    """Show the network until every task is over and every reward claimed, or time is up."""
    view = NetworkView(())
    with trio.move_on_after(FINISH_S):
        while True:
            snapshot = await watcher.look()
            view = snapshot.view
            screen.show(snapshot)
            if is_settled(view, tasks):
                return view
            await trio.sleep(LOOK_S)
    screen.say(f"given up after {FINISH_S:g} s")
    return view


async def _disturb(cluster: ProcessCluster, screen: Screen) -> None:
    """Kill a validator and start it anew; cut the last miner off for a while."""
    names = cluster.devnet.names
    victim, hermit = names[1], names[-1]
    await kill(cluster, victim)
    screen.say(f"{victim} killed, as by a power cut")
    await restart(cluster, victim)
    screen.say(f"{victim} is back on its data")
    await partition(cluster, [names[:-1], [hermit]])
    screen.say(f"{hermit} cut off from everybody")
    await trio.sleep(CUT_S)
    await heal(cluster)
    screen.say("healed")


def find_ledger(survey: Survey) -> Ledger | None:
    """Return the ledger of the first peer."""
    return next((survey.ledgers[name] for name in survey.awake if name in survey.ledgers), None)


def explain_cast(devnet: Devnet) -> Sequence[str]:
    """Return what a viewer should know before it begins."""
    lines = [f"devnet of seed {devnet.roster.seed} in {devnet.root}"]
    for peer in devnet.roster.peers:
        role = "liar" if peer.byzantine else peer.role
        seals = ", ends the epochs" if peer.seals else ""
        lines.append(f"  {peer.name}  {role + seals:28} {peer.url}")
    return lines


def explain_play(devnet: Devnet) -> Sequence[str]:
    """Return how to go on with a devnet that runs."""
    return (
        "",
        "It is still running. Try, each as `minesync devnet ...`:",
        "  top                    what happens, here",
        "  page                   what happens, in a browser, with buttons",
        "  load --tasks 10        more work",
        "  partition 'n1,n2|n3'   cut it in two; heal puts it together",
        "  kill n2, restart n2    a power cut, and the return",
        "  check                  do all peers agree, is all the money there?",
        "  down                   end it",
    )
