"""Disputes and stakes through the RPC: a whole dispute as its people see it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from protocol.dispute_records import PANEL_SIZES
from protocol.hashing import compute_content_hash
from protocol.kinds.adjust_stake import compute_exit_epochs
from protocol.phases import TaskStatus
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR
from protocol.schema import decode_record
from storage.local_records import FraudAnalysis
from tests.support.builders import (
    ARBITERS,
    COIN,
    VALIDATORS,
    a_hash,
    a_registration,
    a_reveal,
    a_submission_id,
    a_task,
    a_vote,
    a_vote_commitment,
    an_address,
    an_answer,
    name_of,
)
from tests.support.court import BOND, a_court_genesis
from tests.support.market import Market
from tests.support.opinions import an_analysis
from tests.support.rpc import RpcRefused, ServedPeer, a_served_peer

JUDGES = (*VALIDATORS, *ARBITERS)


class Court:
    """A market with a judged task of alice's, answered by bob, and a door for everybody."""

    def __init__(self, shell: ServedPeer, market: Market) -> None:
        self._shell = shell
        self.market = market
        self.task_id = b""

    def door(self, who: str) -> ServedPeer:
        """Return the RPC of somebody's node."""
        author = self.market.author(who)
        return ServedPeer(replace(self._shell.peer, state=self.market.state, author=author))

    async def act(self, who: str, kind: str, payload: Any, *, own: bool = False) -> bytes:
        """Have somebody sign something about the task, or about himself; return its subject."""
        subject = None if own else self.task_id
        tx = await self.market.author(who).submit(kind, payload, subject=subject)
        return tx.header.subject

    @property
    def answer(self) -> str:
        """The id of bob's answer."""
        return a_submission_id(self.market.genesis.network, self.task_id, "bob").hex()

    async def judge_task(self) -> None:
        """Have a task published, answered and judged."""
        market, network = self.market, self.market.genesis.network
        await self.act("bob", "register_miner", a_registration(roles=ROLE_SOLVER), own=True)
        for who in JUDGES:
            await self.act(who, "register_miner", a_registration(roles=ROLE_VALIDATOR), own=True)
        market.seal()
        self.task_id = await self.act("alice", "publish_task", a_task(), own=True)
        market.seal()
        await self.act("bob", "submit_answer", an_answer(network, self.task_id, "bob"))
        market.seal_to(market.task(self.task_id).lifecycle.submission_deadline)
        await self.act("bob", "reveal_answer", a_reveal(network, self.task_id, "bob"))
        market.seal()
        panel = [name_of(address) for address in market.task(self.task_id).panel]
        vote = a_vote(bytes.fromhex(self.answer), 90)
        for who in panel:
            await self.act(who, "validate_answer", a_vote_commitment(network, who, vote))
        market.seal()
        for who in panel:
            await self.act(who, "reveal_vote", vote)
        market.seal()
        assert market.task(self.task_id).status is TaskStatus.COMPLETED


@asynccontextmanager
async def a_court(folder: Path) -> AsyncIterator[Court]:
    (folder / "market").mkdir(mode=0o700)
    genesis = a_court_genesis()
    async with a_served_peer(folder, genesis=genesis) as shell, trio.open_nursery() as nursery:
        court = Court(shell, Market(nursery, folder / "market", genesis))
        await court.judge_task()
        yield court
        nursery.cancel_scope.cancel()


async def open_dispute(court: Court, **changes: Any) -> str:
    params = {
        "task_id": court.task_id.hex(),
        "type": "plagiarism",
        "submission_id": court.answer,
        "evidence": [{"type": "original_work", "data": "0x" + b"proof".hex()}],
        "reason": "It is a copy of mine.",
        **changes,
    }
    reply = await court.door("alice").call("dispute_open", **params)
    return str(reply["dispute_id"])


async def test_a_dispute_from_the_objection_to_the_verdict(tmp_path: Path) -> None:
    async with a_court(tmp_path) as court:
        alice, bob = court.door("alice"), court.door("bob")
        dispute_id = await open_dispute(court)
        shown = await alice.call("dispute_get", dispute_id=dispute_id)
        assert (shown["status"], shown["provisional"], shown["sealed_status"]) == (
            "pending",
            True,
            None,
        )
        assert (shown["locked"], shown["defendants"]) == (str(BOND), [an_address("bob").hex()])
        (item,) = shown["evidence"]
        assert (item["type"], item["data"]) == ("original_work", "0x" + b"proof".hex())
        assert item["content_hash"] == compute_content_hash(b"proof").hex()
        court.market.seal()
        more = {"data": "0x" + b"mine".hex()}
        await bob.call("dispute_evidence", dispute_id=dispute_id, evidence=more)
        court.market.seal()
        shown = await alice.call("dispute_get", dispute_id=dispute_id)
        assert (shown["status"], len(shown["panel"])) == ("under_review", PANEL_SIZES[0])
        assert [one["submitter"] for one in shown["evidence"]] == [
            an_address("alice").hex(),
            an_address("bob").hex(),
        ]
        for address in shown["panel"]:
            await court.door(name_of(bytes.fromhex(address))).call(
                "dispute_vote",
                dispute_id=dispute_id,
                choice="overturn",
                submissions=[court.answer],
                reasoning="It is.",
            )
        court.market.seal()
        (listed,) = (await bob.call("dispute_list", task_id=court.task_id.hex()))["items"]
        assert (listed["status"], listed["verdict"]) == ("resolved_appealable", "overturn")
        await bob.call("dispute_appeal", dispute_id=dispute_id, reason="No.", data="0xff")
        court.market.seal_to(court.market.state.epoch + 2)
        shown = await bob.call("dispute_get", dispute_id=dispute_id)
        assert (shown["hearing"], len(shown["panel"])) == (1, PANEL_SIZES[1])
        assert shown["evidence"][-1]["data"] == "0xff"
        court.market.seal_to(shown["resolution_deadline"] + 1)
        shown = await bob.call("dispute_get", dispute_id=dispute_id)
        assert (shown["status"], shown["locked"]) == ("resolved_final", "0")
        task = await bob.call("task_get", task_id=court.task_id.hex())
        assert (task["round"], task["status"]) == (1, "completed")
        assert task["submissions"][0]["status"] == "rejected"
        assert [one["round"] for one in task["rewards"]] == [0, 1]


