"""A run as data: its peers, its weather and every event, in a file that a person can read and cut.

A seed is expanded into a plan (`devnet.sim.generate`), and the plan is what runs. Events name peers
and choices by numbers that are taken modulo what there is, so that any event may be left out and
the others still mean something.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from devnet.errors import DevnetError
from devnet.sim.fates import CALM, DELAY_MS_MAX, Weather
from devnet.sim.sealer_lies import SEALER_HABITS
from protocol.params import SCALE

CORE = "core"
NODE = "node"
LAYERS = (CORE, NODE)
SAFETY = "safety"
LIVENESS = "liveness"
MODES = (SAFETY, LIVENESS)
PEERS_MIN, PEERS_MAX = 2, 12
EVENTS_MAX = 10_000
ARGUMENTS_MAX = 3
END_MS_MAX = 3_600_000
FILE_BYTES_MAX = 4 << 20
NUMBER_MAX = (1 << 63) - 1

WORKLOAD = ("publish", "work", "cancel", "sue", "report", "stake")
UPKEEP = ("clean",)
FAULTS = ("crash", "pause", "wipe", "backup", "rewind", "disk", "full", "cut", "clog")
LIES = ("equivocate", "hoard", "flood", "replay", "backdate", "copy")
KINDS = (*WORKLOAD, *UPKEEP, *FAULTS, *LIES)
"""What an event may be; `devnet.sim.core_world` and `devnet.sim.node_world` say what each does."""
WORKER_HABITS = ("liar", "silent", "censor", "forger", "shy", "partial", "copier")
HABITS = (*WORKER_HABITS, *SEALER_HABITS)
"""What a liar is all the time: one that only lies by events; or one that answers nothing, leaves an
author out, claims a false set, never reveals, scores his friends up and all others down, lives by
the answers of others; or one of the sealers, who lies as such."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is done to the network at a time.

    Attributes:
        at_ms: virtual time.
        kind: one of `KINDS`.
        peer: number of the peer it happens to, or who does it.
        arguments: up to three numbers; what they mean depends on the kind.
    """

    at_ms: int
    kind: str
    peer: int
    arguments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Attributes:
        layer: `core` or `node`.
        mode: `safety` or `liveness`.
        seed: of all draws while it runs.
        peers: how many.
        sealers: how many of them, the first ones, end the epochs; of 3f + 1 at most f may lie.
        links: peers that each is linked with, at least; 0: all.
        late_epochs: of the network.
        buggify: share of the places in the product that act up, in basis points.
        clock_offsets_ms: of the wall clocks, by peer.
        habits: what each peer is: empty for an honest one.
        lost: peers that are never healed; liveness is asked of the others.
        weather: of all links until `calm_ms`.
        calm_ms: from here on nothing goes wrong any more among those not lost.
        end_ms: a run that has not converged by now has failed.
        events: in the order of their times.
    """

    layer: str = CORE
    mode: str = LIVENESS
    seed: int = 0
    peers: int = PEERS_MIN
    sealers: int = 1
    links: int = 0
    late_epochs: int = 8
    buggify: int = 0
    clock_offsets_ms: tuple[int, ...] = ()
    habits: tuple[str, ...] = ()
    lost: tuple[int, ...] = ()
    weather: Weather = CALM
    calm_ms: int = 10_000
    end_ms: int = 60_000
    events: tuple[Event, ...] = ()

    def is_honest(self, peer: int) -> bool:
        """Tell whether a peer never lies."""
        return peer >= len(self.habits) or not self.habits[peer]

    @property
    def core(self) -> tuple[int, ...]:
        """The honest peers that nothing happens to for good: these must become equal."""
        return tuple(
            peer for peer in range(self.peers) if self.is_honest(peer) and peer not in self.lost
        )

    def may_lose_disk(self, peer: int) -> bool:
        """Tell whether the disk of a peer may be wiped: others have all that it had."""
        return peer >= self.sealers or 0 < peer == self.sealers - 1

    def describe(self) -> str:
        """Return the options of the run in one line."""
        plain = asdict(replace(self, events=()))
        weather = plain.pop("weather")
        plain.pop("events")
        pairs = {**plain, **weather, "events": len(self.events)}
        return " ".join(f"{name}={_show(value)}" for name, value in pairs.items())


def write_plan(plan: Plan) -> str:
    """Return the text of a plan, one event a line."""
    plain = asdict(plan)
    events = [[one.at_ms, one.kind, one.peer, *one.arguments] for one in plan.events]
    del plain["events"]
    head = json.dumps(plain, indent=1)[:-2]
    lines = ",\n".join("  " + json.dumps(event) for event in events)
    return f'{head},\n "events": [\n{lines}\n ]\n}}\n'


