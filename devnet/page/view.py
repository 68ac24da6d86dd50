"""What the page shows: a snapshot as fragments of HTML, by the id of the place they go to.

A fragment is swapped when it has changed. So what people press lies in a fragment of its own, which
changes only when the state of a peer does.
"""

from devnet.draw.markup import Markup, Text, element, join
from devnet.draw.plots import (
    FAULT_LEGEND,
    ROOT_LEGEND,
    describe_propagation,
    describe_roots,
    draw_histogram,
    draw_legend,
    draw_matrix,
    draw_tasks,
    draw_timeline,
)
from devnet.draw.topology import draw_topology
from devnet.observe import PeerView
from devnet.page.deeds import KILL, PAUSE, RESTART, RESUME, START
from devnet.provider import DOWN, PAUSED
from devnet.watch.events import find_spans
from devnet.watch.figures import compute_propagation, compute_rates, show_time
from devnet.watch.links import list_faults
from devnet.watch.snapshot import Snapshot

EPOCHS_SHOWN = 30
EVENTS_SHOWN = 12
TIMELINE_MS = 180_000
ROOT_DIGITS = 12
_MIB = 1 << 20
_COLUMNS = (
    ("peer", ""),
    ("role", ""),
    ("state", ""),
    ("epoch", "number"),
    ("state root", ""),
    ("peers", "number"),
    ("stored", "number"),
    ("per second", "number"),
    ("memory", "number"),
)


def build_view(snapshot: Snapshot) -> dict[str, str]:
    """Return every fragment of the page."""
    return {
        "head": build_head(snapshot),
        "faults": build_faults(snapshot),
        "topology": draw_topology(snapshot),
        "deeds": build_deeds(snapshot),
        "peers": build_peers(snapshot),
        "matrix": build_matrix_part(snapshot),
        "histogram": build_histogram_part(snapshot),
        "timeline": build_timeline_part(snapshot),
        "tasks": draw_tasks(snapshot.view.count_tasks(), snapshot.view.count_provisional()),
        "events": build_events(snapshot),
    }


def build_head(snapshot: Snapshot) -> Markup:
    """Return which devnet it is."""
    known = snapshot.identity
    up = sum(peer.state not in (DOWN, PAUSED) for peer in snapshot.view.peers)
    facts = f"{up} of {len(known.names)} peers up, seed {known.seed}, network {known.network}"
    return join(
        [
            element("h1", None, Text(known.name)),
            element("p", {"class": "soft"}, Text(facts)),
        ]
    )


def build_faults(snapshot: Snapshot) -> Markup:
    """Return the faults in force in a line."""
    faults = list_faults(snapshot)
    if not faults:
        return element("p", {"class": "good"}, Text("no fault in force"))
    return element("p", {"class": "bad"}, Text("in force: " + ", ".join(faults)))


def build_deeds(snapshot: Snapshot) -> Markup:
    """Return for each peer its side of the next partition and its buttons."""
    return element("ul", {"class": "deeds"}, *map(_build_deeds_of, snapshot.view.peers))


def build_peers(snapshot: Snapshot) -> Markup:
    """Return the table of peers."""
    rates = compute_rates(snapshot.history, snapshot.at_ms)
    heads = [element("th", {"class": kind or None}, Text(name)) for name, kind in _COLUMNS]
    rows = [_build_row(peer, rates.get(peer.name, 0.0)) for peer in snapshot.view.peers]
    return element(
        "table",
        None,
        element("thead", None, element("tr", None, *heads)),
        element("tbody", None, *rows),
    )


def build_matrix_part(snapshot: Snapshot) -> Markup:
    """Return the matrix of roots with what it means."""
    epochs = snapshot.history.epochs[-EPOCHS_SHOWN:]
    words = describe_roots(snapshot.history, epochs)
    kind = "bad" if "different" in words else "soft"
    return join(
        [
            element("p", {"class": kind}, Text(words)),
            draw_matrix(snapshot.history, snapshot.identity.names, epochs),
            draw_legend(ROOT_LEGEND),
        ]
    )


def build_histogram_part(snapshot: Snapshot) -> Markup:
    """Return the histogram of propagation with its figures."""
    found = compute_propagation(snapshot.history, snapshot.identity.names)
    words = element("p", {"class": "soft"}, Text(describe_propagation(found)))
    return join([words, draw_histogram(found)])


def build_timeline_part(snapshot: Snapshot) -> Markup:
    """Return the faults of the last minutes."""
    events = snapshot.events
    begin_ms = snapshot.at_ms - TIMELINE_MS
    if events:
        begin_ms = max(begin_ms, events[0].at_ms)
    return join(
        [
            draw_timeline(find_spans(events), events, begin_ms, snapshot.at_ms),
            draw_legend(FAULT_LEGEND),
        ]
    )


def build_events(snapshot: Snapshot) -> Markup:
    """Return the last events, the newest first."""
    lines = [
        element(
            "li",
            None,
            element("time", None, Text(show_time(event.at_ms))),
            Text(event.describe()),
        )
        for event in reversed(snapshot.events[-EVENTS_SHOWN:])
    ]
    return element("ol", {"class": "events"}, *lines)


def _build_deeds_of(peer: PeerView) -> Markup:
    ident = f"side-{peer.name}"
    tick = element("input", {"type": "checkbox", "id": ident, "value": peer.name})
    label = element("label", {"for": ident}, tick, Text(f" {peer.name}"))
    state = element("span", {"class": f"state {peer.state}"}, Text(peer.state))
    buttons = [_build_button(do, peer.name) for do in choose_deeds(peer.state)]
    return element("li", None, label, state, *buttons)


def choose_deeds(state: str) -> tuple[str, ...]:
    """Return what can be done to a peer in this state."""
    if state == DOWN:
        return (START,)
    if state == PAUSED:
        return (RESUME, KILL)
    return (KILL, PAUSE, RESTART)


def _build_button(do: str, peer: str) -> Markup:
    attributes = {
        "type": "button",
        "id": f"{do}-{peer}",
        "data_do": do,
        "data_peer": peer,
        "aria_label": f"{do} {peer}",
    }
    return element("button", attributes, Text(do))


def _build_row(peer: PeerView, rate: float) -> Markup:
    is_seen = bool(peer.state_root)
    cells = (
        peer.name,
        peer.role,
        peer.state,
        str(peer.epoch) if is_seen else "-",
        peer.state_root[:ROOT_DIGITS] or "-",
        str(peer.peers) if is_seen else "-",
        str(peer.transactions) if is_seen else "-",
        f"{rate:.1f}" if is_seen else "-",
        f"{peer.memory_bytes // _MIB} MiB" if peer.memory_bytes else "-",
    )
    kinds = {"state": f"state {peer.state}", "state root": "mono"}
    return element(
        "tr",
        None,
        *(
            element("td", {"class": kinds.get(name, kind) or None}, Text(cell))
            for (name, kind), cell in zip(_COLUMNS, cells, strict=True)
        ),
    )
