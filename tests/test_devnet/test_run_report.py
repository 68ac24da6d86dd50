"""The report of a run: it says what happened, needs nothing else, and shows no foreign markup."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

from devnet.checks import Verdict
from devnet.run_record import RunRecord
from devnet.run_report import FORMAT, build_html, build_json, write_reports
from devnet.watch.events import RunEvent
from tests.support.snapshots import (
    BEGIN_MS,
    EPOCHS,
    HOSTILE,
    NAMES,
    NOW_MS,
    a_history,
    a_hostile_snapshot,
    a_root,
    a_troubled_snapshot,
)

MANIFEST = 'name = "cut"\nseed = 7\n'


def a_record() -> RunRecord:
    last = replace(a_troubled_snapshot(), history=a_history(parted_from=30))
    verdicts = (Verdict("converged", False, "epoch 30"), Verdict("money", True, "all there"))
    return RunRecord("cut.toml", MANIFEST, BEGIN_MS, last, verdicts)


def a_hostile_record() -> RunRecord:
    verdicts = (Verdict(HOSTILE, False, HOSTILE),)
    return RunRecord(HOSTILE, HOSTILE, BEGIN_MS, a_hostile_snapshot(), verdicts)


def test_the_json_has_all_that_happened() -> None:
    document = json.loads(build_json(a_record()))
    assert (document["format"], document["ok"], document["manifest"]) == (FORMAT, False, MANIFEST)
    assert document["devnet"]["seed"] == 7
    assert (document["began_ms"], document["ended_ms"]) == (BEGIN_MS, NOW_MS)
    assert document["verdicts"][0] == {"name": "converged", "ok": False, "detail": "epoch 30"}
    assert [event["name"] for event in document["events"]] == [
        "pause",
        "resume",
        "partition",
        "kill",
    ]
    assert [(fault["kind"], fault["end_ms"] is None) for fault in document["faults"]] == [
        ("paused", False),
        ("cut", True),
        ("down", True),
    ]
    assert document["divergence"] == 30
    assert document["seals"]["n5"][-1] == [EPOCHS, a_root(EPOCHS, "b"), BEGIN_MS + 40_060]
    assert len(document["seal_spreads_ms"]) == EPOCHS
    assert document["propagation"]["seen_by_all"] == 60
    assert sum(count for _, count in document["propagation"]["bins"]) == 60
    assert document["peers"][1]["state"] == "down"
    assert document["task_course"][0] == [BEGIN_MS, {"in_progress": 12, "completed": 0}]


def test_what_was_before_the_run_is_no_part_of_it() -> None:
    last = replace(a_troubled_snapshot(), events=(RunEvent(BEGIN_MS - 1, "kill", "n1"),))
    record = replace(a_record(), last=last)
    assert record.events == []
    assert record.spans == []


def test_the_page_has_every_part_and_every_verdict() -> None:
    page = build_html(a_record()).decode()
    for part in ("FAIL", "converged", "PASS", "all there", "cut.toml", "seed = 7", *NAMES):
        assert part in page, part
    assert "1 of 2 checks failed" in page
    assert page.count("<svg") == 6
    good = build_html(replace(a_record(), verdicts=a_record().verdicts[1:])).decode()
    assert "every check holds" in good


def test_the_page_needs_nothing_else_and_allows_nothing_else() -> None:
    page = build_html(a_record()).decode()
    assert "://" not in page
    assert not re.search(r"<(script|link|img|iframe|object)\b", page)
    assert not re.search(r'\b(src|href|style|on\w+)="', page)
    style = page.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src &#x27;none&#x27;; style-src &#x27;sha256-{digest}&#x27;" in page


def test_no_strangers_text_becomes_markup() -> None:
    page = build_html(a_hostile_record()).decode()
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page
    plain = build_json(a_hostile_record())
    assert plain.isascii()
    assert json.loads(plain)["verdicts"][0]["detail"] == HOSTILE


def test_a_run_has_one_report_whoever_writes_it(tmp_path: Path) -> None:
    html, plain = write_reports(a_record(), tmp_path / "new" / "folder")
    assert html.read_bytes() == build_html(a_record())
    assert plain.read_bytes() == build_json(a_record())


def test_a_long_run_shows_its_beginning_and_its_end() -> None:
    history = a_history()
    for epoch in range(41, 400):
        history.take_seal("n1", replace(history.seals["n1"][40], epoch=epoch))
    record = replace(a_record(), last=replace(a_record().last, history=history))
    page = build_html(record).decode()
    assert "n1, epoch 399" in page
    assert "n1, epoch 1:" in page
    assert "n1, epoch 200" not in page
