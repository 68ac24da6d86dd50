"""What follows from what was seen: spans of faults, links, roots, how fast things got around."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from devnet.founding import found_devnet
from devnet.watch.events import EventLog, RunEvent, Span, find_spans, parse_event, read_events
from devnet.watch.figures import (
    DELAY_STEPS_MS,
    Propagation,
    bin_delays,
    build_matrix,
    compute_propagation,
    compute_rates,
    compute_spreads,
    find_divergence,
    rank_roots,
    show_ms,
)
from devnet.watch.history import (
    EPOCHS_MAX,
    SAMPLES_MAX,
    TRANSACTIONS_MAX,
    History,
    Sample,
    SealSeen,
)
from devnet.watch.links import find_links, find_sides, list_faults
from devnet.watch.snapshot import PeerLinks
from tests.support.snapshots import (
    EPOCHS,
    NAMES,
    a_history,
    a_snapshot,
    a_troubled_snapshot,
)

# ------------------------------------------------------------------------------------ events


def test_events_are_read_back_as_they_were_noted(tmp_path: Path) -> None:
    devnet = found_devnet(tmp_path / "net", 3, 7)
    assert read_events(devnet.events_path) == ()
    devnet.note_event("kill", peer="n2")
    devnet.note_event("partition", groups=[["n1", "n2"], ["n3"]], one_way=True)
    devnet.note_event("clock", peer="n1", offset_ms=500)
    with devnet.events_path.open("a") as file:
        file.write("no event\n{}\n[1]\n" + '{"at": "2026-01-01T00:00:00+00:00", "ev')
    texts = [event.describe() for event in read_events(devnet.events_path)]
    assert texts == ["kill n2", "partition n1 n2 > n3", "clock n1 offset_ms=500"]


def test_a_log_of_events_sees_what_is_added(tmp_path: Path) -> None:
    devnet = found_devnet(tmp_path / "net", 3, 7)
    log = EventLog(devnet.events_path)
    assert log.read() == ()
    devnet.note_event("kill", peer="n2")
    first = log.read()
    assert log.read() is first
    devnet.note_event("heal")
    assert [event.name for event in log.read()] == ["kill", "heal"]


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"at": 5, "event": "kill"}', "nul", "[" * 500])
def test_a_line_that_is_no_event_is_passed_over(line: str) -> None:
    assert parse_event(line) is None


def test_the_time_of_an_event_counts_in_milliseconds() -> None:
    event = parse_event(json.dumps({"at": "1970-01-01T00:00:02.500+00:00", "event": "heal"}))
    assert event == RunEvent(2_500, "heal")


def test_a_fault_lasts_until_it_is_taken_back() -> None:
    events = [
        RunEvent(1, "pause", "n1"),
        RunEvent(2, "kill", "n2"),
        RunEvent(3, "partition", groups=(("n1",), ("n2",))),
        RunEvent(4, "resume", "n1"),
        RunEvent(5, "partition", groups=(("n2",), ("n1",))),
        RunEvent(6, "heal"),
        RunEvent(7, "restart", "n2"),
        RunEvent(8, "start", "n2"),
        RunEvent(9, "pause", "n1"),
        RunEvent(10, "kill", "n1"),
    ]
    assert find_spans(events) == [
        Span("paused", "n1", 1, 4),
        Span("down", "n2", 2, 8),
        Span("cut", "", 3, 5, "n1 | n2"),
        Span("cut", "", 5, 6, "n2 | n1"),
        Span("paused", "n1", 9, 10),
        Span("down", "n1", 10, None),
    ]


def test_an_outage_ends_by_itself_or_with_the_life_of_its_peer() -> None:
    events = [
        RunEvent(1, "disk_full", "n1"),
        RunEvent(2, "drop_topic", "n1"),
        RunEvent(3, "disconnect", "n2"),
        RunEvent(4, "take_topic", "n1"),
        RunEvent(5, "reconnect", "n2"),
        RunEvent(6, "kill", "n1"),
        RunEvent(7, "start", "n1"),
        RunEvent(8, "disk_room", "n1"),
    ]
    assert find_spans(events) == [
        Span("disk_full", "n1", 1, 6),
        Span("drop_topic", "n1", 2, 4),
        Span("disconnect", "n2", 3, 5),
        Span("down", "n1", 6, 7),
    ]


# ------------------------------------------------------------------------------------- links


def test_a_rule_at_one_end_cuts_a_link_and_a_deaf_end_cuts_one_way() -> None:
    links = {"a": PeerLinks(("b", "c"), cut=("d",)), "b": PeerLinks(("a",), deaf=("a",))}
    found = {(one.first, one.second): one for one in find_links(("a", "b", "c", "d"), links)}
    assert set(found) == {("a", "b"), ("a", "c"), ("a", "d")}
    assert found["a", "d"].is_cut
    assert not found["a", "d"].is_connected
    one_way = found["a", "b"]
    assert (one_way.is_one_way, one_way.forth_cut, one_way.back_cut) == (True, True, False)
    assert not found["a", "c"].is_cut
    assert found["a", "c"].is_connected


def test_cuts_part_peers_only_where_there_is_no_way_round() -> None:
    ring = {"a": PeerLinks(cut=("c",)), "b": PeerLinks(cut=("d",))}
    names = ("a", "b", "c", "d")
    assert find_sides(names, find_links(names, ring)) == [names]
    cut = {"a": PeerLinks(cut=("b", "d")), "c": PeerLinks(cut=("b", "d"))}
    assert find_sides(names, find_links(names, cut)) == [("a", "c"), ("b", "d")]


def test_the_faults_in_force_are_told_in_words() -> None:
    assert list_faults(a_snapshot()) == []
    wanted = ["n2 down", "cut n1 n2 n3 n4 | n5", "n4 hears nothing of n3"]
    assert list_faults(a_troubled_snapshot()) == wanted
    ring = {"n1": PeerLinks(cut=("n3",))}
    assert list_faults(replace(a_snapshot(), links=ring)) == ["cut n1 | n3"]
    slow = {"n3": PeerLinks(("n1",), slow=("n1",), clock_offset_ms=-1_500)}
    wanted = ["slow n1 - n3", "n3 clock -1.5 s"]
    assert list_faults(replace(a_snapshot(), links=slow)) == wanted
    lacking = {"n1": PeerLinks(outages=("disk_full",)), "n2": PeerLinks(outages=("disconnect",))}
    wanted = ["cut n1 n3 n4 n5 | n2", "n1 disk_full"]
    assert list_faults(replace(a_snapshot(), links=lacking)) == wanted


# ----------------------------------------------------------------------------------- figures


def test_a_transaction_has_got_around_when_every_peer_has_it() -> None:
    history = History()
    for peer, at_ms in (("a", 10), ("b", 25), ("c", 40)):
        history.take_arrival(peer, "t", at_ms)
    history.take_arrival("a", "u", 50)
    assert compute_propagation(history, ("a", "b", "c")) == Propagation((30,), 1)
    assert compute_propagation(history, ("a", "b")) == Propagation((15,), 1)
    history.take_arrival("c", "t", 99)
    assert compute_propagation(history, ("a", "b", "c", "never-there")).delays_ms == (30,)


def test_quantiles_are_those_of_the_nearest_rank() -> None:
    found = Propagation(tuple(range(1, 101)), 0)
    assert [found.quantile_ms(percent) for percent in (1, 50, 95, 100)] == [1, 50, 95, 100]
    assert Propagation((7,), 0).quantile_ms(50) == 7
    assert Propagation((), 3).quantile_ms(95) == 0


def test_every_delay_falls_into_one_bin() -> None:
    delays = [0, *DELAY_STEPS_MS, *(step + 1 for step in DELAY_STEPS_MS)]
    counts = [count for _, count in bin_delays(delays)]
    assert counts == [2, *[2] * (len(DELAY_STEPS_MS) - 1), 1]


def test_a_rate_counts_the_last_five_seconds() -> None:
    history = History()
    for number in range(20):
        history.take_arrival("a", f"{number}", number * 1_000)
    assert compute_rates(history, 19_000) == {"a": 1.0}
    assert compute_rates(history, 60_000) == {"a": 0.0}


def test_the_most_common_root_comes_first() -> None:
    assert rank_roots(["x", "y", "y", "", "z"]) == {"y": 0, "x": 1, "z": 2}


def test_the_matrix_ranks_roots_within_an_epoch_and_tells_who_was_late() -> None:
    history = a_history(parted_from=30)
    rows = build_matrix(history, ("n1", "n5", "n9"), (29, 30, 99))
    ranks = {name: [cell and cell.rank for cell in cells] for name, cells in rows.items()}
    assert ranks == {"n1": [0, 0, None], "n5": [0, 1, None], "n9": [None] * 3}
    late = rows["n5"][0]
    assert late is not None
    assert late.late_ms == 60


def test_peers_that_part_are_found_at_the_first_epoch() -> None:
    assert find_divergence(a_history()) is None
    assert find_divergence(a_history(parted_from=30)) == 30


def test_the_spread_of_an_epoch_needs_every_peer() -> None:
    history = a_history()
    assert compute_spreads(history, NAMES) == dict.fromkeys(range(1, EPOCHS + 1), 60)
    # Whoever was never there delays nobody.
    assert len(compute_spreads(history, (*NAMES, "n6"))) == EPOCHS
    history.take_seal("n6", history.seals["n1"][3])
    assert list(compute_spreads(history, (*NAMES, "n6"))) == [3]


def test_times_are_shown_in_the_unit_that_reads_best() -> None:
    assert [show_ms(value) for value in (5, 999, 1_000, 1_500)] == [
        "5 ms",
        "999 ms",
        "1 s",
        "1.5 s",
    ]


# ----------------------------------------------------------------------------------- history


def test_a_history_is_bounded_and_keeps_the_latest() -> None:
    history = History()
    for epoch in range(EPOCHS_MAX + 10):
        history.take_seal("a", SealSeen(epoch, "", epoch))
    for number in range(TRANSACTIONS_MAX + 10):
        history.take_arrival("a", str(number), number)
    for number in range(SAMPLES_MAX + 10):
        history.take_sample(Sample(number, {"completed": number}))
    assert min(history.seals["a"]) == 10
    assert len(history.arrivals) == TRANSACTIONS_MAX
    assert str(TRANSACTIONS_MAX + 9) in history.arrivals
    assert len(history.samples) <= SAMPLES_MAX
    assert history.samples[0].at_ms == 0
    assert history.samples[-1].at_ms == SAMPLES_MAX + 9


def test_what_a_peer_said_first_stays_and_what_did_not_change_is_not_repeated() -> None:
    history = History()
    history.take_seal("a", SealSeen(1, "x", 5))
    history.take_seal("a", SealSeen(1, "y", 6))
    assert history.seals["a"][1].state_root == "x"
    for at_ms in (1, 2):
        history.take_sample(Sample(at_ms, {"completed": 1}))
    assert [sample.at_ms for sample in history.samples] == [1]
