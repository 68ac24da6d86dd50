"""From a seed to a plan: which peers, which weather, what is done to them and when.

Swarm testing: each feature is left out of about half of the plans, so that no feature hides what
others would show. Every choice is in the plan that comes out; the seed itself is only the source of
the draws while it runs.
"""

import random
from collections.abc import Callable

from devnet.sim.fates import Weather
from devnet.sim.plan import (
    CORE,
    LIES,
    LIVENESS,
    NODE,
    SAFETY,
    WORKER_HABITS,
    Event,
    Plan,
)
from devnet.sim.sealer_lies import SEALER_HABITS

DAY_MS = 86_400_000
SAFETY_SHARE = 0.25
LIARS_SHARE_MAX = 0.9
EPOCH_MS = 1_000

_PEERS = {
    CORE: {2: 400, 3: 320, 4: 200, 5: 55, 6: 12, 8: 8, 12: 5},
    NODE: {2: 15, 3: 30, 4: 30, 5: 14, 6: 8, 8: 3},
}
"""How often each number of peers is drawn: most bugs need few, and large networks cost much."""
COUNCIL = 4
"""Sealers of a plan that has several: the fewest of which one may lie."""
COUNCIL_SHARE = {CORE: 0.3, NODE: 0.5}
"""Of the plans with so many peers."""
ROTTEN_SHARE = {CORE: 0.05, NODE: 0.2}
"""Of the plans: with a disk that fails all the time."""
FULL_MESH_PEERS_MAX = 5
_CALM_EPOCHS = {CORE: (5, 9), NODE: (8, 15)}
_DEEDS = (("cancel", 0.15), ("sue", 1.0), ("sue", 0.5), ("report", 0.2), ("stake", 0.15))
"""What people do by hand, each about so often in an epoch; disputes come in crowds or not."""
_LONG_SHARE = 0.07
"""Of the plans: twice as long, so that whole lives of tasks fit between two faults."""
_CONVERGE_MS = {CORE: 30_000, NODE: 180_000}
"""P14: a node waits up to a minute before it tries again whom it could not reach."""


class _Draws:
    """The choices for one plan."""

    def __init__(self, layer: str, seed: int) -> None:
        self.rng = random.Random(f"minesync plan/1 {layer} {seed}")

    def is_on(self, share: float = 0.5) -> bool:
        return self.rng.random() < share

    def pick(self, least: int, most: int) -> int:
        return self.rng.randint(least, most)

    def number(self) -> int:
        return self.rng.getrandbits(16)


def make_plan(layer: str, seed: int) -> Plan:
    """Return the plan of a seed."""
    draws = _Draws(layer, seed)
    peers = draws.rng.choices(*zip(*_PEERS[layer].items(), strict=True))[0]
    mode = SAFETY if draws.is_on(SAFETY_SHARE) else LIVENESS
    calm_ms = draws.pick(*_CALM_EPOCHS[layer]) * EPOCH_MS * (2 if draws.is_on(_LONG_SHARE) else 1)
    has_council = peers >= COUNCIL and draws.is_on(COUNCIL_SHARE[layer])
    sealers = COUNCIL if has_council else 1
    habits = _draw_habits(draws, peers, sealers)
    honest = [peer for peer in range(peers) if not habits[peer]]
    lost = _draw_lost(draws, honest, habits, sealers)
    events = [
        *_draw_workload(draws, peers, calm_ms),
        *_draw_faults(draws, layer, peers, calm_ms),
        *_draw_sealer_faults(draws, sealers, calm_ms),
        *_draw_lies(draws, habits, calm_ms),
    ]
    end_ms = calm_ms + _CONVERGE_MS[layer]
    return Plan(
        layer=layer,
        mode=mode,
        seed=seed,
        peers=peers,
        sealers=sealers,
        links=draws.rng.choice((0, 0, 2, 3) if peers <= FULL_MESH_PEERS_MAX else (2, 3, 4)),
        late_epochs=draws.rng.choice((1, 2, 4, 8, 20)),
        buggify=draws.pick(10, 300) if draws.is_on() else 0,
        clock_offsets_ms=tuple(
            draws.pick(-DAY_MS, DAY_MS) if draws.is_on() else 0 for _ in range(peers)
        ),
        habits=habits,
        lost=lost,
        weather=_draw_weather(draws),
        calm_ms=calm_ms,
        end_ms=calm_ms if mode == SAFETY else end_ms,
        events=tuple(sorted(events, key=lambda one: (one.at_ms, one.kind, one.peer))),
    )


