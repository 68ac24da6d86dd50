"""Cheating in small: each cheat loses or gains nothing, and would gain without its defence.

The whole table, with shares of attackers and many seeds, is `python -m tests.swarm.profit`.
"""

from dataclasses import replace

import pytest

from tests.support.cheats import Cheat
from tests.support.economy import NO_LAPSES, Economy, Setting
from tests.support.players import Honest
from tests.support.profits import (
    SCHEMES,
    Gain,
    Line,
    Scheme,
    measure,
    measure_undefended,
    try_out,
)

SHARE = 33
SEEDS = (12,)
SMALL = [
    replace(scheme, setting=replace(scheme.setting, tasks=12 if scheme.row >= 38 else 6))
    for scheme in SCHEMES
    if not scheme.flaw and not scheme.is_luck
]


@pytest.mark.parametrize("scheme", SMALL, ids=lambda scheme: scheme.name)
def test_a_cheat_pays_only_without_its_defence(scheme: Scheme) -> None:
    assert measure(scheme, SHARE, SEEDS).mean <= 0
    assert measure_undefended(scheme, SHARE, SEEDS).mean > 0


def test_honest_people_all_end_with_their_tasks_done_and_nobody_refused() -> None:
    economy = Economy(Setting(tasks=6), 1, Honest(), {})
    economy.play()
    names = [name for group in ("solvers", "validators") for name in economy.setting.names(group)]
    codes = {ruling.code for ruling in economy.world.rulings.values()}
    # Somebody outside signs in every epoch, so that nobody knows its whole set: it applies never.
    assert codes == {"not_registered"}
    ledger = economy.world.ledger
    assert ledger.escrowed == 0
    everybody = [*names, *economy.setting.names("customers"), *economy.setting.names("spares")]
    assert economy.wealth(everybody) == ledger.balances + ledger.staked


def test_two_honest_economies_with_the_same_lots_end_alike() -> None:
    honest = replace(SCHEMES[0], build=Cheat)
    assert try_out(honest, SHARE, 1, NO_LAPSES) == Gain(0, 0)


def test_a_mean_passes_at_nothing_and_luck_within_three_errors() -> None:
    gains = (Gain(-4, 0), Gain(0, 0), Gain(8, 0), Gain(0, 0))
    strict = Line(SCHEMES[0], SHARE, gains)
    assert (strict.mean, strict.error) == (1, 2)
    assert not strict.has_passed
    assert replace(strict, scheme=replace(SCHEMES[0], is_luck=True)).has_passed
    assert Line(SCHEMES[0], SHARE, (Gain(0, 0),)).has_passed
