"""The provider in virtual time keeps the contract, and one seed is one run."""

from pathlib import Path

import pytest

from devnet.founding import found
from devnet.virtual.cluster import VirtualCluster, run_virtual
from tests.support.provider_contract import CONTRACT, Promise, make_three


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_a_devnet_in_virtual_time_keeps_the_contract(tmp_path: Path, promise: Promise) -> None:
    async def work(cluster: VirtualCluster) -> None:
        await cluster.start()
        await promise(cluster)

    run_virtual(found(tmp_path / "net", make_three("sim")), work)