def _draw_weather(draws: _Draws) -> Weather:
    least = draws.pick(1, 30) if draws.is_on() else 2
    return Weather(
        loss=draws.pick(50, 3_000) if draws.is_on() else 0,
        duplication=draws.pick(100, 5_000) if draws.is_on() else 0,
        reordering=draws.pick(100, 5_000) if draws.is_on() else 0,
        delay_ms_min=least,
        delay_ms_max=least + (draws.pick(1, 300) if draws.is_on() else 10),
        stragglers=draws.is_on(),
    )


def _draw_habits(draws: _Draws, peers: int, sealers: int) -> tuple[str, ...]:
    habits = [""] * peers
    if sealers == COUNCIL and draws.is_on(0.65):
        # One of four may lie, and whoever seals the first epochs is as good as any.
        habits[draws.pick(1, sealers - 1)] = draws.rng.choice((*SEALER_HABITS, "silent"))
    if peers - sealers > (sealers == 1) and draws.is_on():
        free = range(sealers, peers)
        most = min(len(free) - (sealers == 1), max(1, int(peers * LIARS_SHARE_MAX)))
        for peer in draws.rng.sample(free, draws.pick(1, most)):
            habits[peer] = draws.rng.choice(("liar", "liar", "partial", *WORKER_HABITS))
    return tuple(habits)


def _draw_lost(
    draws: _Draws, honest: list[int], habits: tuple[str, ...], sealers: int
) -> tuple[int, ...]:
    """Choose who is never healed: not the sealer, nor a second one beside one that lies."""
    first = sealers if any(habits[:sealers]) else 1
    free = [peer for peer in honest if peer >= first]
    if len(honest) > 2 and free and draws.is_on(0.25):
        return (draws.rng.choice(free),)
    return ()


def _draw_workload(draws: _Draws, peers: int, calm_ms: int) -> list[Event]:
    events: list[Event] = []
    per_epoch = draws.rng.choice((0.3, 0.6, 1.0))
    diligence = draws.rng.choice((0.5, 0.8, 1.0))
    cleans = draws.is_on()
    deeds = [(deed, share) for deed, share in _DEEDS if draws.is_on()]
    for start_ms in range(0, calm_ms, EPOCH_MS):
        for peer in range(peers):
            if draws.is_on(diligence):
                at_ms = start_ms + draws.pick(0, EPOCH_MS - 1)
                events.append(Event(at_ms, "work", peer, (draws.number(),)))
        if draws.is_on(per_epoch):
            events.append(_draw_event(draws, start_ms, "publish", peers))
        if cleans and draws.is_on(0.3):
            events.append(_draw_event(draws, start_ms, "clean", peers))
        for deed, share in deeds:
            if draws.is_on(share):
                events.append(_draw_event(draws, start_ms, deed, peers))
    return events


def _draw_event(draws: _Draws, start_ms: int, kind: str, peers: int) -> Event:
    at_ms = start_ms + draws.pick(0, EPOCH_MS - 1)
    return Event(at_ms, kind, draws.pick(0, peers - 1), (draws.number(), draws.number()))


