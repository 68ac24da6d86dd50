"""The report of a run: one HTML file that needs nothing else, and the same as JSON.

Both are pure functions of a `RunRecord`, whichever way the nodes ran. The HTML has no script, and
its own policy forbids all but its one style sheet.
"""

import base64
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from devnet.checks import Verdict
from devnet.draw.markup import Markup, Text, element, join
from devnet.draw.plots import (
    FAULT_LEGEND,
    ROOT_LEGEND,
    describe_propagation,
    describe_roots,
    draw_course,
    draw_epochs,
    draw_histogram,
    draw_legend,
    draw_matrix,
    draw_spreads,
    draw_timeline,
    name_status,
)
from devnet.draw.svg import HUES
from devnet.observe import TASK_ORDER
from devnet.run_record import RunRecord
from devnet.watch.events import RunEvent
from devnet.watch.figures import (
    bin_delays,
    compute_propagation,
    compute_spreads,
    find_divergence,
    show_ms,
)

FORMAT = "minesync-report/1"
HTML_NAME = "report.html"
JSON_NAME = "report.json"
CHECK = "check"
MATRIX_EPOCHS_MAX = 240
"""Columns of the matrix; of a longer run the first and last epochs are shown."""
_CHARACTERS_MAX = 65_536


def write_reports(record: RunRecord, folder: Path) -> tuple[Path, Path]:
    """Write both reports into a folder, which is made if need be; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    html, plain = folder / HTML_NAME, folder / JSON_NAME
    html.write_bytes(build_html(record))
    plain.write_bytes(build_json(record))
    return html, plain


def build_json(record: RunRecord) -> bytes:
    """Return the report for programs; ASCII, keys in a fixed order."""
    history, known = record.last.history, record.last.identity
    found = compute_propagation(history, known.names)
    document: dict[str, Any] = {
        "format": FORMAT,
        "title": record.title,
        "ok": record.ok,
        "devnet": dataclasses.asdict(known),
        "manifest": record.manifest,
        "began_ms": record.began_ms,
        "ended_ms": record.ended_ms,
        "verdicts": [dataclasses.asdict(verdict) for verdict in record.verdicts],
        "events": [_show_event(event) for event in record.events],
        "faults": [dataclasses.asdict(span) for span in record.spans],
        "peers": [dataclasses.asdict(peer) for peer in record.last.view.peers],
        "tasks": record.last.view.count_tasks(),
        "divergence": find_divergence(history),
        "seals": {
            name: [
                [seal.epoch, seal.state_root, seal.at_ms]
                for _, seal in sorted(history.seals.get(name, {}).items())
            ]
            for name in known.names
        },
        "seal_spreads_ms": {str(epoch): ms for epoch, ms in _spreads(record).items()},
        "propagation": {
            "seen_by_all": len(found.delays_ms),
            "unseen": found.unseen,
            "median_ms": found.quantile_ms(50),
            "p95_ms": found.quantile_ms(95),
            "max_ms": found.quantile_ms(100),
            "bins": bin_delays(found.delays_ms),
        },
        "task_course": [[sample.at_ms, dict(sample.tasks)] for sample in history.samples],
    }
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def build_html(record: RunRecord) -> bytes:
    """Return the report for people."""
    style = files("devnet.draw").joinpath("look.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'"
    head = element(
        "head",
        None,
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http_equiv": "Content-Security-Policy", "content": policy}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("title", None, Text(f"minesync: {record.title}")),
        element("style", None, Markup(style)),
    )
    body = element("body", None, _build_head(record), element("main", None, *_build_parts(record)))
    page = "<!doctype html>\n" + element("html", {"lang": "en"}, head, body) + "\n"
    return page.encode("utf-8")


def _build_head(record: RunRecord) -> Markup:
    known = record.last.identity
    lasted = show_ms(max(0, record.ended_ms - record.began_ms))
    facts = f"{len(known.names)} peers, seed {known.seed}, network {known.network}, {lasted}"
    bad = sum(not verdict.ok for verdict in record.verdicts)
    words = f"{bad} of {len(record.verdicts)} checks failed" if bad else "every check holds"
    title = element("h1", None, Text(record.title))
    return element(
        "header",
        None,
        element("div", None, title, element("p", {"class": "soft"}, Text(facts))),
        element("p", {"class": "bad" if bad else "good"}, Text(words)),
    )


def _build_parts(record: RunRecord) -> list[Markup]:
    last, spans = record.last, record.spans
    history, names = last.history, last.identity.names
    span = (record.began_ms, record.ended_ms)
    epochs = _choose_epochs(history.epochs)
    found = compute_propagation(history, names)
    peers = [(f"hue-{place % HUES}", name) for place, name in enumerate(names)]
    seen = {status for sample in history.samples for status in sample.tasks}
    tasks = [
        (f"hue-{place}", name_status(status))
        for place, status in enumerate(TASK_ORDER)
        if status in seen
    ]
    return [
        _section("Checks", _build_verdicts(record.verdicts), is_wide=True),
        _section(
            "State roots by epoch",
            element("p", {"class": "soft"}, Text(describe_roots(history, history.epochs))),
            _scroll(draw_matrix(history, names, epochs)),
            draw_legend(ROOT_LEGEND),
            is_wide=True,
        ),
        _section(
            "Faults over time",
            _scroll(draw_timeline(spans, record.events, *span)),
            draw_legend(FAULT_LEGEND),
        ),
        _section(
            "Epoch of each peer",
            _scroll(draw_epochs(history, names, spans, *span)),
            draw_legend(peers),
        ),
        _section(
            "Time until a transaction was on every peer",
            element("p", {"class": "soft"}, Text(describe_propagation(found))),
            _scroll(draw_histogram(found)),
        ),
        _section(
            "Time from the first to the last seal of an epoch",
            _scroll(draw_spreads(history, names)),
        ),
        _section("Tasks", _scroll(draw_course(history, *span)), draw_legend(tasks)),
        _section("Events", _build_events(record)),
        _section(
            "What was asked for",
            element("pre", None, *_show_lines(record.manifest)),
            is_wide=True,
        ),
    ]


def _build_verdicts(verdicts: Sequence[Verdict]) -> Markup:
    rows = [
        element(
            "tr",
            None,
            element(
                "td",
                {"class": "good" if verdict.ok else "bad"},
                Text("PASS" if verdict.ok else "FAIL"),
            ),
            element("td", None, Text(verdict.name)),
            element("td", {"class": "long"}, Text(verdict.detail)),
        )
        for verdict in verdicts
    ]
    return _scroll(element("table", None, element("tbody", None, *rows)))


def _build_events(record: RunRecord) -> Markup:
    lines = [
        element(
            "li",
            None,
            element("time", None, Text(f"{(event.at_ms - record.began_ms) / 1_000:.1f} s")),
            Text(event.describe()),
        )
        for event in record.events
        # They stand among the verdicts.
        if event.name != CHECK
    ]
    return element("ol", {"class": "events"}, *lines)


def _section(title: str, *parts: Markup, is_wide: bool = False) -> Markup:
    kind = "wide" if is_wide else None
    return element("section", {"class": kind}, element("h2", None, Text(title)), *parts)


def _scroll(part: Markup) -> Markup:
    return element("div", {"class": "scroll", "tabindex": "0"}, part)


def _show_lines(text: str) -> list[Markup]:
    return [join([Markup(Text(line)), Markup("\n")]) for line in text[:_CHARACTERS_MAX].split("\n")]


def _show_event(event: RunEvent) -> dict[str, Any]:
    return {**dataclasses.asdict(event), "facts": dict(event.facts)}


def _spreads(record: RunRecord) -> dict[int, int]:
    return compute_spreads(record.last.history, record.last.identity.names)


def _choose_epochs(epochs: Sequence[int]) -> Sequence[int]:
    if len(epochs) <= MATRIX_EPOCHS_MAX:
        return epochs
    half = MATRIX_EPOCHS_MAX // 2
    return [*epochs[:half], *epochs[-half:]]
