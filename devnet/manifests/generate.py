"""Random manifests: valid, runnable on both providers, and the same again for the same seed."""

import random
from dataclasses import replace

from devnet.manifests.lineup import line_up
from devnet.manifests.tables import (
    MINER,
    OBSERVER,
    PERTURBATIONS,
    VALIDATOR,
    CheckTable,
    DevnetTable,
    EventTable,
    GenesisTable,
    GroupTable,
    LinkTable,
    LoadTable,
    Manifest,
    NodeTable,
    ZoneTable,
)
from node.outages import OUTAGES

VALIDATORS = range(3, 6)
MINERS = range(2, 4)
TASKS = range(2, 6)
ZONES = ("east", "west", "south")
QUIET_MS = 3_000
"""Between the load and the first event, and between the end of one and the next."""
LASTS_MS = (1_000, 2_000, 4_000)
SUBMISSION_EPOCHS = 20
"""For answers: longer than all other events together keep anybody away."""
OUTAGE_EPOCHS = 5
"""So much longer for each outage."""
PERTURBED_EPOCHS = 10
"""So much longer for each perturbation: the time away, until all are ready, and between two."""
WORKED_MS = 180_000


def make_random_manifest(seed: int) -> Manifest:
    """Return the manifest of a seed: three to ten nodes, some work, some trouble, all checks."""
    draws = random.Random(f"manifest/{seed}")
    genesis = GenesisTable(
        sealers=("judge",) if draws.random() < 0.5 else (),
        params={"late_epochs": draws.choice((60, 90, 120))},
    )
    zones = _draw_zones(draws)
    group = {
        "judge": _draw_group(draws, VALIDATOR, draws.choice(VALIDATORS), zones),
        "worker": _draw_group(draws, MINER, draws.choice(MINERS), zones),
    }
    single = _draw_nodes(draws, zones)
    _draw_perturbed(seed, single, group)
    base = Manifest(
        devnet=DevnetTable(name=f"random-{seed}", seed=seed),
        genesis=genesis,
        node=single,
        group=group,
        zones=zones,
    )
    tasks, every_ms = draws.choice(TASKS), draws.choice((0, 500, 1_000))
    # A publisher that is away when its turn comes would fail the play.
    begin_ms = tasks * every_ms + QUIET_MS
    link, event = _draw_links(draws, base), _draw_events(draws, base, begin_ms)
    outages = _draw_outages(seed, base, max((_end_ms(one) for one in event), default=begin_ms))
    event += outages
    work = LoadTable(
        tasks=tasks,
        every_ms=every_ms,
        submission_epochs=SUBMISSION_EPOCHS
        + OUTAGE_EPOCHS * len(outages)
        + PERTURBED_EPOCHS * _count_perturbed(base),
    )
    return replace(base, link=link, event=event, load=work, check=_make_checks(tasks))


def _make_checks(tasks: int) -> tuple[CheckTable, ...]:
    paid = f"tasks.completed >= {tasks} and settled"
    sound = "converged and nothing_lost and invariants and money and one_claim"
    return (
        CheckTable(name="no alarm", expr="metric minesync_alarm == 0", always=True),
        CheckTable(name="all paid", expr=paid, within_ms=WORKED_MS),
        CheckTable(name="sound", expr=sound),
    )


def _draw_zones(draws: random.Random) -> dict[str, ZoneTable]:
    if draws.random() < 0.5:
        return {}
    names = ZONES[: draws.choice((2, 3))]
    zones = {}
    for place, name in enumerate(names):
        to = {other: draws.choice((20, 60, 120)) for other in names[place + 1 :]}
        inside_ms, jitter_ms = draws.choice((0, 2, 5)), draws.choice((0, 5, 15))
        zones[name] = ZoneTable(inside_ms=inside_ms, to=to, jitter_ms=jitter_ms)
    return zones


def _draw_group(
    draws: random.Random, role: str, count: int, zones: dict[str, ZoneTable]
) -> GroupTable:
    return GroupTable(role=role, count=count, zone=draws.choice(("", *zones)))