def read_plan(path: Path) -> Plan:
    """Return the plan in a file.

    Raises:
        DevnetError: `plan_unreadable`, `bad_plan`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        plain = json.loads(data) if len(data) <= FILE_BYTES_MAX else None
    except (OSError, ValueError, RecursionError) as error:
        raise DevnetError("plan_unreadable", f"{path}: {str(error)[:80]}", "a plan") from error
    return parse_plan(plain)


def parse_plan(plain: object) -> Plan:
    """Return the plan that JSON means.

    Raises:
        DevnetError: `bad_plan`.
    """
    names = [one.name for one in fields(Plan)]
    values = _take_object(plain, names, "a plan")
    weather = _take_object(
        values["weather"], [one.name for one in fields(Weather)], "the weather of a plan"
    )
    events = _take_list(values["events"], EVENTS_MAX, "events")
    plan = Plan(
        layer=_choose(values["layer"], LAYERS),
        mode=_choose(values["mode"], MODES),
        seed=_count(values["seed"], NUMBER_MAX),
        peers=_count(values["peers"], PEERS_MAX),
        sealers=_count(values["sealers"], PEERS_MAX, 1),
        links=_count(values["links"], PEERS_MAX),
        late_epochs=_count(values["late_epochs"], 1_000),
        buggify=_count(values["buggify"], SCALE),
        clock_offsets_ms=tuple(
            _count(one, NUMBER_MAX, -NUMBER_MAX)
            for one in _take_list(values["clock_offsets_ms"], PEERS_MAX, "offsets")
        ),
        habits=tuple(
            _choose(one, ("", *HABITS)) for one in _take_list(values["habits"], PEERS_MAX, "habits")
        ),
        lost=tuple(
            _count(one, PEERS_MAX) for one in _take_list(values["lost"], PEERS_MAX, "peers")
        ),
        weather=_read_weather(weather),
        calm_ms=_count(values["calm_ms"], END_MS_MAX),
        end_ms=_count(values["end_ms"], END_MS_MAX),
        events=tuple(_read_event(one) for one in events),
    )
    if plan.peers < PEERS_MIN or 0 not in plan.core:
        raise DevnetError("bad_plan", f"{plan.peers} peers", "two, and the first one honest")
    liars = sum(not plan.is_honest(peer) for peer in range(plan.sealers))
    if plan.sealers > plan.peers or liars > (plan.sealers - 1) // 3:
        found = f"{plan.sealers} sealers, {liars} of them liars"
        raise DevnetError("bad_plan", found, "at most a third of the sealers, less one")
    return plan


def _read_weather(values: dict[str, Any]) -> Weather:
    shares = {name: _count(values[name], SCALE) for name in ("loss", "duplication", "reordering")}
    least = _count(values["delay_ms_min"], DELAY_MS_MAX)
    most = _count(values["delay_ms_max"], DELAY_MS_MAX, least)
    return Weather(
        **shares, delay_ms_min=least, delay_ms_max=most, stragglers=bool(values["stragglers"])
    )


def _read_event(plain: object) -> Event:
    parts = _take_list(plain, 3 + ARGUMENTS_MAX, "an event")
    if len(parts) < 3:
        raise DevnetError("bad_plan", f"an event of {len(parts)}", "[at_ms, kind, peer, ...]")
    arguments = tuple(_count(one, NUMBER_MAX) for one in parts[3:])
    return Event(
        _count(parts[0], END_MS_MAX),
        _choose(parts[1], KINDS),
        _count(parts[2], NUMBER_MAX),
        arguments,
    )


def _take_object(plain: object, names: list[str], what: str) -> dict[str, Any]:
    if not isinstance(plain, dict) or sorted(plain) != sorted(names):
        found = sorted(plain)[:20] if isinstance(plain, dict) else type(plain).__name__
        raise DevnetError("bad_plan", f"{what} with {found}", ", ".join(names))
    return plain


def _take_list(plain: object, most: int, what: str) -> list[Any]:
    if not isinstance(plain, list) or len(plain) > most:
        raise DevnetError("bad_plan", f"{what}: {type(plain).__name__}", f"a list of up to {most}")
    return plain


def _choose(plain: object, choices: tuple[str, ...]) -> str:
    if not isinstance(plain, str) or plain not in choices:
        raise DevnetError("bad_plan", repr(plain)[:64], "one of " + ", ".join(map(repr, choices)))
    return plain


def _count(plain: object, most: int, least: int = 0) -> int:
    if type(plain) is not int or not least <= plain <= most:
        raise DevnetError("bad_plan", repr(plain)[:64], f"a number from {least} to {most}")
    return plain


def _show(value: object) -> str:
    if isinstance(value, tuple | list):
        return ",".join(str(one) or "-" for one in value) or "-"
    return str(value)
