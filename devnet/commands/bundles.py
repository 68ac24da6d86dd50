"""`bundle` and `reproduce`: a devnet in one file for a bug report, and its run again."""

import dataclasses
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from devnet.bundles.bundle import Bundle, describe_place, read_bundle, write_bundle
from devnet.bundles.replay import Comparison, check_harmless, compare_verdicts, describe_roots
from devnet.cluster import ProcessCluster
from devnet.commands.common import (
    HERE,
    Json,
    Report,
    Where,
    check_choice,
    print_json,
    purge,
    with_devnet,
)
from devnet.commands.play import make_play_console, play_manifest
from devnet.founding import found
from devnet.manifests.tables import PROVIDERS
from devnet.outcome import read_outcome
from devnet.report import explain_kept
from node.commands.common import make_console
from node.exits import Exit, find_blamed
from node.text import clean_text
from protocol.errors import BlamedError

_KIB = 1 << 10


def bundle(
    out: Annotated[
        Path | None, Parameter(help="File to write; else NAME-SEED.tar.gz here.")
    ] = None,
    *,
    log_mib: Annotated[int, Parameter(help="MiB of the end of each log.")] = 1,
    where: Where = HERE,
) -> None:
    """Put manifest, events, logs, options, state roots and versions into one file; no key."""
    devnet = where.load()
    roster = devnet.roster
    path = Path(f"{roster.name}-{roster.seed}.tar.gz") if out is None else out.expanduser()
    made = trio.run(write_bundle, ProcessCluster(devnet), path, log_mib)
    console = make_console()
    console.print(f"{path.absolute()}", soft_wrap=True)
    size = path.stat().st_size // _KIB
    console.print(f"{len(made.sizes)} files, {sum(made.sizes.values()) // _KIB} KiB in {size} KiB")
    for peer in roster.peers:
        if peer.env:
            names = ", ".join(sorted(peer.env))
            console.print(f"before you send it: {peer.name} has variables: {names}")


def reproduce(
    path: Annotated[Path, Parameter(name="BUNDLE", help="A file that `bundle` wrote.")],
    *,
    provider: Annotated[
        str | None, Parameter(help="process or sim, instead of the one it ran on.")
    ] = None,
    trust: Annotated[
        bool, Parameter(help="Run the programs that its manifest names.", negative="")
    ] = False,
    reset: Annotated[
        bool, Parameter(help="Forget the devnet that was here before.", negative="")
    ] = False,
    report: Report = None,
    as_json: Json = False,
    where: Where = HERE,
) -> int:
    """Show what a bundle holds, run its manifest again with its seed, and compare the checks."""
    read = read_bundle(path)
    console = make_play_console(as_json=as_json)
    _show(console, read)
    check_choice("--provider", provider, PROVIDERS)
    manifest = with_devnet(read.manifest, provider=provider)
    if not trust:
        check_harmless(manifest)
    if reset:
        purge(where)
    devnet = found(where.root, manifest)
    console.print(f"again: seed {devnet.roster.seed}, {devnet.roster.provider}, {devnet.root}")
    is_kept = False
    try:
        _, is_kept = play_manifest(devnet, manifest, console, report)
    except (BlamedError, ExceptionGroup) as error:
        # Nodes that do not come up may be just what the bundle is about.
        blamed = find_blamed(error)
        if blamed is None or not read_outcome(devnet).verdicts:
            raise
        console.print(clean_text(str(blamed), 400))
    now = read_outcome(devnet)
    comparisons = compare_verdicts(read.outcome, now)
    is_same = all(one.is_same for one in comparisons)
    roots = describe_roots(read.outcome, now)
    if as_json:
        shown = [dataclasses.asdict(one) for one in comparisons]
        print_json({"same": is_same, "checks": shown, "roots": roots})
        return Exit.OK if is_same else Exit.FAILED
    console.print(_render(comparisons))
    console.print(clean_text(roots))
    console.print("the checks came out the same" if is_same else "the checks came out otherwise")
    for line in explain_kept(devnet) if is_kept else ():
        console.print(line, soft_wrap=True)
    return Exit.OK if is_same else Exit.FAILED


def _show(console: Console, read: Bundle) -> None:
    summary = read.summary
    here = describe_place()
    then = (summary.version, summary.python, summary.platform)
    console.print(
        clean_text(f"{summary.name}: seed {summary.seed}, {summary.provider}, {summary.network}")
    )
    for what, before, now in zip(("minesync", "Python", "on"), then, here, strict=True):
        other = "" if before == now else f", here {now}"
        console.print(clean_text(f"  {what} {before}{other}"))
    for name, peer in summary.peers.items():
        root = f", root {peer.state_root[:12]}" if peer.state_root else ""
        line = f"  {name}  {peer.role}, {peer.state}, epoch {peer.epoch}{root}"
        console.print(clean_text(line))
    for name, size in read.sizes.items():
        cut = ", its end" if name in summary.cut else ""
        console.print(clean_text(f"  {name}  {size} bytes{cut}"))
    for verdict in read.outcome.verdicts:
        mark = "PASS" if verdict.ok else "FAIL"
        console.print(clean_text(f"  {mark}  {verdict.name}  {verdict.detail}", 400))
    if summary.again:
        console.print(clean_text(f"  it was part of more: {summary.again}", 1_000))


def _render(comparisons: list[Comparison]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("check", "then", "now"):
        table.add_column(title, overflow="fold")
    for one in comparisons:
        table.add_row(clean_text(one.name), _word(one.then), _word(one.now))
    return table


def _word(ok: bool | None) -> str:
    if ok is None:
        return "-"
    return "PASS" if ok else "FAIL"