async def test_disputes_are_listed_by_what_is_asked(tmp_path: Path) -> None:
    async with a_court(tmp_path) as court:
        door = court.door("eve")

        async def ids(**params: Any) -> list[str]:
            page = await door.call("dispute_list", **params)
            return [item["dispute_id"] for item in page["items"]]

        assert await ids() == []
        dispute_id = await open_dispute(court)
        for is_sealed in (False, True):
            if is_sealed:
                court.market.seal()
            assert await ids() == [dispute_id]
            assert await ids(which="open") == [dispute_id]
            assert await ids(status="pending") == [dispute_id]
            assert await ids(status="expired") == []
            assert await ids(task_id="00" * 32) == []
        await court.door("alice").call("dispute_withdraw", dispute_id=dispute_id)
        court.market.seal()
        assert await ids(which="open") == []
        assert await ids(status="withdrawn") == [dispute_id]


async def test_what_makes_no_sense_is_refused_with_its_reason(tmp_path: Path) -> None:
    async with a_court(tmp_path) as court:
        item = {"data": "0x00"}
        refused: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("invalid_params", "dispute_open", {"type": "murder"}),
            ("invalid_params", "dispute_open", {"evidence": [{}]}),
            ("invalid_params", "dispute_open", {"evidence": [{**item, "content_hash": "00" * 32}]}),
            ("invalid_params", "dispute_open", {"evidence": [{**item, "colour": "red"}]}),
            ("invalid_params", "dispute_open", {"evidence": [{**item, "type": "gossip"}]}),
            ("bad_evidence", "dispute_open", {"evidence": []}),
            ("bond_too_small", "dispute_open", {"bond": "1"}),
            ("no_such_task", "dispute_open", {"task_id": "00" * 32}),
        )
        for code, _, changes in refused:
            with pytest.raises(RpcRefused) as caught:
                await open_dispute(court, **changes)
            assert caught.value.name == code
        unknown = a_hash("no dispute").hex()
        for method, params in (
            ("dispute_get", {}),
            ("dispute_evidence", {"evidence": item}),
            ("dispute_vote", {"choice": "uphold"}),
            ("dispute_appeal", {}),
            ("dispute_withdraw", {}),
        ):
            with pytest.raises(RpcRefused) as caught:
                await court.door("alice").call(method, dispute_id=unknown, **params)
            assert caught.value.name == "no_such_dispute"
        dispute_id = await open_dispute(court)
        with pytest.raises(RpcRefused) as caught:
            await court.door("bob").call("dispute_vote", dispute_id=dispute_id, choice="uphold")
        assert caught.value.name == "wrong_state"


async def test_what_a_node_thinks_is_published_under_its_name(tmp_path: Path) -> None:
    async with a_court(tmp_path) as court:
        door, answer = court.door("azra"), bytes.fromhex(court.answer)
        local = court.market.state.store.local
        thought = replace(an_analysis("any", 9_000), submission_id=answer, task_id=court.task_id)
        with pytest.raises(RpcRefused, match="no_such_analysis"):
            await door.call("fraud_report", submission_id=court.answer)
        local.put_analysis(replace(thought, overall_risk=7_000))
        with pytest.raises(RpcRefused, match="bad_risk"):
            await door.call("fraud_report", submission_id=court.answer)
        local.put_analysis(thought)
        reply = await door.call("fraud_report", submission_id=court.answer)
        court.market.seal()
        (shown,) = (await door.call("fraud_reports", submission_id=court.answer))["items"]
        assert (shown["risk"], shown["reporter"]) == (9_000, an_address("azra").hex())
        assert shown["analysis_hash"] == reply["analysis_hash"]
        analysis = court.market.state.store.journal.blob(bytes.fromhex(reply["analysis_hash"]))
        assert analysis is not None
        assert decode_record(FraudAnalysis, analysis) == thought


async def test_a_stake_is_raised_and_taken_back(tmp_path: Path) -> None:
    async with a_court(tmp_path) as court:
        door = court.door("azra")
        before = await door.call("stake_get")
        await door.call("stake_deposit", amount=str(COIN))
        raised = await door.call("stake_get")
        assert int(raised["stake"]) == int(before["stake"]) + COIN
        assert (raised["status"], raised["withdrawable_after"]) == ("active", None)
        court.market.seal()
        await door.call("stake_exit")
        court.market.seal()
        leaving = await door.call("stake_get", address=an_address("azra").hex())
        until = court.market.state.epoch + compute_exit_epochs(court.market.genesis.params)
        assert (leaving["status"], leaving["withdrawable_after"]) == ("exiting", until)
        with pytest.raises(RpcRefused, match="too_early"):
            await door.call("stake_withdraw")
        court.market.seal_to(until)
        await door.call("stake_withdraw")
        court.market.seal()
        gone = await door.call("stake_get")
        assert (gone["status"], gone["stake"]) == ("exited", "0")
        with pytest.raises(RpcRefused, match="no_such_miner"):
            await court.door("eve").call("stake_get")
