"""The log: no value of a stranger can forge, hide or stretch a line."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.log_levels import LevelError, parse_levels
from node.telemetry import (
    FOREIGN_LINES_PER_S_MAX,
    LogControl,
    configure_logging,
    configure_quietly,
    get_logger,
)
from node.text import SHOWN_CHARACTERS_MAX, clean_text

HOSTILE = [
    "line\nfake=1",
    'line\r\n{"event":"forged"}',
    "\x1b[2J\x1b[31mred",
    "\x9b31m",
    "a\u202egnp.exe",
    "\u2066isolate\u2069",
    "\u200bzero\u200fwidth",
    "sep\u2028para\u2029",
    "nul\x00bell\x07back\x08",
    "\ud800lone",
    "\U000e0041tag",
    "x" * 10_000,
]


class Clock:
    """Wall time that stands still until it is told."""

    def __init__(self) -> None:
        self.wall_ms = 1_795_000_000_123

    def read(self) -> int:
        return self.wall_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _leave_the_log_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    configure_quietly()


def start(
    clock: Clock, level: str = "info", log_format: str = "json"
) -> tuple[LogControl, io.StringIO]:
    stream = io.StringIO()
    return configure_logging(level, log_format, read_wall_ms=clock.read, stream=stream), stream


def read_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n") if line]


def test_an_event_is_one_line_with_time_level_area_and_values(clock: Clock) -> None:
    _, stream = start(clock)
    get_logger("sync").info("session_done", peer="12D3", missing=3, ms=None)
    assert read_lines(stream) == [
        {
            "time": "2026-11-18T11:06:40.123Z",
            "level": "info",
            "area": "sync",
            "event": "session_done",
            "peer": "12D3",
            "missing": 3,
            "ms": None,
        }
    ]


def test_hostile_values_forge_no_line_and_send_no_command_to_a_terminal(clock: Clock) -> None:
    for log_format in ("json", "console"):
        _, stream = start(clock, log_format=log_format)
        log = get_logger("p2p")
        for text in HOSTILE:
            log.warning("peer_said", agent=text, more=[text, text.encode("utf-8", "replace")])
        written = stream.getvalue()
        assert written.count("\n") == len(HOSTILE)
        assert all(char == "\n" or char.isprintable() for char in written)
        assert all(len(line) < 2_000 for line in written.split("\n"))


@pytest.mark.parametrize("text", HOSTILE)
def test_cleaned_text_is_printable_and_short(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned.isprintable()
    assert len(cleaned) <= SHOWN_CHARACTERS_MAX
    assert clean_text("plain text, ünïcode: 日本") == "plain text, ünïcode: 日本"


def test_a_level_holds_for_an_area_and_can_be_changed_while_running(clock: Clock) -> None:
    control, stream = start(clock, "warning,p2p=debug")
    get_logger("p2p").debug("dialled")
    get_logger("node.transport.libp2p_host").debug("in_a_module_of_the_area")
    get_logger("sync").info("not_wanted")
    control.set_level("info")
    get_logger("p2p").debug("not_wanted_now")
    get_logger("sync").info("wanted_now")
    events = [(line["area"], line["event"]) for line in read_lines(stream)]
    assert events == [
        ("p2p", "dialled"),
        ("p2p", "in_a_module_of_the_area"),
        ("sync", "wanted_now"),
    ]


@pytest.mark.parametrize(
    "text", ["", "loud", "info,info", "p2p=", "=debug", "info,p2p=x", "A=info"]
)
def test_a_level_that_makes_no_sense_is_refused_and_changes_nothing(
    clock: Clock, text: str
) -> None:
    control, _ = start(clock)
    with pytest.raises(LevelError):
        control.set_level(text)
    assert control.levels == parse_levels("info")


def test_what_is_named_like_a_secret_is_not_written(clock: Clock) -> None:
    _, stream = start(clock)
    get_logger("rpc").info("started", token="deadbeef", password="x1", key_seed=b"y2", url="u")
    assert not any(secret in stream.getvalue() for secret in ("deadbeef", "x1", "7932"))
    assert read_lines(stream)[0]["url"] == "u"


def test_a_traceback_is_part_of_its_line(clock: Clock) -> None:
    for log_format in ("json", "console"):
        _, stream = start(clock, log_format=log_format)
        try:
            raise ValueError("broken\nline \x1b[31m")
        except ValueError:
            get_logger("main").exception("failed")
        written = stream.getvalue()
        assert "ValueError" in written
        assert "\x1b" not in written
        if log_format == "json":
            assert read_lines(stream)[0]["level"] == "error"
        else:
            assert all(line.startswith("    | ") for line in written.split("\n")[1:] if line)


def test_other_libraries_are_heard_from_warning_on_and_not_too_often(clock: Clock) -> None:
    _, stream = start(clock)
    foreign = logging.getLogger("libp2p.pubsub")
    foreign.info("each round")
    for number in range(100):
        foreign.warning("dropped\n%d", number)
    clock.wall_ms += 1_000
    foreign.error("later")
    lines = read_lines(stream)
    assert [line["event"] for line in lines] == [
        *["foreign_log"] * FOREIGN_LINES_PER_S_MAX,
        "foreign_log_dropped",
        "foreign_log",
    ]
    assert lines[0]["message"] == "dropped\\n0"
    assert lines[-2]["lines"] == 100 - FOREIGN_LINES_PER_S_MAX
    assert lines[-1]["level"] == "error"


def test_a_log_that_cannot_be_written_stops_nobody(clock: Clock) -> None:
    _, stream = start(clock)
    stream.close()
    get_logger("main").error("nobody_reads_this")


def test_the_log_file_holds_the_same_events(clock: Clock, tmp_path: Path) -> None:
    control = configure_logging(
        "info", "console", read_wall_ms=clock.read, stream=io.StringIO(), folder=tmp_path / "logs"
    )
    get_logger("main").info("started", version="0.1.0")
    control.close()
    line = json.loads((tmp_path / "logs" / "minesync.log").read_text())
    assert (line["event"], line["version"]) == ("started", "0.1.0")
