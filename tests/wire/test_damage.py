"""Real files damaged in every way, at a few places; `python -m tests.damage` does it all."""

import random
from pathlib import Path

import pytest

from devnet.damage import flip_bytes
from storage.errors import Corrupt
from storage.store import Store
from tests.damage.image import GENESIS, Image, build_image
from tests.damage.sweep import KINDS, Kind, sweep

POSITIONS = 2


@pytest.fixture(scope="module", params=[True, False], ids=["log", "tables"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A database whose rows are in its log, or in its table files."""
    return build_image(tmp_path_factory.mktemp("image"), is_flushed=not request.param)


@pytest.mark.wire
def test_what_a_devnet_damages_is_found_when_the_node_starts(image: Image, tmp_path: Path) -> None:
    for seed in range(8):
        twins = [tmp_path / f"{seed}-{name}" for name in ("a", "b")]
        for twin in twins:
            image.copy(twin)
        one, other = (flip_bytes(twin, random.Random(seed)) for twin in twins)
        assert one == other
        with pytest.raises(Corrupt):
            Store.open(twins[0], GENESIS)


@pytest.mark.wire
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_damage_is_silent_and_each_ends_in_service(
    kind: Kind, image: Image, tmp_path: Path
) -> None:
    is_in_log = not any(image.path.glob("rocks/*.sst"))
    if kind.is_in_log != is_in_log:
        pytest.skip("this kind is done to the other database")
    tally = sweep(kind, image, tmp_path, POSITIONS, lambda where: None)
    assert (tally.silent, tally.wrong, tally.examples) == (0, 0, [])
    assert tally.served_again == tally.positions == tally.harmless + tally.detected > 0
