"""Changes through the RPC: proposed, voted on, decided, and what holds afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.rpc.methods import list_methods
from protocol.charter_records import LEAD_EPOCHS
from protocol.genesis import Genesis
from protocol.params import MINIMAL
from tests.support.builders import CAST, a_genesis, an_address
from tests.support.rpc import RpcRefused, ServedPeer, a_served_peer

SET = {"action": "set_parameter", "name": "claim_fee", "values": ["7"]}


def a_ruled_genesis() -> Genesis:
    """Return a network whose one sealer has an account."""
    return a_genesis(cast=(*CAST, "sealer"))


@asynccontextmanager
async def a_sealer(folder: Path, account: str = "sealer") -> AsyncIterator[ServedPeer]:
    async with a_served_peer(folder, name=account, genesis=a_ruled_genesis()) as served:
        yield served


async def propose(served: ServedPeer, **given: Any) -> dict[str, Any]:
    at = served.peer.state.epoch + 1 + LEAD_EPOCHS
    reply: dict[str, Any] = await served.call(
        "change_propose", **{**SET, "effective_at": at, **given}
    )
    return reply


async def test_a_change_is_proposed_shown_sealed_and_holds(tmp_path: Path) -> None:
    async with a_sealer(tmp_path) as served:
        reply = await propose(served)
        shown = await served.call("change_get", change_id=reply["change_id"])
        assert (shown["status"], shown["sealed_status"]) == ("open", None)
        assert shown["provisional"] is True
        assert (shown["counted"], shown["quorum"], shown["missing"]) == (1, 1, 0)
        assert shown["votes"][0]["sealer"] == an_address("sealer").hex()
        assert shown["awaited"] == []
        served.seal()
        shown = await served.call("change_get", change_id=reply["change_id"])
        assert (shown["status"], shown["provisional"]) == ("adopted", False)
        charter = await served.call("charter_get")
        assert charter["changed"] == []
        assert charter["later"][0]["since"] == reply["effective_at"]
        served.seal()
        charter = await served.call("charter_get")
        changed = [{"name": "claim_fee", "values": ["7"], "genesis": [str(MINIMAL.claim_fee)]}]
        assert (charter["changed"], charter["later"]) == (changed, [])
        assert charter["sealers"] == [an_address("sealer").hex()]
        fee = next(one for one in charter["parameters"] if one["name"] == "claim_fee")
        assert fee["values"] == ["7"]
        fixed = [one["name"] for one in charter["parameters"] if one["fixed"]]
        assert fixed == ["late_epochs", "resolution_epochs", "epochs_per_day"]
        status = await served.call("node_status")
        assert status["parameters_changed"] == changed


async def test_a_task_is_priced_by_what_holds_now(tmp_path: Path) -> None:
    async with a_sealer(tmp_path) as served:
        terms = {"task_type": {"type": "general_task", "category": "any"}, "title": "T"}
        terms |= {"description": "what is wanted", "reward": "10000000000"}
        before = await served.call("task_estimate", terms=terms, data="0x")
        await propose(served, name="publish_fee", values=["5000000"])
        served.seal()
        served.seal()
        after = await served.call("task_estimate", terms=terms, data="0x")
        assert int(after["fee"]) - int(before["fee"]) == 5_000_000 - MINIMAL.publish_fee


async def test_lists_show_what_is_open_and_what_became_of_the_rest(tmp_path: Path) -> None:
    async with a_sealer(tmp_path) as served:
        done = await propose(served)
        served.seal()
        far = await propose(served, values=["8"], effective_at=50)
        listed = await served.call("change_list")
        found = [(one["change_id"], one["status"]) for one in listed["items"]]
        assert found == [(far["change_id"], "open"), (done["change_id"], "adopted")]
        opened = await served.call("change_list", which="open")
        assert [one["change_id"] for one in opened["items"]] == [far["change_id"]]


async def test_a_change_that_cannot_stand_says_why_when_it_is_decided(tmp_path: Path) -> None:
    async with a_sealer(tmp_path) as served:
        who = an_address("sealer").hex()
        reply = await propose(served, action="dismiss_sealer", name="", values=[], address=who)
        served.seal()
        shown = await served.call("change_get", change_id=reply["change_id"])
        assert (shown["status"], shown["code"]) == ("refused", "last_sealer")


async def test_without_an_epoch_there_is_a_day_to_vote(tmp_path: Path) -> None:
    async with a_sealer(tmp_path) as served:
        reply = await propose(served, effective_at=None)
        assert reply["effective_at"] == 1 + MINIMAL.epochs_per_day


async def test_a_second_vote_and_one_of_a_stranger_are_refused(tmp_path: Path) -> None:
    async with a_sealer(tmp_path) as served:
        reply = await propose(served)
        with pytest.raises(RpcRefused, match="already_voted"):
            await served.call("change_vote", change_id=reply["change_id"])
    async with a_sealer(tmp_path / "other", "bob") as served:
        with pytest.raises(RpcRefused, match="not_a_sealer"):
            await propose(served)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"name": "no_such_thing"}, "unknown_parameter"),
        ({"name": "late_epochs"}, "fixed_parameter"),
        ({"values": []}, "bad_value"),
        ({"address": "ab" * 32}, "invalid_params"),
        ({"action": "admit_sealer"}, "invalid_params"),
        ({"action": "admit_sealer", "name": "", "values": []}, "invalid_params"),
        ({"action": "set"}, "invalid_params"),
        ({"effective_at": 0}, "invalid_params"),
        ({"values": ["1"] * 5}, "invalid_params"),
        ({"effective_at": 2}, "deadline_passed"),
    ],
)
async def test_what_cannot_be_voted_on_is_refused(
    tmp_path: Path, given: dict[str, Any], name: str
) -> None:
    async with a_sealer(tmp_path) as served:
        with pytest.raises(RpcRefused) as error:
            await propose(served, **given)
        assert error.value.name == name
        assert served.peer.state.open.count == 0


async def test_what_nobody_proposed_is_not_found(tmp_path: Path) -> None:
    async with a_sealer(tmp_path) as served:
        for method in ("change_get", "change_vote"):
            with pytest.raises(RpcRefused, match="no_such_change"):
                await served.call(method, change_id="ab" * 32)
    assert {"change_propose", "charter_get"} <= {one.name for one in list_methods(has_faults=False)}
