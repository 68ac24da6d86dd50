"""A devnet on a terminal: it fits the room there is, and degrades to lines where there is none."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from rich.segment import Segment

from devnet.live import QUIET_EPOCHS, Screen
from devnet.observe import NetworkView
from devnet.report import ROOT_STYLES
from devnet.top import draw_bars, draw_strip, draw_top
from devnet.watch.figures import build_matrix
from devnet.watch.snapshot import Snapshot
from tests.support.snapshots import (
    HOSTILE,
    NAMES,
    a_history,
    a_hostile_snapshot,
    a_root,
    a_snapshot,
    a_troubled_snapshot,
)


def make_console(width: int, *, is_terminal: bool = False) -> Console:
    return Console(
        file=StringIO(),
        width=width,
        height=24,
        force_terminal=is_terminal,
        color_system="standard" if is_terminal else None,
        markup=False,
        highlight=False,
        emoji=False,
    )


def draw(snapshot: Snapshot, width: int, height: int) -> list[str]:
    console = make_console(width)
    console.print(draw_top(snapshot, width, height))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def find_styles(snapshot: Snapshot, text: str, width: int = 80) -> list[str]:
    """Return the style of each piece of the picture that is this text."""
    console = make_console(width, is_terminal=True)
    segments: list[Segment] = list(console.render(draw_top(snapshot, width, 24)))
    return [str(one.style) for one in segments if one.text.strip() == text]


@pytest.mark.parametrize(("width", "height"), [(80, 23), (80, 14), (100, 30), (160, 50)])
@pytest.mark.parametrize("make", [a_snapshot, a_troubled_snapshot, a_hostile_snapshot])
def test_the_picture_fits_its_room(make: object, width: int, height: int) -> None:
    assert callable(make)
    lines = draw(make(), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_eighty_columns_show_peers_faults_tasks_and_events() -> None:
    text = "\n".join(draw(a_troubled_snapshot(), 80, 23))
    for part in (
        *NAMES,
        "4/5 up",
        "in force: n2 down, cut n1 n2 n3 n4 | n5, n4 hears nothing of n3",
        a_root(40)[:12],
        "tx/s",
        "120 MiB",
        "under validation",
        "kill n2",
        "partition n1 n2 n3 n4 | n5",
    ):
        assert part in text, part


def test_one_colour_is_one_state_root() -> None:
    whole = a_snapshot()
    peers = whole.view.peers
    other = replace(peers[4], state_root=a_root(40, "b"))
    parted = replace(whole, view=NetworkView((*peers[:4], other)))
    common = set(find_styles(parted, a_root(40)[:12]))
    assert len(common) == 1
    assert common.isdisjoint(find_styles(parted, a_root(40, "b")[:12]))


def test_a_wide_terminal_has_the_roots_of_the_last_epochs() -> None:
    assert not any("█" in line for line in draw(a_snapshot(), 80, 23))
    rows = [line for line in draw(a_snapshot(), 120, 23) if "█" in line]
    assert len(rows) == len(NAMES)
    cells = build_matrix(a_history(parted_from=40), (*NAMES, "n9"), (39, 40))
    styles = {
        name: [str(one.style) for one in draw_strip(row).spans] for name, row in cells.items()
    }
    assert styles["n1"] == [ROOT_STYLES[0]] * 2
    assert styles["n5"] == [ROOT_STYLES[0], ROOT_STYLES[1]]
    assert draw_strip(cells["n9"]).plain == "··"


def test_what_finds_no_room_is_counted() -> None:
    whole = a_snapshot()
    many = tuple(replace(whole.view.peers[0], name=f"n{place}") for place in range(40))
    names = tuple(peer.name for peer in many)
    crowd = replace(whole, view=NetworkView(many), identity=replace(whole.identity, names=names))
    lines = draw(crowd, 80, 23)
    assert len(lines) <= 23
    shown = sum(line.startswith("n") and "validator" in line for line in lines)
    assert f"and {40 - shown} more peers" in lines


def test_no_strangers_text_moves_the_terminal() -> None:
    for line in draw(a_hostile_snapshot(), 120, 40):
        assert line.isprintable(), line
    assert any(HOSTILE[:6] in line for line in draw(a_hostile_snapshot(), 120, 40))


def test_bars_are_drawn_for_every_status() -> None:
    console = make_console(80)
    console.print(draw_bars(a_snapshot().view))
    console.print(draw_bars(NetworkView(())))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    for part in ("under validation", "rewards claimed", "no tasks"):
        assert part in text


async def test_without_a_terminal_there_is_a_line_for_a_change_and_none_for_the_same() -> None:
    console = make_console(80)
    whole = a_snapshot()
    with Screen(console) as screen:
        screen.say("begin")
        screen.show(whole)
        screen.show(whole)
        screen.show(a_troubled_snapshot())
        later = replace(whole.view.peers[0], epoch=40 + QUIET_EPOCHS)
        troubled = a_troubled_snapshot()
        screen.show(replace(troubled, view=replace(troubled.view, peers=(later,))))
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 4
    assert "1 completed" in lines[1]
    assert "in force: n2 down" in lines[2]
    assert "epoch  50" in lines[3]


async def test_the_whole_terminal_is_given_back() -> None:
    console = make_console(80, is_terminal=True)
    with Screen(console, is_whole=True) as screen:
        screen.show(a_snapshot())
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    enter, leave = "\x1b[?1049h", "\x1b[?1049l"
    assert 0 <= text.index(enter) < text.rindex(leave)
