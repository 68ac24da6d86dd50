"""From a plan that fails to the smallest one that fails in the same way.

First events are left out, by delta debugging (Zeller and Hildebrandt, 2002): halves, then smaller
and smaller pieces. Then peers, then everything is made calmer, parameter by parameter. A change
stays if the run still fails in the same class; fates of messages are keyed hashes, so what is left
fares as before. Again from the start until nothing helps any more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from devnet.sim.fates import CALM
from devnet.sim.plan import PEERS_MIN, Event, Plan
from devnet.sim.run import run_plan

RUNS_MAX = 300
PASSES_MAX = 6
MARGIN_MS = 500
"""Left between the last event and the calm."""

Fails = Callable[[Plan], bool]


@dataclass(slots=True)
class Shrunk:
    """What shrinking came to.

    Attributes:
        plan: the smallest plan found.
        runs: how many runs it took.
    """

    plan: Plan
    runs: int = 0


def shrink_plan(plan: Plan, class_: str, *, runs_max: int = RUNS_MAX) -> Shrunk:
    """Return a smaller plan that fails in the same class.

    Args:
        plan: fails in that class.
        class_: `Failure.class_` of its run.
        runs_max: after so many runs the smallest so far is returned.
    """
    shrunk = Shrunk(plan)

    def fails(candidate: Plan) -> bool:
        if shrunk.runs >= runs_max:
            return False
        shrunk.runs += 1
        failure = run_plan(candidate).failure
        return failure is not None and failure.class_ == class_

    for _ in range(PASSES_MAX):
        before = shrunk.plan
        shrunk.plan = _drop_events(shrunk.plan, fails)
        shrunk.plan = _take_first(shrunk.plan, _list_smaller, fails)
        shrunk.plan = _take_first(shrunk.plan, _list_calmer, fails)
        if shrunk.plan == before:
            break
    return shrunk


def _drop_events(plan: Plan, fails: Fails) -> Plan:
    events = list(plan.events)
    pieces = 2
    while events:
        size = max(1, -(-len(events) // pieces))
        for start in range(0, len(events), size):
            fewer = events[:start] + events[start + size :]
            if fails(replace(plan, events=tuple(fewer))):
                events = fewer
                pieces = max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(events), 2 * pieces)
    return replace(plan, events=tuple(events))


def _take_first(plan: Plan, list_changes: Callable[[Plan], Iterator[Plan]], fails: Fails) -> Plan:
    """Make one change after the other for as long as one of them keeps the failure."""
    while True:
        for candidate in list_changes(plan):
            if candidate != plan and fails(candidate):
                plan = candidate
                break
        else:
            return plan


def _list_smaller(plan: Plan) -> Iterator[Plan]:
    """Yield the plan with one peer less, the last one: what it did is left out, or another's."""
    if plan.peers > PEERS_MIN:
        peers = plan.peers - 1
        smaller = replace(
            plan,
            peers=peers,
            sealers=plan.sealers if peers >= plan.sealers else 1,
            habits=plan.habits[:peers],
            lost=tuple(one for one in plan.lost if one < peers),
            clock_offsets_ms=plan.clock_offsets_ms[:peers],
        )
        kept = tuple(one for one in plan.events if one.peer % plan.peers < peers)
        yield replace(smaller, events=kept)
        yield smaller


def _list_calmer(plan: Plan) -> Iterator[Plan]:
    weather = plan.weather
    for changes in (
        {"loss": 0},
        {"duplication": 0},
        {"reordering": 0},
        {"stragglers": False},
        {"delay_ms_min": CALM.delay_ms_min, "delay_ms_max": CALM.delay_ms_min},
        {"delay_ms_max": weather.delay_ms_min},
    ):
        yield replace(plan, weather=replace(weather, **changes))
    yield replace(plan, buggify=0)
    yield replace(plan, lost=())
    yield replace(plan, links=0)
    yield replace(plan, sealers=1)
    yield replace(plan, clock_offsets_ms=())
    yield replace(plan, habits=())
    for place, habit in enumerate(plan.habits):
        if habit:
            yield replace(plan, habits=(*plan.habits[:place], "", *plan.habits[place + 1 :]))
    last_ms = max((event.at_ms for event in plan.events), default=0)
    if plan.calm_ms > last_ms + MARGIN_MS:
        saved_ms = plan.calm_ms - last_ms - MARGIN_MS
        yield replace(plan, calm_ms=last_ms + MARGIN_MS, end_ms=plan.end_ms - saved_ms)
    yield from _list_shorter(plan)


def _list_shorter(plan: Plan) -> Iterator[Plan]:
    """Yield the plan with the durations and choices of one event halved."""
    for place, event in enumerate(plan.events):
        smaller = tuple(number // 2 for number in event.arguments)
        if smaller != event.arguments:
            shorter = Event(event.at_ms, event.kind, event.peer, smaller)
            yield replace(plan, events=(*plan.events[:place], shorter, *plan.events[place + 1 :]))
