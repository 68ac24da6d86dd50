"""Pictures: well-formed whatever is in them, without a script, and true to what was seen."""

import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from devnet.draw.markup import Markup, Text, element
from devnet.draw.plots import (
    draw_course,
    draw_epochs,
    draw_histogram,
    draw_legend,
    draw_matrix,
    draw_spreads,
    draw_tasks,
    draw_timeline,
)
from devnet.draw.svg import Frame, choose_ticks, cut_name
from devnet.draw.topology import draw_topology, place_peers, rank_peers
from devnet.observe import NetworkView
from devnet.watch.events import Span, find_spans
from devnet.watch.figures import Propagation, compute_propagation
from devnet.watch.history import History
from devnet.watch.snapshot import Snapshot
from tests.support.snapshots import (
    BEGIN_MS,
    HOSTILE,
    NAMES,
    NOW_MS,
    a_history,
    a_hostile_snapshot,
    a_root,
    a_snapshot,
    a_troubled_snapshot,
)


def draw_all(snapshot: Snapshot) -> list[Markup]:
    """Return every picture of a snapshot."""
    history, names = snapshot.history, snapshot.identity.names
    spans = find_spans(snapshot.events)
    return [
        draw_topology(snapshot),
        draw_matrix(history, names, history.epochs),
        draw_histogram(compute_propagation(history, names)),
        draw_timeline(spans, snapshot.events, BEGIN_MS, NOW_MS),
        draw_epochs(history, names, spans, BEGIN_MS, NOW_MS),
        draw_spreads(history, names),
        draw_tasks(snapshot.view.count_tasks(), 1),
        draw_course(history, BEGIN_MS, NOW_MS),
        draw_legend([("rank-0", name) for name in names]),
    ]


def an_empty_snapshot() -> Snapshot:
    """Return one of a devnet that was just made."""
    whole = a_snapshot(history=History())
    return replace(whole, view=NetworkView(()), links={}, events=())


def count_class(picture: Markup, kind: str) -> int:
    """Return how many elements have exactly these classes."""
    return len(re.findall(rf'class="{re.escape(kind)}"', picture))


MAKERS = [a_snapshot, a_troubled_snapshot, a_hostile_snapshot, an_empty_snapshot]


@pytest.mark.parametrize("make", MAKERS)
def test_every_picture_is_well_formed_and_says_what_it_shows(make: Callable[[], Snapshot]) -> None:
    for picture in draw_all(make()):
        root = ElementTree.fromstring(picture)
        assert root.tag == "ul" or root.get("aria-label"), picture[:80]


@pytest.mark.parametrize("make", MAKERS)
def test_a_snapshot_is_drawn_the_same_way_each_time(make: Callable[[], Snapshot]) -> None:
    assert draw_all(make()) == draw_all(make())


def test_no_strangers_text_becomes_markup() -> None:
    for picture in draw_all(a_hostile_snapshot()):
        assert "<script" not in picture
        assert picture.isprintable()
        tags = {one.tag for one in ElementTree.fromstring(picture).iter()}
        allowed = {"svg", "g", "circle", "line", "rect", "polyline", "polygon", "text", "title"}
        assert tags <= allowed | {"ul", "li", "span"}
    assert "&lt;script&gt;" in draw_topology(a_hostile_snapshot())


def test_an_element_escapes_text_and_attributes() -> None:
    made = element("a", {"class_": 'x" y', "data_n": 1.5, "b": None, "c": True}, Text(HOSTILE))
    assert made.startswith('<a class="x&quot; y" data-n="1.5" c>&lt;script&gt;')
    assert "\x1b" not in made
    assert "\u202e" not in made
    assert element("meta", {"name": "a"}) == '<meta name="a">'


def test_links_are_drawn_as_they_are() -> None:
    whole, troubled = draw_topology(a_snapshot()), draw_topology(a_troubled_snapshot())
    assert [count_class(whole, kind) for kind in ("link", "link cut", "link one-way")] == [10, 0, 0]
    shown = [count_class(troubled, kind) for kind in ("link", "link cut", "link one-way")]
    assert shown == [2, 4, 1]
    assert (count_class(troubled, "cross"), count_class(troubled, "arrow")) == (8, 1)
    assert "only from n4 to n3" in troubled
    assert "n2 down" in troubled


def test_a_peer_that_parted_has_another_colour_and_one_that_is_behind_has_not() -> None:
    whole = a_snapshot(history=a_history(parted_from=35))
    peers = list(whole.view.peers)
    peers[3] = replace(peers[3], epoch=39, state_root=a_root(39))
    peers[4] = replace(peers[4], state_root=a_root(40, "b"))
    ranks = rank_peers(replace(whole, view=NetworkView(tuple(peers))))
    assert ranks == {"n1": 0, "n2": 0, "n3": 0, "n4": 0, "n5": 1}


def test_the_matrix_has_a_cell_for_each_peer_and_epoch() -> None:
    history = a_history(parted_from=31)
    picture = draw_matrix(history, (*NAMES, "n9"), history.epochs[-20:])
    assert count_class(picture, "cell rank-0") == 4 * 20 + 10
    assert count_class(picture, "cell rank-1") == 10
    assert count_class(picture, "cell rank-none") == 20
    assert "2 different roots at epoch 31" in picture


def test_the_bars_of_a_histogram_are_as_high_as_their_counts() -> None:
    picture = ElementTree.fromstring(draw_histogram(Propagation((5, 15, 15, 99_999), 2)))
    bars = [bar for bar in picture.iter("rect") if bar.get("class") == "bar"]
    heights = [float(bar.get("height", "0")) for bar in bars]
    assert heights[1] == max(heights) == 2 * heights[0] == 2 * heights[-1]
    assert "2 not seen on every peer" in str(picture.get("aria-label"))


def test_a_fault_in_force_reaches_to_the_end_of_the_time_line() -> None:
    spans = [Span("cut", "", 1_000, 3_000, "a | b"), Span("down", "n1", 5_000, None)]
    picture = ElementTree.fromstring(draw_timeline(spans, (), 0, 10_000))
    cut, down = list(picture.iter("rect"))
    edges = [float(box.get("x", "0")) + float(box.get("width", "0")) for box in (cut, down)]
    assert edges[1] == max(edges)
    axis = next(one for one in picture.iter("line") if one.get("class") == "axis")
    assert edges[1] == pytest.approx(float(axis.get("x2", "0")))
    assert "in force" in ElementTree.tostring(down, encoding="unicode")


def test_peers_stand_apart() -> None:
    for count in (1, 2, 5, 24):
        spots = place_peers([f"n{place}" for place in range(count)])
        assert len(set(spots.values())) == count


def test_ticks_are_round_numbers_within_the_range() -> None:
    assert choose_ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert choose_ticks(3, 47) == [10, 20, 30, 40]
    assert choose_ticks(7, 7) == [7]
    for most in (1, 9, 77, 1_234, 99_999_999):
        assert 1 < len(choose_ticks(0, most)) <= 8


def test_a_frame_places_nothing_outside() -> None:
    frame = Frame(10, 20, 110, 70, 0, 10, 5)
    assert [frame.place_x(value) for value in (-5, 0, 5, 10, 99)] == [10, 10, 60, 110, 110]
    assert [frame.place_y(value) for value in (-5, 0, 5, 99)] == [70, 70, 20, 20]
    assert cut_name("a-long-name") == "a-long-n…"
