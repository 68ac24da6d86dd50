"""Every shipped manifest, and many that are made up, play well in virtual time."""

from pathlib import Path

import pytest

from devnet.checks import Verdict
from devnet.commands.common import with_devnet
from devnet.founding import found
from devnet.manifests.generate import make_random_manifest
from devnet.manifests.reader import list_shipped, load_manifest
from devnet.manifests.tables import SIM, Manifest
from devnet.scenario import Play, play_all
from devnet.virtual.cluster import VirtualCluster, run_virtual

pytestmark = [pytest.mark.swarm, pytest.mark.timeout(300)]

SEEDS = range(50)


def play(root: Path, manifest: Manifest) -> list[Verdict]:
    """Play a manifest; return the verdicts that do not hold."""

    async def work(cluster: VirtualCluster) -> list[Verdict]:
        verdicts = await play_all(Play(cluster, lambda line: None))
        await cluster.stop()
        return verdicts

    verdicts = run_virtual(found(root, with_devnet(manifest, provider=SIM)), work)
    assert verdicts
    return [verdict for verdict in verdicts if not verdict.ok]


@pytest.mark.parametrize("name", list_shipped())
def test_a_shipped_manifest_plays_well_in_virtual_time(tmp_path: Path, name: str) -> None:
    assert play(tmp_path / "net", with_devnet(load_manifest(name), seed=7)) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_manifest_that_is_made_up_plays_well(tmp_path: Path, seed: int) -> None:
    assert play(tmp_path / "net", make_random_manifest(seed)) == []
