"""The tables of a manifest, field by field. Everything else about manifests is drawn from here.

The reader, the JSON Schema, the README's table and the writer know no field by name.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from devnet.genesis import BALANCE_NANO, SEED_MAX
from devnet.manifests.fields import (
    CONDITION,
    DURATION,
    FLAG,
    NAME,
    OFFSET,
    OPTION_VALUES,
    SHARE,
    SIZE,
    TEXT,
    choice,
    entry,
    integer,
    list_of,
    table_of,
)
from devnet.sim.plan import LIES
from node.outages import DISCONNECT, DISK_FULL, DROP_TOPIC, OUTAGES
from protocol.params import MINIMAL, NANO_PER_COIN, Params

PROCESS = "process"
SIM = "sim"
PROVIDERS = (PROCESS, SIM)

LOOPBACK = "loopback"
NAMESPACES = "namespaces"
NETWORKS = (LOOPBACK, NAMESPACES)

VALIDATOR = "validator"
MINER = "miner"
OBSERVER = "observer"
ROLES = (VALIDATOR, MINER, OBSERVER)

NEVER = "never"
ON_FAILURE = "on-failure"
ALWAYS = "always"

NODES_MAX = 128
COINS_MAX = 10_000_000
TASKS_MAX = 10_000
PORT_LEAST = 1_024
PORT_MOST = 65_535
SPARES_MAX = 32
PERTURBATIONS_MAX = 16

REAL = ("upgrade", "corrupt")
"""Deeds that need a process with files of its own."""
TARGETED = ("kill", "stop", "start", "pause", "resume", "restart", "clock", *OUTAGES, *REAL)
DEEDS = (*TARGETED, "partition", "heal", "link", "load")
"""What an event can do."""
PERTURBATIONS = ("kill", "pause", DISCONNECT, "restart")
"""What one node can be made to bear by itself."""
LASTING = ("kill", "stop", "pause", "partition", "link", "clock", *OUTAGES)
"""Those that `for` can take back."""
PASSING = (DISK_FULL, DROP_TOPIC)
"""Those that must say for how long."""


def list_params() -> tuple[str, ...]:
    """Return the parameters of a network that are one number."""
    return tuple(
        one.name for one in dataclasses.fields(Params) if type(getattr(MINIMAL, one.name)) is int
    )


PARAM_VALUES = table_of(integer(0, (1 << 53) - 1), "parameters of the network", list_params)
NAMES = list_of(NAME)


@dataclass(frozen=True, slots=True)
class DevnetTable:
    """The devnet as a whole."""

    name: str = entry("devnet", "Name of the network.", NAME)
    provider: str = entry(
        PROCESS,
        "process: a program for each node, real time. sim: one program, virtual time, one seed is"
        " one run.",
        choice(*PROVIDERS),
    )
    network: str = entry(
        LOOPBACK,
        "loopback: all processes on 127.0.0.1, cuts and links made inside the nodes. namespaces:"
        " each in a network namespace of its own; the kernel of Linux does it, for root.",
        choice(*NETWORKS),
    )
    seed: int | None = entry(
        None, "Keys, network id and choices come from it.", integer(0, SEED_MAX), shown="random"
    )
    base_port: int = entry(
        0,
        "First of two ports for each node; 0 takes free ones below those that the kernel uses.",
        integer(0, PORT_MOST),
    )
    keep: str = entry(
        ON_FAILURE,
        "When `run` leaves the nodes running; a simulation always ends.",
        choice(NEVER, ON_FAILURE, ALWAYS),
    )
    timeout_ms: int = entry(
        300_000, "For all that `run` does but the start.", DURATION, key="timeout"
    )


@dataclass(frozen=True, slots=True)
class GenesisTable:
    """What the network agrees on at its beginning."""

    balance: int = entry(
        BALANCE_NANO // NANO_PER_COIN, "Coins of each node's account.", integer(1, COINS_MAX)
    )
    spare_accounts: int = entry(
        4, "Further rich accounts, for nodes that `add` brings.", integer(0, SPARES_MAX)
    )
    sealers: tuple[str, ...] = entry(
        (),
        "Nodes or groups that end the epochs together; of 3f + 1 of them f may fail.",
        NAMES,
        shown="the first node that starts at once",
    )
    params: dict[str, int] = entry(
        {}, "Numbers of the network that differ from a devnet's usual ones.", PARAM_VALUES
    )


@dataclass(frozen=True, slots=True)
class NodeTable:
    """One node. `[defaults]` has the same fields and holds where a node says nothing."""

    role: str = entry(
        OBSERVER, "What it does: judge answers, answer tasks, or watch.", choice(*ROLES)
    )
    config: dict[str, Any] = entry(
        {}, "Options of the node, as in its own file: config.sync.sessions_max = 2.", OPTION_VALUES
    )
    dials: tuple[str, ...] | None = entry(
        None,
        "Nodes that it keeps connected; each link needs one end that dials.",
        NAMES,
        shown="the nodes before it, four at most beyond eight",
    )
    start_at_ms: int = entry(
        0, "When it starts, from the start of the first.", DURATION, key="start_at"
    )
    start_when: str = entry(
        "", "Starts once this holds, instead of at a time.", CONDITION, shown="none"
    )
    zone: str = entry("", "One of [zones]; it says how far others are.", NAME, shown="none")
    clock_offset_ms: int = entry(0, "How wrong its wall clock is.", OFFSET, key="clock_offset")
    publishes: bool = entry(True, "Whether a miner publishes tasks of the load.", FLAG)
    byzantine: tuple[str, ...] = entry(
        (), "How it cheats; it then has no honest role.", list_of(choice(*LIES), most=len(LIES))
    )
    perturb: tuple[str, ...] = entry(
        (),
        "Done to it once load and events are over, one by one, all nodes ready in between.",
        list_of(choice(*PERTURBATIONS), most=PERTURBATIONS_MAX),
    )
    exe: str = entry(
        "",
        "A Python with another release installed, to run this node.",
        TEXT,
        shown="the one that runs",
    )
    env: dict[str, str] = entry(
        {}, "Variables of its environment.", table_of(TEXT, "names of variables")
    )
    p2p_port: int = entry(0, "Its port for peers; 0: by base_port.", integer(0, PORT_MOST))
    rpc_port: int = entry(0, "Its port for the operator; 0: by base_port.", integer(0, PORT_MOST))


@dataclass(frozen=True, slots=True)
class GroupTable(NodeTable):
    """Several nodes that are alike, NAME1, NAME2, ...: the fields of a node, and how many."""

    count: int = entry(1, "How many.", integer(1, NODES_MAX), required=True)


@dataclass(frozen=True, slots=True)
class ZoneTable:
    """A place: how far its nodes are from each other and from those of other zones."""

    inside_ms: int = entry(0, "Latency between two nodes of the zone.", DURATION, key="inside")
    to: dict[str, int] = entry(
        {},
        "Latency to nodes of other zones, both ways; one of the two says it.",
        table_of(DURATION, "zones"),
    )
    jitter_ms: int = entry(
        0, "At most so much more, on each way out of a node of the zone.", DURATION, key="jitter"
    )


@dataclass(frozen=True, slots=True)
class LinkFields:
    """What a link can be like; shared by `[[link]]` and events."""

    latency_ms: int = entry(0, "Added to each message.", DURATION, key="latency")
    jitter_ms: int = entry(
        0, "At most so much more, drawn for each message.", DURATION, key="jitter"
    )
    bandwidth: int = entry(0, "A second, each way; 0B: no bound.", SIZE)
    reset_after: int = entry(
        0, "Bytes after which the stream that sends them breaks; 0B: never.", SIZE
    )
    loss: int = entry(0, "Of the packets, each way; only with devnet.network = namespaces.", SHARE)
    one_way: bool = entry(False, "Only from the first to the second.", FLAG)


@dataclass(frozen=True, slots=True)
class LinkTable(LinkFields):
    """A link, or all links between two sets of nodes; a later one replaces an earlier one."""

    between: tuple[str, ...] = entry(
        (), "Two nodes, groups or zones.", list_of(NAME, least=2, most=2), required=True
    )


@dataclass(frozen=True, slots=True)
class EventTable(LinkFields):
    """Something that is done to the network, at a time or once a condition holds."""

    do: str = entry("", "What.", choice(*DEEDS), required=True)
    at_ms: int | None = entry(
        None,
        "When, from the moment at which the first nodes are ready.",
        DURATION,
        key="at",
        shown="none",
    )
    when: str = entry("", "Once this holds, instead of at a time.", CONDITION, shown="none")
    for_ms: int | None = entry(
        None, "Taken back after so long.", DURATION, key="for", shown="never"
    )
    target: tuple[str, ...] = entry((), "Nodes, groups or zones it is done to.", NAMES)
    groups: str = entry(
        "", "For partition: 'n1,n2|n3', whoever is left out is one more group.", TEXT
    )
    offset_ms: int = entry(0, "For clock: how wrong it is from then on.", OFFSET, key="offset")
    exe: str = entry(
        "",
        "For upgrade: a Python with another release installed, from then on.",
        TEXT,
        shown="the one it has",
    )
    env: dict[str, str] = entry(
        {},
        "For upgrade: variables that its environment gets besides.",
        table_of(TEXT, "names of variables"),
    )
    tasks: int = entry(0, "For load: how many are published.", integer(0, TASKS_MAX))


@dataclass(frozen=True, slots=True)
class LoadTable:
    """Tasks that are published from the beginning: source files to be analysed."""

    tasks: int = entry(0, "How many.", integer(0, TASKS_MAX))
    every_ms: int = entry(0, "Pause between two.", DURATION, key="every")
    submission_epochs: int = entry(6, "For answers.", integer(1, 10_000))


@dataclass(frozen=True, slots=True)
class CheckTable:
    """What must hold."""

    expr: str = entry("", "A condition.", CONDITION, required=True)
    name: str = entry("", "For people.", TEXT, shown="the condition")
    within_ms: int = entry(
        30_000,
        "It has so long to come true, once load and events are over.",
        DURATION,
        key="within",
    )
    always: bool = entry(
        False, "It must hold at every look from the start to the end, instead.", FLAG
    )


def table(kind: type, shape: str, doc: str) -> Any:
    """Return the field of a table, or of several: `one`, `map` by name, or `list`."""
    makers: dict[str, Any] = {"one": kind, "map": dict, "list": tuple}
    meta = {"table": kind, "shape": shape, "doc": doc}
    return dataclasses.field(default_factory=makers[shape], metadata=meta)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest.

    What `[defaults]` says has already been put into the nodes and groups that say nothing.
    """

    devnet: DevnetTable = table(DevnetTable, "one", "[devnet]")
    genesis: GenesisTable = table(GenesisTable, "one", "[genesis]")
    defaults: NodeTable = table(NodeTable, "one", "[defaults]")
    node: dict[str, NodeTable] = table(NodeTable, "map", "[node.NAME]")
    group: dict[str, GroupTable] = table(GroupTable, "map", "[group.NAME]")
    zones: dict[str, ZoneTable] = table(ZoneTable, "map", "[zones.NAME]")
    link: tuple[LinkTable, ...] = table(LinkTable, "list", "[[link]]")
    event: tuple[EventTable, ...] = table(EventTable, "list", "[[event]]")
    load: LoadTable = table(LoadTable, "one", "[load]")
    check: tuple[CheckTable, ...] = table(CheckTable, "list", "[[check]]")
