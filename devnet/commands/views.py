"""What a devnet shows of itself: `status`, `logs`, `exec`, `env`, `wait`, `check`."""

import shlex
import sys
from functools import partial
from typing import Annotated

import trio
from cyclopts import Parameter
from rich.console import Group

from devnet.checks import Verdict, run_checks, survey_devnet
from devnet.cluster import ProcessCluster
from devnet.commands.common import HERE, Json, Where, WhichPeer, print_json, read_seconds
from devnet.conditions import parse_condition
from devnet.demo import find_ledger
from devnet.errors import DevnetError
from devnet.facts import look, wait_for
from devnet.follow import Wanted, compile_pattern, follow_logs
from devnet.layout import DIRECTORY_VARIABLE
from devnet.observe import Observer
from devnet.report import (
    render_ledger,
    render_peers,
    render_reversals,
    render_tasks,
    render_verdicts,
)
from node.commands.common import make_console
from node.exits import Exit


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
            print_json({"peers": view.peers, **counts})
        else:
            lines = (render_tasks(view), render_reversals(view.peers))
            console.print(Group(render_peers(view.peers), "", *lines))

    trio.run(show)


def logs(
    peer: Annotated[str | None, Parameter(help="n1, n2, ...; without one, all.")] = None,
    *,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], help="Go on until Ctrl-C.", negative="")
    ] = False,
    lines: Annotated[
        int | None, Parameter(help="Of each peer, at first; else 20, or all that match.")
    ] = None,
    grep: Annotated[
        str | None, Parameter(help="Only lines with a match of this regular expression.")
    ] = None,
    since: Annotated[str | None, Parameter(help="Only lines of the last 30s, 5m, ...")] = None,
    where: Where = HERE,
) -> None:
    """Print what peers wrote."""
    if lines is not None and lines < 0:
        raise DevnetError("bad_value", f"--lines {lines}", "0 or more")
    wanted = Wanted(
        lines=lines,
        pattern=None if grep is None else compile_pattern(grep),
        since_s=None if since is None else read_seconds(since, "--since"),
    )
    devnet = where.open().devnet
    names = [devnet.peer(peer).name] if peer else list(devnet.names)
    work = partial(follow_logs, devnet, names, wanted, make_console(), goes_on=follow)
    trio.run(work)


def exec_command(
    peer: WhichPeer,
    *words: Annotated[str, Parameter(help="A command of minesync.", allow_leading_hyphen=True)],
    where: Where = HERE,
) -> int:
    """Run another command on one peer: `exec n2 -- task list`."""
    from node.cli import run_command

    if not words:
        raise DevnetError("no_command", f"exec {peer}", f"exec {peer} -- and a command of minesync")
    devnet = where.open().devnet
    paths = devnet.data_paths(devnet.peer(peer).name)
    return run_command([*words, "--data-dir", str(paths.root)])


def env(
    peer: Annotated[str | None, Parameter(help="n1, n2, ...: whose commands are meant.")] = None,
    *,
    where: Where = HERE,
) -> None:
    """Print variables for a shell: `eval "$(minesync devnet env n2)"`, then `minesync status`."""
    devnet = where.open().devnet
    variables = {DIRECTORY_VARIABLE: str(devnet.root)}
    if peer is not None:
        variables["MINESYNC_DATA_DIR"] = str(devnet.data_paths(devnet.peer(peer).name).root)
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


def wait(
    condition: Annotated[str, Parameter(help="Such as 'epoch >= 10 and converged'.")],
    *,
    timeout: Annotated[str, Parameter(help="How long at most.")] = "60s",
    where: Where = HERE,
) -> int:
    """Wait until something holds; the language is in devnet/README.md."""
    tree, limit_s = parse_condition(condition), read_seconds(timeout, "--timeout")
    finding = trio.run(wait_for, where.open(), tree, limit_s)
    make_console().print(finding.detail)
    return Exit.OK if finding.ok else Exit.FAILED


def check(
    *conditions: Annotated[
        str, Parameter(help="Conditions, or names of checks of the manifest; else the usual ones.")
    ],
    as_json: Json = False,
    where: Where = HERE,
) -> int:
    """Check that all peers agree, nothing is lost and all the money is there; or what is asked."""
    cluster = where.open()
    console = make_console()
    if conditions:
        verdicts = trio.run(_check_conditions, cluster, conditions)
    else:
        survey = trio.run(survey_devnet, cluster)
        verdicts = run_checks(survey)
        ledger = find_ledger(survey)
        if ledger is not None and not as_json:
            console.print(render_ledger(ledger))
    if as_json:
        print_json({"verdicts": verdicts})
    else:
        console.print(render_verdicts(verdicts))
    return Exit.OK if all(verdict.ok for verdict in verdicts) else Exit.FAILED


async def _check_conditions(cluster: ProcessCluster, conditions: tuple[str, ...]) -> list[Verdict]:
    named = {one.name: one.expr for one in cluster.devnet.read_manifest().check if one.name}
    verdicts = []
    for text in conditions:
        finding = await look(cluster, parse_condition(named.get(text, text)))
        verdicts.append(Verdict(text, finding.ok, finding.detail))
    return verdicts