def _draw_nodes(draws: random.Random, zones: dict[str, ZoneTable]) -> dict[str, NodeTable]:
    nodes: dict[str, NodeTable] = {}
    if draws.random() < 0.4:
        offset_ms = draws.choice((0, 60_000, -3_600_000))
        nodes["watcher"] = NodeTable(role=OBSERVER, clock_offset_ms=offset_ms)
    if draws.random() < 0.4:
        zone = draws.choice(("", *zones))
        late = draws.choice(
            (NodeTable(zone=zone, start_at_ms=4_000), NodeTable(zone=zone, start_when="epoch >= 6"))
        )
        nodes["late"] = late
    return nodes


def _draw_perturbed(seed: int, single: dict[str, NodeTable], group: dict[str, GroupTable]) -> None:
    """Let a node or the nodes of a group bear something, one after the other."""
    draws = random.Random(f"manifest/{seed}/perturb")
    if draws.random() < 0.4:
        name = draws.choice((*single, *group))
        count = 1 if name in group else draws.choice((1, 2))
        kinds = tuple(draws.sample(PERTURBATIONS, count))
        if name in group:
            group[name] = replace(group[name], perturb=kinds)
        else:
            single[name] = replace(single[name], perturb=kinds)


def _count_perturbed(base: Manifest) -> int:
    return sum(len(one.table.perturb) for one in line_up(base).nodes)


def _draw_links(draws: random.Random, base: Manifest) -> tuple[LinkTable, ...]:
    names = [one.name for one in line_up(base).nodes]
    links = []
    for _ in range(draws.randrange(3)):
        one, other = draws.sample(names, 2)
        links.append(
            LinkTable(
                between=(one, other),
                latency_ms=draws.choice((10, 50, 150)),
                jitter_ms=draws.choice((0, 20)),
                bandwidth=draws.choice((0, 200_000)),
                reset_after=draws.choice((0, 500_000)),
                one_way=draws.random() < 0.3,
            )
        )
    return tuple(links)


def _draw_events(draws: random.Random, base: Manifest, at_ms: int) -> tuple[EventTable, ...]:
    """Return events one after the other: each is over before the next begins."""
    names = [one.name for one in line_up(base).nodes if not one.is_late]
    events = []
    for _ in range(draws.randrange(4)):
        for_ms = draws.choice(LASTS_MS)
        do = draws.choice(("kill", "stop", "pause", "partition", "clock", "restart", "link"))
        target = (draws.choice(names),)
        if do == "partition":
            side = draws.sample(names, draws.randrange(1, len(names)))
            event = EventTable(do=do, at_ms=at_ms, for_ms=for_ms, groups=",".join(sorted(side)))
        elif do == "clock":
            offset_ms = draws.choice((30_000, -30_000, 86_000_000))
            event = EventTable(
                do=do, at_ms=at_ms, for_ms=for_ms, target=target, offset_ms=offset_ms
            )
        elif do == "restart":
            event = EventTable(do=do, at_ms=at_ms, target=target)
        elif do == "link":
            ends = tuple(draws.sample(names, 2))
            event = EventTable(do=do, at_ms=at_ms, for_ms=for_ms, target=ends, latency_ms=300)
        else:
            event = EventTable(do=do, at_ms=at_ms, for_ms=for_ms, target=target)
        events.append(event)
        at_ms += for_ms + QUIET_MS
    return tuple(events)


def _draw_outages(seed: int, base: Manifest, at_ms: int) -> tuple[EventTable, ...]:
    """Return what nodes lack for a while, one after the other, after all other events."""
    draws = random.Random(f"manifest/{seed}/outages")
    names = [one.name for one in line_up(base).nodes if not one.is_late]
    events = []
    for do in draws.sample(OUTAGES, draws.randrange(3)):
        for_ms = draws.choice(LASTS_MS)
        target = (draws.choice(names),)
        events.append(EventTable(do=do, at_ms=at_ms, for_ms=for_ms, target=target))
        at_ms += for_ms + QUIET_MS
    return tuple(events)


def _end_ms(event: EventTable) -> int:
    return (event.at_ms or 0) + (event.for_ms or 0) + QUIET_MS
