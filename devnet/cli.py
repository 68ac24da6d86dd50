"""`minesync devnet`: the commands, each a few lines over the modules that do the work."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import trio
from cyclopts import App, Parameter
from rich.console import Group

from devnet.checks import run_checks, survey_devnet
from devnet.cluster import ProcessCluster
from devnet.demo import DemoPlan, explain_cast, find_ledger, run_demo
from devnet.errors import DevnetError
from devnet.faults import FAULTS, Fault, heal, partition
from devnet.follow import follow_logs
from devnet.founding import COUNT_DEFAULT, DEMO_NAME, choose_seed, found_devnet
from devnet.layout import Devnet, find_root, parse_groups
from devnet.live import Screen
from devnet.load import Acknowledged, Publication, Workload, publish_all
from devnet.observe import Observer
from devnet.page.server import open_page
from devnet.report import (
    render_ledger,
    render_peers,
    render_reversals,
    render_tasks,
    render_verdicts,
)
from devnet.session import run_guarded
from devnet.top import draw_top
from devnet.watch.watcher import LOOK_S, Watcher
from node.commands.common import make_console
from node.exits import Exit
from node.network import read_genesis
from node.rpc.client import RpcError

app = App(name="devnet", help="Networks of many nodes on this machine.")

WhichPeer = Annotated[str, Parameter(help="n1, n2, ...")]
Count = Annotated[int | None, Parameter(name=["--peers", "-n"], help="How many peers; else 5.")]
Seed = Annotated[int | None, Parameter(help="All keys and choices come from it; else random.")]
Report = Annotated[
    Path | None, Parameter(help="Folder for a report of the run, as HTML and as JSON.")
]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON for programs.", negative="")]


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """The flag that every command takes."""

    dir: Annotated[
        Path | None,
        Parameter(help="Directory of the devnet, else MINESYNC_DEVNET_DIR, else ./.devnet."),
    ] = None

    @property
    def root(self) -> Path:
        """The directory that is meant."""
        return find_root(self.dir)

    def open(self) -> ProcessCluster:
        """Return the devnet that is there."""
        return ProcessCluster(Devnet.load(self.root))


HERE = Where()
ONCE_LINES = 40
"""Of `top --once`: enough for what matters of a large devnet."""


@app.command
def up(
    *,
    peers: Count = None,
    seed: Seed = None,
    sealers: Annotated[
        int | None, Parameter(help="How many of them end the epochs together; else 1.")
    ] = None,
    param: Annotated[
        list[str] | None,
        Parameter(help="A number of the network, such as epoch_ms=500.", negative_iterable=""),
    ] = None,
    reset: Annotated[
        bool, Parameter(help="Forget the devnet that was here before.", negative="")
    ] = False,
    as_json: Json = False,
    where: Where = HERE,
) -> None:
    """Start a devnet and return when every peer is ready. One that was stopped goes on."""
    if reset:
        _purge(where.root)
    devnet = _find_or_found(where.root, peers, sealers, seed, param or [])
    cluster = ProcessCluster(devnet)
    if cluster.find_running():
        raise DevnetError("already_running", f"a devnet in {where.root}", "`minesync devnet down`")
    console = make_console()

    async def work() -> bool:
        await cluster.start(on_ready=tell)
        return True

    def tell(name: str) -> None:
        if not as_json:
            console.print(f"{name} is ready")

    trio.run(run_guarded, cluster, work)
    if as_json:
        sys.stdout.write((devnet.root / "devnet.json").read_text(encoding="utf-8"))
        return
    for line in explain_cast(devnet):
        console.print(line)
    console.print(f"everything a script needs: {devnet.root / 'devnet.json'}")


@app.command
def down(
    *,
    purge: Annotated[bool, Parameter(help="Delete its directory, too.", negative="")] = False,
    where: Where = HERE,
) -> None:
    """Stop every peer."""
    cluster = where.open()
    killed = trio.run(cluster.stop)
    cluster.devnet.forget_processes()
    console = make_console()
    console.print("stopped" + (f", {killed} of them killed" if killed else ""))
    if purge:
        cluster.devnet.delete()
        console.print(f"{where.root} deleted")


@app.command
def status(
    *,
    as_json: Json = False,
    where: Where = HERE,
) -> None:
    """Show every peer: its state, epoch, state root, transactions and memory."""
    cluster = where.open()
    console = make_console()

    async def show() -> None:
        view = await Observer(cluster).look()
        if as_json:
            provisional = view.count_provisional()
            counts = {"tasks": view.count_tasks(), "tasks_provisional": provisional}
            _print_json({"peers": view.peers, **counts})
        else:
            lines = (render_tasks(view), render_reversals(view.peers))
            console.print(Group(render_peers(view.peers), "", *lines))

    trio.run(show)


@app.command
def top(
    *,
    once: Annotated[bool, Parameter(help="Show it once and end.", negative="")] = False,
    where: Where = HERE,
) -> None:
    """Show it all until Ctrl-C: peers, state roots, faults in force, tasks, events."""
    cluster = where.open()
    console = make_console()

    async def show_once() -> None:
        snapshot = await Watcher(cluster).look()
        console.print(draw_top(snapshot, console.width, ONCE_LINES))

    async def keep_showing() -> None:
        watcher = Watcher(cluster)
        with Screen(console, is_whole=True) as screen:
            while True:
                screen.show(await watcher.look())
                await trio.sleep(LOOK_S)

    trio.run(show_once if once else keep_showing)


@app.command
def page(
    *,
    port: Annotated[int, Parameter(help="Of the page; 0: any that is free.")] = 0,
    where: Where = HERE,
) -> None:
    """Serve a web page of the devnet until Ctrl-C: links, roots, faults, and buttons for them."""
    cluster = where.open()
    console = make_console()

    async def serve() -> None:
        async with open_page(cluster, port) as address:
            console.print(address, soft_wrap=True)
            await trio.sleep_forever()

    trio.run(serve)


@app.command
def logs(
    peer: Annotated[str | None, Parameter(help="n1, n2, ...; without one, all.")] = None,
    *,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], help="Go on until Ctrl-C.", negative="")
    ] = False,
    lines: Annotated[int, Parameter(help="Of each peer, at first.")] = 20,
    where: Where = HERE,
) -> None:
    """Print what peers wrote."""
    devnet = where.open().devnet
    names = [devnet.peer(peer).name] if peer else list(devnet.names)
    trio.run(follow_logs, devnet, names, lines, follow)


@app.command(name="exec")
def exec_command(
    peer: WhichPeer,
    *words: Annotated[str, Parameter(help="A command of minesync.", allow_leading_hyphen=True)],
    where: Where = HERE,
) -> int:
    """Run another command on one peer: `exec n2 -- task list`."""
    from node.cli import run_command

    if not words:
        raise DevnetError("no_command", f"exec {peer}", f"exec {peer} -- and a command of minesync")
    paths = where.open().devnet.data_paths(where.open().devnet.peer(peer).name)
    return run_command([*words, "--data-dir", str(paths.root)])


def _make_fault_command(fault: Fault) -> Callable[..., None]:
    def command(peer: WhichPeer, *, where: Where = HERE) -> None:
        cluster = where.open()
        trio.run(fault.apply_to, cluster, peer)
        make_console().print(f"{fault.name} {peer}: done")

    return command


for _fault in FAULTS:
    app.command(_make_fault_command(_fault), name=_fault.name, help=_fault.text)


@app.command(name="partition")
def partition_command(
    groups: Annotated[str, Parameter(help="'n1,n2|n3': whoever is left out is one more group.")],
    *,
    where: Where = HERE,
) -> None:
    """Cut the links between groups of peers."""
    cluster = where.open()
    parsed = parse_groups(cluster.devnet, groups)
    trio.run(partition, cluster, parsed)
    make_console().print(" | ".join(" ".join(group) for group in parsed))


@app.command(name="heal")
def heal_command(*, where: Where = HERE) -> None:
    """Allow every link again."""
    trio.run(heal, where.open())
    make_console().print("healed")


@app.command
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


@app.command
def check(*, as_json: Json = False, where: Where = HERE) -> int:
    """Check that all peers agree, nothing is lost and all the money is there."""
    survey = trio.run(survey_devnet, where.open())
    verdicts = run_checks(survey)
    if as_json:
        _print_json({"verdicts": verdicts})
    else:
        console = make_console()
        ledger = find_ledger(survey)
        if ledger is not None:
            console.print(render_ledger(ledger))
        console.print(render_verdicts(verdicts))
    return Exit.OK if all(verdict.ok for verdict in verdicts) else Exit.FAILED


@app.command
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
        if Devnet.load(where.root).manifest.name != DEMO_NAME:
            raise DevnetError("devnet_exists", where.root, "`minesync devnet down --purge` first")
        _purge(where.root)
    is_good = trio.run(run_demo, plan, make_console())
    return Exit.OK if is_good else Exit.FAILED


def _find_or_found(
    root: Path, peers: int | None, sealers: int | None, seed: int | None, pairs: list[str]
) -> Devnet:
    """Return the devnet that is there, if it is the one asked for, else a new one."""
    params = _read_params(pairs)
    if not (root / "devnet.json").exists():
        count = COUNT_DEFAULT if peers is None else peers
        chosen = choose_seed() if seed is None else seed
        return found_devnet(root, count, chosen, params, sealers=1 if sealers is None else sealers)
    devnet = Devnet.load(root)
    count, own_seed = len(devnet.names), devnet.manifest.seed
    sealing = sum(peer.seals for peer in devnet.manifest.peers)
    is_same = peers in (None, count) and sealers in (None, sealing) and seed in (None, own_seed)
    if params or not is_same:
        found = f"a devnet of {count} peers, {sealing} of them sealers, and seed {own_seed}"
        wanted = "the same, or --reset to make another"
        raise DevnetError("devnet_differs", f"{found} in {root}", wanted)
    return devnet


def _purge(root: Path) -> None:
    """Delete a devnet that does not run; do nothing where there is none."""
    if not (root / "devnet.json").exists():
        return
    cluster = ProcessCluster(Devnet.load(root))
    if cluster.find_running():
        raise DevnetError("already_running", f"a devnet in {root}", "`minesync devnet down` first")
    cluster.devnet.delete()


def _read_params(pairs: list[str]) -> dict[str, int]:
    params: dict[str, int] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not text.isascii() or not text.isdigit():
            raise DevnetError("bad_param", repr(pair[:64]), "name=number")
        params[name] = int(text)
    return params


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, default=dataclasses.asdict) + "\n")
