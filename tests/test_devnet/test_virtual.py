"""The provider in virtual time keeps the contract, and one seed is one run."""

from pathlib import Path

import pytest
import trio

from devnet.conditions import parse_condition
from devnet.facts import Finding, look
from devnet.faults import pause, resume
from devnet.founding import found
from devnet.virtual.cluster import VirtualCluster, run_virtual
from tests.support.provider_contract import CONTRACT, Promise, make_three

FROZEN_S = 3.0
"""Longer than a peer is asked how it is, shorter than its metrics are waited for."""


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_a_devnet_in_virtual_time_keeps_the_contract(tmp_path: Path, promise: Promise) -> None:
    async def work(cluster: VirtualCluster) -> None:
        await cluster.start()
        await promise(cluster)

    run_virtual(found(tmp_path / "net", make_three("sim")), work)


async def pause_after(cluster: VirtualCluster, steps: int) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    await pause(cluster, "n2")
    await trio.sleep(FROZEN_S)
    await resume(cluster, "n2")


def test_who_freezes_while_it_is_asked_is_asked_again(tmp_path: Path) -> None:
    condition = parse_condition("metric minesync_alarm == 0")

    async def work(cluster: VirtualCluster) -> list[Finding]:
        await cluster.start()
        findings = []
        for steps in range(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pause_after, cluster, steps)
                findings.append(await look(cluster, condition))
        await cluster.stop()
        return findings

    findings = run_virtual(found(tmp_path / "net", make_three("sim")), work)
    assert [one.detail for one in findings if not one.ok] == []
