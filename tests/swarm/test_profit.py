"""No cheat of the threat table pays, but for those whose flaw the table names."""

import pytest

from tests.support.profits import SCHEMES, Scheme
from tests.swarm.profit import find_surprises, measure_all

RUNS = 6


@pytest.mark.swarm
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_cheat_pays_only_without_its_defence(
    scheme: Scheme, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, control = measure_all(scheme, RUNS, 0)
    with capsys.disabled():
        print()
        for line in lines:
            print(f"PROFIT {line.render()}")
        print(f"CONTROL {control.render()}")
    assert list(find_surprises(lines, control)) == []