def _draw_faults(draws: _Draws, layer: str, peers: int, calm_ms: int) -> list[Event]:
    everybody = (1 << peers) - 1
    makers: dict[str, Callable[[], tuple[int, ...]]] = {
        "crash": lambda: (draws.pick(0, 10_000), draws.pick(0, 4_000)),
        "pause": lambda: (draws.pick(100, 4_000),),
        "wipe": lambda: (draws.pick(0, 2_000),),
        "disk": lambda: (draws.number(),),
        "full": lambda: (draws.pick(100, 3_000),),
        "cut": lambda: (draws.pick(1, everybody), draws.pick(200, 6_000), int(draws.is_on(0.3))),
    }
    events: list[Event] = []
    for kind, make in makers.items():
        if not draws.is_on():
            continue
        for _ in range(draws.pick(1, 4)):
            at_ms = draws.pick(500, calm_ms - 1)
            events.append(Event(at_ms, kind, draws.pick(0, peers - 1), make()))
    if draws.is_on(ROTTEN_SHARE[layer]):
        # One disk that fails again and again, in whatever its peer is doing.
        peer = draws.pick(0, peers - 1)
        for _ in range(draws.pick(6, 16)):
            at_ms = draws.pick(500, calm_ms - 1)
            events.append(Event(at_ms, "disk", peer, (draws.number(),)))
    if draws.is_on(0.25):
        # A backup is of use to whoever is set back to it.
        peer, at_ms = draws.pick(1, peers - 1), draws.pick(500, calm_ms // 2)
        events.append(Event(at_ms, "backup", peer))
        events.append(Event(draws.pick(at_ms + 1, calm_ms - 1), "rewind", peer, (0,)))
    if draws.is_on(0.3):
        events += _draw_swizzle(draws, peers, calm_ms)
    return events


def _draw_sealer_faults(draws: _Draws, sealers: int, calm_ms: int) -> list[Event]:
    """Kill sealers while they speak, and leave three or two of them together for a while."""
    events: list[Event] = []
    if sealers < COUNCIL:
        return events
    if draws.is_on():
        for _ in range(draws.pick(2, 6)):
            # An epoch ends on the second, more or less, and they have much to say then.
            at_ms = draws.pick(1, calm_ms // EPOCH_MS - 1) * EPOCH_MS + draws.pick(0, 120)
            events.append(Event(at_ms, "crash", draws.pick(0, sealers - 1), (0, draws.pick(0, 50))))
    if draws.is_on():
        for _ in range(draws.pick(1, 3)):
            mask = draws.rng.choice((1, 2, 4, 8, 3, 5, 6))
            at_ms = draws.pick(500, calm_ms - 1)
            events.append(Event(at_ms, "cut", 0, (mask, draws.pick(1_000, 5_000), 0)))
    return events


def _draw_swizzle(draws: _Draws, peers: int, calm_ms: int) -> list[Event]:
    """Clog links one after the other, and let them go in another order."""
    begin_ms = draws.pick(500, max(501, calm_ms - 5_000))
    events = []
    for place in range(draws.pick(2, 6)):
        at_ms = begin_ms + place * draws.pick(50, 300)
        arguments = (draws.pick(0, peers - 1), draws.pick(500, 4_000))
        events.append(Event(at_ms, "clog", draws.pick(0, peers - 1), arguments))
    return events


def _draw_lies(draws: _Draws, habits: tuple[str, ...], calm_ms: int) -> list[Event]:
    events: list[Event] = []
    for peer, habit in enumerate(habits):
        if habit not in ("liar", "partial"):
            continue
        # Who works and is paid has something of his own to claim twice.
        chosen = [kind for kind in LIES if draws.is_on()] if habit == "liar" else ["replay"]
        for kind in chosen:
            # Whoever copies has to be there when others commit and again when they reveal.
            for _ in range(draws.pick(1, 4) if kind != "copy" else calm_ms // 400):
                # Nothing can be claimed before a task is over.
                at_ms = draws.pick(calm_ms // 2 if kind == "replay" else 500, calm_ms - 1)
                arguments = (draws.number(), draws.number(), draws.pick(100, 5_000))
                events.append(Event(at_ms, kind, peer, arguments))
    return events
