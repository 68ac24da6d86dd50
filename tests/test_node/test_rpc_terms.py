"""What a publication says if the publisher does not."""

from dataclasses import replace

from node.rpc.terms import WINDOW_DEFAULT_MS, choose_window
from protocol.params import MAINNET, MINIMAL


def test_a_person_has_a_minute_where_epochs_are_short() -> None:
    assert choose_window(MINIMAL) * MINIMAL.epoch_ms == WINDOW_DEFAULT_MS


def test_the_window_keeps_to_the_bounds_of_the_network() -> None:
    assert choose_window(MAINNET) == MAINNET.submission_epochs_min
    narrow = replace(MINIMAL, submission_epochs_max=10)
    assert choose_window(narrow) == 10
