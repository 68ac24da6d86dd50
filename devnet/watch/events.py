"""The events of a devnet read back: what was done to it, and when each fault began and ended."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from devnet.faults import ENDINGS
from node.outages import OUTAGES

EVENTS_BYTES_MAX = 1 << 20
"""Of the end of the file: some ten thousand events."""

DOWN = "down"
PAUSED = "paused"
CUT = "cut"
_BEGINS = {
    "kill": DOWN,
    "stop": DOWN,
    "restart": DOWN,
    "rm": DOWN,
    "refused": DOWN,
    "pause": PAUSED,
    **{outage: outage for outage in OUTAGES},
}
_ENDS: dict[str, tuple[str, ...]] = {
    "start": (DOWN, PAUSED, *OUTAGES),
    "resume": (PAUSED,),
    **{ending: (outage,) for outage, ending in ENDINGS.items()},
}
_SHOWN_APART = frozenset({"at", "event", "peer", "groups", "one_way", "pid"})


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event.

    Attributes:
        at_ms: when, in milliseconds since 1970.
        name: kill, partition, ...
        peer: to which it happened; empty for what concerns all.
        groups: the sides of a partition.
        is_one_way: the second side hears nothing of the first, which hears it.
        facts: whatever else it says, as text.
    """

    at_ms: int
    name: str
    peer: str = ""
    groups: tuple[tuple[str, ...], ...] = ()
    is_one_way: bool = False
    facts: tuple[tuple[str, str], ...] = ()

    def describe(self) -> str:
        """Return it in a few words, without its time."""
        parts = [self.name, self.peer, describe_groups(self.groups, is_one_way=self.is_one_way)]
        parts += [f"{name}={value}" for name, value in self.facts]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Span:
    """A fault for as long as it lasted.

    Attributes:
        kind: down, paused, cut, or an outage: see `node.outages`.
        peer: that had it; empty for a partition.
        text: the sides of a partition.
        end_ms: None while it lasts.
    """

    kind: str
    peer: str
    begin_ms: int
    end_ms: int | None
    text: str = ""


def describe_groups(groups: Sequence[Sequence[str]], *, is_one_way: bool = False) -> str:
    """Return the sides of a partition: `n1 n2 | n3`."""
    return (" > " if is_one_way else " | ").join(" ".join(group) for group in groups)


def read_events(path: Path) -> tuple[RunEvent, ...]:
    """Return the events of a file, the last of them if it is long; none if it is not there."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - EVENTS_BYTES_MAX))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ()
    # The first line may have lost its beginning, the last one may still be written.
    found = [parse_event(line) for line in text.split("\n")[:-1]]
    return tuple(event for event in found if event is not None)


class EventLog:
    """The events of a file, read anew only when it has changed.

    Args:
        path: of the file, which may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self._events: tuple[RunEvent, ...] = ()

    def read(self) -> tuple[RunEvent, ...]:
        """Return the events there are now; see `read_events`."""
        size = self._path.stat().st_size if self._path.exists() else 0
        if size != self._size:
            self._size, self._events = size, read_events(self._path)
        return self._events


def parse_event(line: str) -> RunEvent | None:
    """Return the event of a line of JSON, None if it is none."""
    try:
        facts = json.loads(line)
        at = datetime.fromisoformat(facts["at"])
        return RunEvent(
            at_ms=round(at.timestamp() * 1_000),
            name=str(facts["event"]),
            peer=str(facts.get("peer", "")),
            groups=tuple(tuple(map(str, group)) for group in facts.get("groups", ())),
            is_one_way=bool(facts.get("one_way", False)),
            facts=_read_facts(facts),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def find_spans(events: Iterable[RunEvent]) -> list[Span]:
    """Return how long peers were down, paused or without something, and links were cut, in order.

    A partition ends with the next one or with `heal`; a peer that is down is not paused and lacks
    nothing.
    """
    spans: list[Span] = []
    # By kind and peer, the place of the span that lasts.
    lasting: dict[tuple[str, str], int] = {}

    def begin(event: RunEvent, kind: str, text: str = "") -> None:
        if (kind, event.peer) not in lasting:
            lasting[(kind, event.peer)] = len(spans)
            spans.append(Span(kind, event.peer, event.at_ms, None, text))

    def end(event: RunEvent, *kinds: str) -> None:
        for kind in kinds:
            place = lasting.pop((kind, event.peer), None)
            if place is not None:
                spans[place] = _end_span(spans[place], event.at_ms)

    for event in events:
        if event.name == "partition":
            end(event, CUT)
            begin(event, CUT, describe_groups(event.groups, is_one_way=event.is_one_way))
        elif event.name == "heal":
            end(event, CUT)
        elif event.name in _BEGINS:
            if _BEGINS[event.name] == DOWN:
                end(event, PAUSED, *OUTAGES)
            begin(event, _BEGINS[event.name])
        elif event.name in _ENDS:
            end(event, *_ENDS[event.name])
    return spans


def _end_span(span: Span, at_ms: int) -> Span:
    return Span(span.kind, span.peer, span.begin_ms, max(span.begin_ms, at_ms), span.text)


def _read_facts(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (str(name), value if isinstance(value, str) else json.dumps(value))
        for name, value in facts.items()
        if name not in _SHOWN_APART
    )
