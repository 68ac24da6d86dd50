"""`minesync sim`: seeds in bulk, one seed again, a failing one made small, planted bugs."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from devnet.errors import DevnetError
from devnet.sim.batch import Tally, find_commit, run_batch
from devnet.sim.generate import make_plan
from devnet.sim.plan import CORE, LAYERS, NODE, Plan, read_plan, write_plan
from devnet.sim.repeat import describe_repeats, repeat_plan
from devnet.sim.run import Report, run_plan
from devnet.sim.shrink import shrink_plan
from devnet.sim.zoo import describe_hunts, hunt, planted
from devnet.sim.zoo_all import ALL_BUGS
from node.commands.common import COMMON, Common, make_console
from node.commands.progress import show_progress
from node.exits import Exit
from node.telemetry import configure_silently

app = App(name="sim", help="Whole networks in virtual time: one seed is one run.")

SEEDS_DEFAULT = {CORE: 1_000, NODE: 50}
SHOWN_FAILURES = 10
TRACE_DIGITS = 16

Layer = Annotated[
    str, Parameter(help="core: a heap of events, fast; node: run_peer itself in one loop of trio.")
]
What = Annotated[str, Parameter(help="A seed, or a plan in a file.")]


@app.command
def run(
    *,
    layer: Layer = CORE,
    seeds: Annotated[int | None, Parameter(help="How many; else 1,000 or 50.")] = None,
    first: Annotated[int, Parameter(help="The first seed.")] = 0,
    processes: Annotated[int, Parameter(help="That share the work.")] = 2,
    limit: Annotated[float | None, Parameter(help="Seconds after which none is begun.")] = None,
    common: Common = COMMON,
) -> int:
    """Run many seeds; print what failed, and one line about all of them."""
    _check_layer(layer)
    count = SEEDS_DEFAULT[layer] if seeds is None else seeds
    with show_progress(common, f"sim {layer}") as tell:
        tally = run_batch(
            layer,
            first,
            count,
            processes=processes,
            limit_s=limit,
            on_progress=lambda done: tell(done.seeds, count),
        )
    line = tally.describe(first, find_commit())
    if common.json:
        print(json.dumps(_describe_tally(tally, line)))
    else:
        _show_tally(make_console(), tally, line)
    return Exit.OK if tally.is_good else Exit.FAILED


@app.command
def replay(
    what: What, *, layer: Layer = CORE, plan: Annotated[bool, Parameter(help="Print it.")] = False
) -> int:
    """Run one seed, or a plan in a file, and print its trace."""
    configure_silently()
    chosen = _find_plan(what, layer)
    console = make_console()
    if plan:
        console.print(write_plan(chosen), end="")
    console.print(chosen.describe(), soft_wrap=True)
    report = run_plan(chosen)
    _show_report(console, report)
    return Exit.OK if report.failure is None else Exit.FAILED


@app.command
def repeat(what: What, *, layer: Layer = CORE) -> int:
    """Run a seed or plan nine times in processes that hash differently; there must be one trace."""
    chosen = _find_plan(what, layer)
    traces = repeat_plan(chosen)
    make_console().print(describe_repeats(chosen, traces), soft_wrap=True)
    return Exit.OK if len(set(traces)) == 1 else Exit.FAILED


@app.command
def shrink(
    what: What,
    *,
    layer: Layer = CORE,
    out: Annotated[
        Path | None, Parameter(help="Where to write the plan; else it is printed.")
    ] = None,
) -> int:
    """Find the smallest plan that fails as this seed or plan does."""
    configure_silently()
    chosen = _find_plan(what, layer)
    failure = run_plan(chosen).failure
    if failure is None:
        raise DevnetError("nothing_to_shrink", f"{what} fails nowhere", "a seed or plan that fails")
    shrunk = shrink_plan(chosen, failure.class_)
    console = make_console()
    text = write_plan(shrunk.plan)
    if out is None:
        console.print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
    console.print(
        f"{failure.class_}: {len(chosen.events)} events, {chosen.peers} peers"
        f" became {len(shrunk.plan.events)}, {shrunk.plan.peers} in {shrunk.runs} runs"
    )
    return Exit.OK


@app.command
def zoo(
    *,
    bugs: Annotated[
        list[str] | None, Parameter(name="--bug", help="One of them.", negative_iterable="")
    ] = None,
    seeds: Annotated[int | None, Parameter(help="Tried for each; else 5,000, or 200.")] = None,
    keep: Annotated[
        Path | None, Parameter(help="Folder for the smallest plan that shows each.")
    ] = None,
) -> int:
    """Plant bugs into the product, one after the other, and see that each is found."""
    configure_silently()
    known = {bug.name: bug for bug in ALL_BUGS}
    for name in bugs or ():
        if name not in known:
            raise DevnetError("unknown_bug", repr(name[:64]), ", ".join(known))
    console = make_console()
    hunts = []
    for bug in [known[name] for name in bugs] if bugs else ALL_BUGS:
        done = hunt(bug, seeds_max=seeds)
        hunts.append(done)
        if keep is not None and done.seed is not None and done.failure is not None:
            with planted(bug):
                shrunk = shrink_plan(make_plan(bug.layer, done.seed), done.failure.class_)
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"zoo_{bug.name}.json").write_text(write_plan(shrunk.plan), encoding="utf-8")
        found = "not found" if done.failure is None else done.failure.class_
        console.print(f"{done.seeds:5}  {bug.name:26} {found}", soft_wrap=True)
    console.print(describe_hunts(hunts))
    return Exit.OK if all(one.seed is not None for one in hunts) else Exit.FAILED


def _find_plan(what: str, layer: str) -> Plan:
    _check_layer(layer)
    if what.isascii() and what.isdigit() and len(what) <= 18:
        return make_plan(layer, int(what))
    return read_plan(Path(what))


def _check_layer(layer: str) -> None:
    if layer not in LAYERS:
        raise DevnetError("bad_layer", repr(layer[:32]), " or ".join(LAYERS))


def _show_tally(console: Console, tally: Tally, line: str) -> None:
    for seed, failure in tally.failures[:SHOWN_FAILURES]:
        console.print(f"seed {seed}: {failure.class_}: {failure.text[:160]}")
        if failure.where:
            console.print(f"  {failure.where}")
        console.print(f"  minesync sim shrink {seed} --layer {tally.layer}")
    if tally.missed:
        console.print("never reached: " + "; ".join(tally.missed))
    console.print(line, soft_wrap=True)


def _describe_tally(tally: Tally, line: str) -> dict[str, object]:
    return {
        "line": line,
        "seeds": tally.seeds,
        "failed": tally.failed,
        "failures": [[seed, one.class_, one.text] for seed, one in tally.failures],
        "reached": dict(sorted(tally.reached.items())),
        "missed": list(tally.missed),
    }


def _show_report(console: Console, report: Report) -> None:
    for name, count in sorted(report.reached.items()):
        console.print(f"{count:6} {name}")
    console.print(f"trace {report.trace[:TRACE_DIGITS]}")
    failure = report.failure
    if failure is not None:
        console.print(f"{failure.class_}: {failure.text}")
        if failure.where:
            console.print(f"  {failure.where}")
