"""Opinions through the RPC and on the command line."""

import json
from pathlib import Path

import pytest
from trio.testing import wait_all_tasks_blocked

from node.cli import run_command
from node.commands import report
from node.opinions.metrics import NOTHING
from node.rpc.client import RpcError
from node.rpc.opinion_views import show_analysis_briefly, show_metrics
from tests.support.builders import a_hash, an_address
from tests.support.fake_node import FakeNode, page
from tests.support.opinions import an_analysis
from tests.support.rpc import RpcRefused, a_served_peer


async def test_opinions_are_asked_by_answer_by_miner_and_by_epoch(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        with pytest.raises(RpcRefused, match="no_such_metrics"):
            await served.call("metrics_latest")
        served.seal()
        served.seal()
        await wait_all_tasks_blocked()
        latest = await served.call("metrics_latest")
        assert latest["epoch"] == latest["as_of"]["opinions_epoch"] == 2
        assert latest["quality_mean_x100"] is None
        assert (await served.call("metrics_list", limit=1))["items"][0]["epoch"] == 2
        local = served.peer.state.store.local
        for number in range(3):
            local.put_analysis(an_analysis(f"answer {number}", 8_000 + number))
        first = await served.call("fraud_flagged", limit=2)
        rest = await served.call("fraud_flagged", limit=2, cursor=first["next_cursor"])
        risks = [one["overall_risk"] for one in first["items"] + rest["items"]]
        assert risks == [8_002, 8_001, 8_000]
        assert rest["next_cursor"] is None
        shown = await served.call("fraud_get", submission_id=a_hash("answer 1").hex())
        assert shown["parts"]["time"]["value"] == 8_001
        assert shown["indicators"][0]["severity"] == "critical"
        for method in ("fraud_get", "behavior_get", "analytics_get"):
            key = "submission_id" if method == "fraud_get" else "address"
            with pytest.raises(RpcRefused, match="no_such_"):
                await served.call(method, **{key: "00" * 32})
        with pytest.raises(RpcRefused, match="invalid_params"):
            await served.call("fraud_flagged", cursor="no hex")


@pytest.mark.parametrize("is_json", [False, True])
def test_the_report_fits_eighty_columns(
    is_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(address: str) -> None:
        raise RpcError("no_such_analytics", address)

    flagged = show_analysis_briefly(an_analysis("answer", 9_500))
    fake = FakeNode(
        {
            "fraud_flagged": page({**flagged, "found": ["regular_submission_pattern"] * 5}),
            "metrics_latest": lambda: show_metrics(NOTHING),
            "behavior_get": lambda address: {"miner": address, "sample_count": 3},
            "analytics_get": refuse,
        }
    )
    monkeypatch.setattr(report, "connect", lambda paths: fake)
    flags = ["--json"] if is_json else []
    for words, wanted in [
        (["fraud"], "9500"),
        (["metrics"], "under"),
        (["miner", an_address("bob").hex()], "3"),
    ]:
        assert run_command(["report", *words, *flags]) == 0
        out = capsys.readouterr().out
        assert wanted in out
        if is_json:
            json.loads(out)
        else:
            assert max(len(line) for line in out.splitlines()) <= 80
