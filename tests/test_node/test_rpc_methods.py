"""What the methods answer: tasks, accounts, transactions, checks, on one peer in memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from node.config import DevConfig
from protocol.kinds.cancel_task import CancelTask
from protocol.records import ROLE_SOLVER
from protocol.schema import encode_record
from protocol.tables import ACCOUNTS
from protocol.transactions import VERSION, Header, compute_task_id, sign_transaction
from storage.engine import Batch
from tests.support.builders import (
    COIN,
    a_content,
    a_registration,
    a_reveal,
    a_signer,
    a_task,
    an_address,
    an_answer,
)
from tests.support.rpc import QUICK, RpcRefused, ServedPeer, a_served_peer

TERMS: dict[str, Any] = {
    "task_type": {"type": "code_analysis", "language": "python", "complexity": "simple"},
    "title": "Analyse this",
    "description": "Count what is in this file.",
    "reward": str(10 * COIN),
}


async def publish(served: ServedPeer, **changes: Any) -> str:
    reply = await served.call("task_publish", terms={**TERMS, **changes}, data="0x" + b"x".hex())
    return str(reply["task_id"])


async def refusal(served: ServedPeer, method: str, **params: Any) -> RpcRefused:
    with pytest.raises(RpcRefused) as caught:
        await served.call(method, **params)
    return caught.value


async def test_the_status_says_what_the_peer_stands_on(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        await publish(served)
        status = await served.call("node_status")
        state = served.peer.state
        assert status["network"] == state.network.hex()
        assert status["account"] == an_address("alice").hex()
        assert (status["epoch"], status["open"], status["transactions"]) == (0, 1, 1)
        assert status["open_fingerprint"] == state.status().open_fingerprint.hex()
        assert status["tasks_active"] == {"published": 1}
        assert status["ready"] is True
        assert status["memory_bytes"] > 1 << 20
        served.seal()
        status = await served.call("node_status")
        assert (status["epoch"], status["open"], status["sealed"]) == (1, 0, 1)
        assert status["seal_hash"] == state.seal_hash.hex()
        assert status["state_root"] == state.state_root.hex()


async def test_stop_asks_the_peer_to_end(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        assert await served.call("node_stop") is True
        assert served.peer.stop.is_set()


async def test_a_task_is_provisional_until_a_seal_takes_it_in(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        task_id = await publish(served)
        task = await served.call("task_get", task_id=task_id)
        assert (task["status"], task["provisional"], task["sealed_status"]) == (
            "published",
            True,
            None,
        )
        assert task["has_data"] is True
        assert task["task_type"] == TERMS["task_type"]
        served.seal()
        task = await served.call("task_get", task_id=task_id)
        assert (task["provisional"], task["sealed_status"]) == (False, "published")
        assert task["as_of"]["epoch"] == 1
        await served.call("task_cancel", task_id=task_id, reason="changed my mind")
        task = await served.call("task_get", task_id=task_id)
        assert (task["status"], task["provisional"], task["sealed_status"]) == (
            "cancelled",
            True,
            "published",
        )
        served.seal()
        task = await served.call("task_get", task_id=task_id)
        assert task["transitions"][-1]["trigger"] == "publisher_cancelled"


async def test_a_list_has_every_task_once_in_pages_of_any_size(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        ids = [await publish(served, title=f"Task {number}") for number in range(5)]
        served.seal()
        ids += [await publish(served, title=f"Task {number}") for number in range(5, 8)]
        await served.call("task_cancel", task_id=ids[0])
        for limit in (1, 2, 3, 100):
            assert sorted(await read_all(served, "task_list", limit)) == sorted(ids)
        open_ones = await read_all(served, "task_list", 2, status="Published")
        assert sorted(open_ones) == sorted(ids[1:])
        assert await read_all(served, "task_list", 2, status="cancelled") == [ids[0]]
        mine = await read_all(served, "task_list", 3, publisher=an_address("alice").hex())
        assert sorted(mine) == sorted(ids)
        assert await read_all(served, "task_list", 3, publisher=an_address("bob").hex()) == []


async def test_a_reader_of_pages_misses_nothing_that_changes_meanwhile(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        ids = [await publish(served, title=f"Task {number}") for number in range(6)]
        served.seal()
        first = await served.call("task_list", limit=2)
        # From here on every task is among those that the open set changes.
        for task_id in ids:
            await served.call("task_cancel", task_id=task_id)
        found = [item["task_id"] for item in first["items"]]
        cursor = first["next_cursor"]
        while cursor is not None:
            page = await served.call("task_list", limit=2, cursor=cursor)
            found += [item["task_id"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert sorted(found) == sorted(ids)


async def test_answers_are_listed_by_task_by_miner_and_all(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        state, network = served.peer.state, served.peer.state.network
        author = served.peer.require_author()
        await author.submit("register_miner", a_registration(roles=ROLE_SOLVER))
        task = await served.call("tx_submit", wire=sign_elsewhere(served, "bob").hex())
        served.seal()
        task_id = bytes.fromhex((await served.call("tx_get", tx_id=task["tx_id"]))["subject"])
        for is_sealed in (False, True):
            if not is_sealed:
                payload = an_answer(network, task_id, "alice")
                await author.submit("submit_answer", payload, subject=task_id)
            lists = [
                await served.call("task_answers", task_id=task_id.hex()),
                await served.call("answer_list", miner=an_address("alice").hex()),
                await served.call("answer_list"),
            ]
            for page in lists:
                (item,) = page["items"]
                assert (item["status"], item["provisional"]) == ("pending", not is_sealed)
            served.seal()
        shown = await served.call("answer_get", submission_id=item["submission_id"])
        assert shown["content"] is None
        deadline = (await served.call("task_get", task_id=task_id.hex()))["submission_deadline"]
        while state.epoch < deadline:
            served.seal()
        await author.submit("reveal_answer", a_reveal(network, task_id, "alice"), subject=task_id)
        shown = await served.call("answer_get", submission_id=item["submission_id"])
        assert bytes.fromhex(shown["content"].removeprefix("0x")) == a_content("alice")
        assert state.open.count == 1


async def read_all(served: ServedPeer, method: str, limit: int, **params: Any) -> list[str]:
    found: list[str] = []
    cursor = ""
    for _ in range(100):
        page = await served.call(method, limit=limit, cursor=cursor, **params)
        assert len(page["items"]) <= limit
        found += [item["task_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found
    raise AssertionError("a list without end")


@pytest.mark.parametrize("cursor", ["x", "szz", "s0", "o" + "AB", "t00", "s" + "00" * 256])
async def test_a_cursor_that_is_none_of_ours_is_refused(tmp_path: Path, cursor: str) -> None:
    async with a_served_peer(tmp_path) as served:
        fault = await refusal(served, "task_list", cursor=cursor)
        assert fault.name in ("invalid_params", "bad_cursor", "parse_error")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"title": ""}, "bad_title"),
        ({"description": "short"}, "bad_description"),
        ({"reward": str(400 * COIN)}, "reward_out_of_range"),
        ({"reward": "-1"}, "invalid_params"),
        ({"reward": 1.5}, "invalid_params"),
        ({"submission_epochs": 1}, "window_out_of_range"),
        ({"difficulty": "impossible"}, "invalid_params"),
        ({"colour": "blue"}, "invalid_params"),
        ({"task_type": {"type": "no_such"}}, "invalid_params"),
        ({"task_type": {"type": "code_analysis"}}, "invalid_params"),
        ({"task_type": {"type": "general_task", "category": "Not A Slug"}}, "bad_slug"),
    ],
)
async def test_terms_that_the_rules_forbid_are_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], name: str
) -> None:
    async with a_served_peer(tmp_path) as served:
        terms = {**TERMS, **changes}
        assert (await refusal(served, "task_publish", terms=terms, data="")).name == name
        assert served.peer.state.open.count == 0


async def test_an_estimate_covers_what_is_charged(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        before = int((await served.call("account_get"))["balance"])
        estimate = await served.call("task_estimate", terms=TERMS, data=b"x".hex())
        assert served.peer.state.open.count == 0
        await publish(served)
        served.seal()
        after = int((await served.call("account_get"))["balance"])
        charged = before - after
        assert charged <= int(estimate["total"]) <= charged + COIN // 100


async def test_open_debits_show_before_the_seal(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        await publish(served)
        account = await served.call("account_get")
        assert int(account["provisional_balance"]) < int(account["balance"]) - 10 * COIN
        assert (account["sealed_seq"], account["next_seq"]) == (0, 1)
        history = await served.call("account_history")
        assert [item["kind"] for item in history["items"]] == ["publish_task"]


async def test_history_goes_back_page_by_page(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        for _ in range(5):
            await publish(served)
        first = await served.call("account_history", limit=3)
        second = await served.call("account_history", limit=3, cursor=first["next_cursor"])
        seqs = [item["seq"] for item in (*first["items"], *second["items"])]
        assert seqs == [4, 3, 2, 1, 0]
        assert second["next_cursor"] is None


async def test_without_a_key_nothing_is_signed_and_everything_is_read(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path, has_key=False) as served:
        fault = await refusal(served, "task_publish", terms=TERMS, data="")
        assert (fault.name, fault.number) == ("no_account", 3002)
        assert (await refusal(served, "account_get")).name == "no_account"
        address = an_address("bob").hex()
        assert (await served.call("account_get", address=address))["address"] == address


@pytest.mark.parametrize(
    ("method", "param", "name"),
    [
        ("task_get", "task_id", "no_such_task"),
        ("task_cancel", "task_id", "no_such_task"),
        ("answer_get", "submission_id", "no_such_answer"),
        ("account_get", "address", "no_such_account"),
        ("miner_get", "address", "no_such_miner"),
        ("tx_get", "tx_id", "no_such_transaction"),
        ("reward_claim", "entry_id", "no_such_reward"),
    ],
)
async def test_what_is_not_there_is_said_by_name(
    tmp_path: Path, method: str, param: str, name: str
) -> None:
    async with a_served_peer(tmp_path) as served:
        fault = await refusal(served, method, **{param: "00" * 32})
        assert fault.name == name
        assert fault.number in (1000, 2000)


async def test_a_transaction_signed_elsewhere_is_taken_in(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        wire = sign_elsewhere(served, "bob")
        reply = await served.call("tx_submit", wire="0x" + wire.hex())
        assert reply["state"] == "open"
        assert (await served.call("tx_submit", wire=wire.hex()))["tx_id"] == reply["tx_id"]
        served.seal()
        shown = await served.call("tx_get", tx_id=reply["tx_id"])
        assert (shown["state"], shown["sealed_epoch"], shown["ruling"]) == ("applied", 1, None)


def sign_elsewhere(served: ServedPeer, name: str, *, seq: int = 0, title: str = "Mine") -> bytes:
    state = served.peer.state
    signer = a_signer(name)
    header = Header(
        version=VERSION,
        network=state.network,
        kind=0,
        author=signer.address,
        seq=seq,
        prev=None if seq == 0 else bytes(32),
        epoch=state.epoch + 1,
        anchor=state.seal_hash[:16],
        subject=compute_task_id(state.network, signer.address, seq),
        refs=(),
    )
    return sign_transaction(header, a_task(title=title), signer).wire


async def test_a_transaction_that_is_none_is_refused(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        wire = bytearray(sign_elsewhere(served, "bob"))
        assert (await refusal(served, "tx_submit", wire="00")).number == 1001
        wire[-1] ^= 1
        assert (await refusal(served, "tx_submit", wire=wire.hex())).name == "bad_signature"
        stranger = sign_elsewhere(served, "nobody")
        assert (await refusal(served, "tx_submit", wire=stranger.hex())).name == "unknown_account"


async def test_a_transaction_without_its_chain_waits(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        wire = sign_elsewhere(served, "bob", seq=1)
        assert (await served.call("tx_submit", wire=wire.hex()))["state"] == "waiting"
        assert (await served.call("sync_status"))["missing_links"] == 1


async def test_waiting_ends_with_the_seal_or_with_the_time(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        reply = await served.call("tx_submit", wire=sign_elsewhere(served, "bob").hex())
        early = await served.call("tx_wait", tx_id=reply["tx_id"], timeout_ms=0)
        assert (early["done"], early["state"]) == (False, "open")
        async with trio.open_nursery() as nursery:
            found: dict[str, Any] = {}

            async def wait() -> None:
                found.update(await served.call("tx_wait", tx_id=reply["tx_id"]))

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            served.seal()
        assert (found["done"], found["state"], found["sealed_epoch"]) == (True, "applied", 1)


async def test_two_transactions_with_one_seq_are_evidence(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        task_id = await publish(served)
        payload = encode_record(CancelTask("another"))
        other = await served.call(
            "dev_sign", kind="cancel_task", payload=payload.hex(), seq=0, subject=task_id
        )
        assert served.peer.state.open.count == 1
        fault = await refusal(served, "dev_inject", wire=other["wire"])
        assert fault.name == "equivocated"
        (item,) = (await served.call("check_conflicts"))["items"]
        assert (item["code"], item["kind"], item["provisional"]) == (
            "equivocated",
            "equivocation",
            True,
        )
        served.seal()
        (item,) = (await served.call("check_conflicts"))["items"]
        assert (item["provisional"], item["epoch"]) == (False, 1)
        (evidence,) = (await served.call("check_evidence"))["items"]
        assert (evidence["author"], evidence["sealed_epoch"]) == (an_address("alice").hex(), 1)


async def test_what_the_rules_refuse_is_a_conflict_with_its_reason(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        task_id = await publish(served)
        served.seal()
        await served.call("task_cancel", task_id=task_id)
        payload = encode_record(CancelTask("again"))
        again = await served.call(
            "dev_sign", kind="cancel_task", payload=payload.hex(), subject=task_id
        )
        await served.call("dev_inject", wire=again["wire"])
        for is_sealed in (False, True):
            (item,) = (await served.call("check_conflicts", task_id=task_id))["items"]
            assert (item["code"], item["provisional"]) == ("wrong_phase", not is_sealed)
            assert item["lost_to"] is not None
            served.seal()
        shown = await served.call("tx_get", tx_id=item["tx_id"])
        assert (shown["state"], shown["ruling"]["code"]) == ("ruled", "wrong_phase")


async def test_a_check_computes_the_root_anew(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        await publish(served)
        served.seal()
        report = await served.call("check_run")
        assert (report["ok"], report["root_equal"], report["broken"]) == (True, True, [])
        assert report["rows"] > 10
        assert report["rules_checked"] > 5


async def test_a_check_finds_a_row_that_was_changed(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        store = served.peer.state.store
        account = store.view.get(ACCOUNTS, an_address("bob"))
        assert account is not None
        batch = Batch()
        richer = ACCOUNTS.encode_row(replace(account, balance=account.balance + 1))
        batch.put(ACCOUNTS.name, an_address("bob"), richer)
        store.engine.write(batch, sync=True)
        report = await served.call("check_run")
        assert (report["ok"], report["root_equal"]) == (False, False)
        assert any("money" in text for text in report["broken"])


async def test_miners_are_listed_by_role(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        author = served.peer.require_author()
        await author.submit("register_miner", a_registration(roles=ROLE_SOLVER))
        page = await served.call("miner_list", role="solver")
        assert [(item["address"], item["provisional"]) for item in page["items"]] == [
            (an_address("alice").hex(), True)
        ]
        served.seal()
        assert (await served.call("miner_get"))["roles"] == ["solver"]
        assert (await served.call("miner_list", role="validator"))["items"] == []
        assert len((await served.call("miner_list"))["items"]) == 1


async def test_worker_methods_say_that_there_is_no_worker(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        assert (await refusal(served, "worker_status")).name == "no_worker"


async def test_every_method_is_described(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        document = await served.call("rpc_discover")
        names = [method["name"] for method in document["methods"]]
        assert names == sorted(set(names))
        assert {"task_publish", "dev_partition"} <= set(names)
        assert all(method["summary"].endswith(".") for method in document["methods"])


async def test_faults_are_not_served_unless_the_operator_wants_them(tmp_path: Path) -> None:
    config = replace(QUICK, dev=DevConfig(faults=False))
    async with a_served_peer(tmp_path, config=config) as served:
        for name in ("partition", "heal", "link", "outage", "clock", "inject"):
            assert (await refusal(served, f"dev_{name}")).name == "unknown_method"


async def test_the_report_of_the_database_counts_what_was_done(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        before = await served.call("db_report")
        await publish(served)
        served.seal()
        after = await served.call("db_report")
        calls = [
            {(line["table"], line["operation"]): line["calls"] for line in report["operations"]}
            for report in (before, after)
        ]
        assert calls[1]["transactions", "write"] == calls[0].get(("transactions", "write"), 0) + 1
        assert calls[1]["seals", "write"] == 1
        assert after["tables"]["transactions"]["keys"] == 1
        assert after["cache"]["rows"] > 0
