"""What happens on a devnet: `run` plays a manifest, `load` publishes, `demo` shows it all."""

import shlex
import time
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter
from rich.console import Console

from devnet.checks import Verdict
from devnet.cluster import ProcessCluster
from devnet.commands.common import (
    HERE,
    Count,
    Json,
    NetworkKind,
    Report,
    Seed,
    Where,
    check_choice,
    print_json,
    purge,
    with_devnet,
)
from devnet.demo import DemoPlan, run_demo
from devnet.errors import DevnetError
from devnet.founding import COUNT_DEFAULT, DEMO_NAME, choose_seed, found
from devnet.layout import Devnet
from devnet.load import Acknowledged, Publication, Workload, publish_all
from devnet.manifests.reader import load_manifest
from devnet.manifests.tables import ALWAYS, NETWORKS, NEVER, PROCESS, PROVIDERS, Manifest
from devnet.provider import Provider
from devnet.report import explain_kept, render_verdicts
from devnet.run_record import record_run
from devnet.run_report import write_reports
from devnet.scenario import Play, Tell, play_all
from devnet.session import run_guarded
from devnet.virtual.cluster import VirtualCluster, run_virtual
from node.commands.common import make_console
from node.exits import Exit
from node.network import read_genesis
from node.rpc.client import RpcError
from node.telemetry import configure_silently


def run(
    manifest: Annotated[str, Parameter(help="A file, or the name of a shipped one.")],
    *,
    provider: Annotated[
        str | None, Parameter(help="process or sim, instead of what the manifest says.")
    ] = None,
    network: NetworkKind = None,
    seed: Seed = None,
    reset: Annotated[
        bool, Parameter(help="Forget the devnet that was here before.", negative="")
    ] = False,
    report: Report = None,
    as_json: Json = False,
    where: Where = HERE,
) -> int:
    """Play a manifest: start, load, events, checks, stop. A failure leaves it running."""
    check_choice("--provider", provider, PROVIDERS)
    check_choice("--network", network, NETWORKS)
    given = {"provider": provider, "seed": seed, "network": network}
    chosen = with_devnet(load_manifest(manifest), **given)
    if reset:
        purge(where.root)
    devnet = found(where.root, chosen)
    console = Console(stderr=True, markup=False, highlight=False) if as_json else make_console()
    console.print(f"{manifest}: seed {devnet.roster.seed}, {devnet.roster.provider}, {devnet.root}")
    if devnet.roster.provider == PROCESS:
        verdicts, is_kept = _run_processes(devnet, chosen, console, report)
    else:
        verdicts, is_kept = _run_simulation(devnet, console, report), False
    is_good = all(verdict.ok for verdict in verdicts)
    if as_json:
        print_json({"ok": is_good, "seed": devnet.roster.seed, "verdicts": verdicts})
    else:
        console.print(render_verdicts(verdicts))
    if not is_good:
        for line in _explain_failure(devnet, manifest, is_kept=is_kept):
            console.print(line, soft_wrap=True)
    return Exit.OK if is_good else Exit.FAILED


def load(
    *,
    tasks: Annotated[int, Parameter(help="How many.")] = 20,
    seed: Seed = None,
    where: Where = HERE,
) -> int:
    """Publish tasks: source files of the standard library, to be analysed."""
    cluster = where.open()
    params = read_genesis(cluster.devnet.genesis_path).params
    chosen = choose_seed() if seed is None else seed
    workload = Workload.of_devnet(cluster.devnet, chosen, params)
    console = make_console()

    def tell(publication: Publication, result: Acknowledged | RpcError | DevnetError) -> None:
        if isinstance(result, Acknowledged):
            console.print(f"{publication.publisher}  {result.task_id[:12]}  {publication.source}")
        else:
            console.print(f"{publication.publisher}  refused: {result}")

    done = trio.run(publish_all, cluster, workload.iterate(tasks), tell)
    console.print(f"{len(done)} of {tasks} published, seed {chosen}")
    return Exit.OK if len(done) == tasks else Exit.FAILED


def demo(
    *,
    once: Annotated[
        bool, Parameter(help="Stop at the end instead of leaving it running.", negative="")
    ] = False,
    faults: Annotated[
        bool, Parameter(help="Kill and cut off peers meanwhile.", negative="")
    ] = False,
    tasks: Annotated[int, Parameter(help="How many are published.")] = 20,
    peers: Count = None,
    seed: Seed = None,
    report: Report = None,
    where: Where = HERE,
) -> int:
    """Show it all: peers start, tasks are published, answered, judged and paid."""
    chosen = choose_seed() if seed is None else seed
    count = COUNT_DEFAULT if peers is None else peers
    plan = DemoPlan(where.root, count, tasks, chosen, once, faults, report)
    plan.check()
    # What an earlier demonstration left may go; what somebody made with `up` may not.
    if (where.root / "devnet.json").exists():
        if Devnet.load(where.root).roster.name != DEMO_NAME:
            raise DevnetError("devnet_exists", where.root, "`minesync devnet down --purge` first")
        purge(where.root)
    is_good = trio.run(run_demo, plan, make_console())
    return Exit.OK if is_good else Exit.FAILED


def _run_processes(
    devnet: Devnet, manifest: Manifest, console: Console, report: Path | None
) -> tuple[list[Verdict], bool]:
    """Play it on processes; return what became of it, and whether they still run."""
    keep = manifest.devnet.keep
    cluster = ProcessCluster(devnet, guarded=True)
    verdicts: list[Verdict] = []
    begun_s = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"{time.monotonic() - begun_s:7.1f}  {line}")

    async def work() -> bool:
        verdicts.extend(await _play(cluster, tell, report))
        is_good = all(verdict.ok for verdict in verdicts)
        return keep == ALWAYS or (keep != NEVER and not is_good)

    trio.run(run_guarded, cluster, work)
    return verdicts, bool(cluster.find_running())


def _run_simulation(devnet: Devnet, console: Console, report: Path | None) -> list[Verdict]:
    configure_silently()

    def tell(line: str) -> None:
        console.print(f"{trio.current_time():7.1f}  {line}")

    async def work(cluster: VirtualCluster) -> list[Verdict]:
        verdicts = await _play(cluster, tell, report)
        await cluster.stop()
        return verdicts

    return run_virtual(devnet, work)


async def _play(provider: Provider, tell: Tell, report: Path | None) -> list[Verdict]:
    """Play the manifest of a devnet; write a report of it if one is wanted."""
    play = Play(provider, tell)
    if report is None:
        return await play_all(play)
    title = f"{provider.devnet.roster.name}, {provider.devnet.roster.provider}"
    record = await record_run(provider, title, lambda: play_all(play))
    tell(f"report: {write_reports(record, report)[0]}")
    return list(record.verdicts)


def _explain_failure(devnet: Devnet, manifest: str, *, is_kept: bool) -> list[str]:
    if is_kept:
        return ["", *explain_kept(devnet)]
    again = f"minesync devnet run {shlex.quote(manifest)} --seed {devnet.roster.seed}"
    again += f" --provider {devnet.roster.provider} --reset"
    again += f" --dir {shlex.quote(str(devnet.root))}"
    return ["", f"again: {again}", f"what happened: {devnet.events_path}"]
