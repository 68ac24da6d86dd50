"""What a person sees: it fits 80 columns, says what is wrong, and shows no stranger's markup."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from devnet.checks import Ledger, Verdict
from devnet.founding import found_devnet
from devnet.layout import Devnet
from devnet.observe import NetworkView, PeerView, RewardView, TaskView, is_paid, is_settled
from devnet.report import (
    WIDTH,
    describe_claims,
    describe_tasks,
    render_peers,
    render_report,
    render_reversals,
    render_tasks,
)
from protocol.params import NANO_PER_COIN

COIN = NANO_PER_COIN


def make_console() -> Console:
    return Console(file=StringIO(), width=WIDTH, markup=False, highlight=False, emoji=False)


def read_lines(console: Console) -> list[str]:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


@pytest.fixture
def devnet(tmp_path: Path) -> Devnet:
    return found_devnet(tmp_path / "net", 5, 7)


def make_view(devnet: Devnet) -> NetworkView:
    peers = tuple(
        PeerView(peer.name, peer.role, "up", 123_456, "5e" * 32, "ab" * 32, 99_999, 7, 4, 300 << 20)
        for peer in devnet.roster.peers
    )
    account = devnet.roster.peers[3].account
    entries = tuple(
        RewardView(f"e{place}", "t", account, 5 * COIN, state)
        for place, state in enumerate(("claimed", "claimable", "revoked"))
    )
    return NetworkView(peers, (TaskView("t", "completed", entries), TaskView("u", "in_progress")))


def test_the_report_fits_eighty_columns_and_has_everything(devnet: Devnet) -> None:
    console = make_console()
    ledger = Ledger(9, 500_000 * COIN, 499_000 * COIN, 400 * COIN, 500 * COIN, 99 * COIN, COIN)
    verdicts = [Verdict("converged", True, "epoch 9"), Verdict("money", False, "x" * 200)]
    console.print(render_report(devnet, make_view(devnet), ledger, verdicts))
    lines = read_lines(console)
    assert max(map(len, lines)) <= WIDTH
    text = "\n".join(lines)
    for name in devnet.names:
        assert name in text
    for part in ("PASS converged", "FAIL money", "abababababab", "300 MiB", "1/2 rewards claimed"):
        assert part in text.replace("  ", " ")
    assert "= supply" in text


def test_a_sum_that_is_not_the_supply_is_not_called_equal(devnet: Devnet) -> None:
    console = make_console()
    console.print(render_report(devnet, make_view(devnet), Ledger(9, 5, 1, 1, 1, 1, 0), []))
    assert "≠ supply" in "\n".join(read_lines(console))


def test_a_peer_that_is_down_has_no_figures() -> None:
    console = make_console()
    console.print(render_peers([PeerView("n1", "validator", "down")]))
    assert read_lines(console)[1].split() == ["n1", "validator", "down", "-", "-", "-", "-", "-"]


def test_tasks_are_told_in_the_order_of_their_lives() -> None:
    counts = {"completed": 2, "published": 1, "under_validation": 3}
    assert describe_tasks(counts) == "1 published, 3 under validation, 2 completed"
    assert describe_tasks({}) == "none"


def test_what_no_seal_has_fixed_is_told_apart(devnet: Devnet) -> None:
    view = make_view(devnet)
    done, other = view.tasks
    shown = replace(view, tasks=(done, replace(other, is_provisional=True)))
    assert render_tasks(view).endswith("1/2 rewards claimed")
    assert render_tasks(shown).endswith("1/2 rewards claimed; 1 provisional")
    paid = RewardView("e", "t", "account", COIN, "claimed")
    assert paid.is_over
    assert not replace(paid, is_provisional=True).is_over


def test_reversals_are_counted_by_the_peer_that_showed_them(devnet: Devnet) -> None:
    first, *others = make_view(devnet).peers
    assert render_reversals([first, *others]) == "reversals: none"
    assert render_reversals([replace(first, reversals=3), *others]) == "reversals: n1 3"


def test_a_demonstration_is_over_when_all_is_paid() -> None:
    entry = RewardView("e", "t", "account", 5, "claimed")
    done = NetworkView((), (TaskView("t", "completed", (entry,)),))
    assert is_settled(done, {"t"})
    assert not is_settled(done, {"t", "unknown"})
    assert is_paid(NetworkView((), (TaskView("t", "expired"),)))
    assert not is_paid(NetworkView((), (TaskView("t", "completed"),)))
    owed = replace(entry, state="claimable")
    assert not is_settled(NetworkView((), (TaskView("t", "completed", (owed,)),)), {"t"})
    assert not is_settled(NetworkView((), (TaskView("t", "in_progress"),)), {"t"})
    assert describe_claims([entry, owed]) == "1/2 rewards"
