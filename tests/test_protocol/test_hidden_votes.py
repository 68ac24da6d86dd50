"""Choosing what a vote says when it is shown hides nothing that choosing it at once would show."""

from dataclasses import replace

import pytest

from tests.support.explorer import Explorer
from tests.support.small_moves import Bound

ABSTAINING = Bound((1,), (90, None), (), (), 0)
DIVIDED = Bound((1,), (90, 20), (), (), 0)
"""A second panel joins, so votes are hidden beside others that were shown."""


@pytest.mark.parametrize("bound", [ABSTAINING, DIVIDED], ids=str)
def test_votes_chosen_late_lead_to_the_same_states_as_votes_chosen_early(bound: Bound) -> None:
    late, early = Explorer(bound), Explorer(replace(bound, foreseen=True))
    assert late.run().states < early.run().states
    assert late.outlines == early.outlines
    assert late.endings == early.endings
    assert late.tally.codes == early.tally.codes
