"""fraud_*, behavior_*, metrics_*, analytics_*: what this node thinks; others may differ."""

from typing import Any, TypeVar

from node.peer import Peer
from node.rpc.errors import not_found
from node.rpc.method import CURSOR, LIMIT, Method, Param, read_id
from node.rpc.methods.accounts import choose_address
from node.rpc.opinion_views import (
    show_analysis,
    show_analysis_briefly,
    show_analytics,
    show_behavior,
    show_metrics,
    show_report,
)
from node.rpc.pages import build_table_page, read_cursor, show_as_of
from protocol.hashing import compute_content_hash
from protocol.kinds.report_fraud import ReportFraud
from protocol.schema import encode_record
from protocol.tables import FRAUD_REPORTS, report_key
from storage.queries import Page

T = TypeVar("T")


def get_fraud(peer: Peer, *, submission_id: bytes) -> dict[str, Any]:
    """Return what this node thinks of one answer."""
    analysis = peer.state.store.local.analysis(submission_id)
    if analysis is None:
        raise not_found("no_such_analysis", submission_id)
    return {**show_analysis(analysis), "as_of": _show_as_of(peer)}


async def report_fraud(peer: Peer, *, submission_id: bytes) -> dict[str, Any]:
    """Publish what this node thinks of an answer; the analysis is stored for whoever asks."""
    analysis = peer.state.store.local.analysis(submission_id)
    if analysis is None:
        raise not_found("no_such_analysis", submission_id)
    data = encode_record(analysis)
    content_hash = compute_content_hash(data)
    peer.state.store.put_blob(content_hash, data)
    payload = ReportFraud(submission_id, analysis.overall_risk, analysis.ruleset, content_hash)
    author = peer.require_author()
    tx = await author.submit("report_fraud", payload, subject=analysis.task_id)
    return {"tx_id": tx.tx_id.hex(), "risk": payload.risk, "analysis_hash": content_hash.hex()}


def list_reports(peer: Peer, *, submission_id: bytes, limit: int, cursor: str) -> dict[str, Any]:
    """Return what people have published of an answer, by reporter."""
    queries = peer.state.store.queries
    return build_table_page(
        peer.state,
        FRAUD_REPORTS,
        limit=limit,
        cursor=cursor,
        get_key=lambda report: report_key(report.submission_id, report.reporter),
        compute_order=lambda report: report.reporter,
        is_wanted=lambda report: report.submission_id == submission_id,
        read_sealed=lambda items, place: queries.fraud_reports_of_submission(
            submission_id, items, place
        ),
        show=show_report,
    )


def list_flagged(peer: Peer, *, limit: int, cursor: str) -> dict[str, Any]:
    """Return the answers that this node flags, those of the highest risk first."""
    page = peer.state.store.local.flagged(limit, read_cursor(cursor))
    return _wrap(peer, page, [show_analysis_briefly(one) for one in page.items])


def get_behavior(peer: Peer, *, address: bytes | None) -> dict[str, Any]:
    """Return how a miner behaves, by his latest answers."""
    address = choose_address(peer, address)
    pattern = peer.state.store.local.behavior(address)
    if pattern is None:
        raise not_found("no_such_behavior", address)
    return {**show_behavior(pattern), "as_of": _show_as_of(peer)}


def get_latest_metrics(peer: Peer) -> dict[str, Any]:
    """Return the network's figures at the last epoch that this node looked at."""
    metrics = peer.state.store.local.metrics_latest()
    if metrics is None:
        raise not_found("no_such_metrics", "latest")
    return {**show_metrics(metrics), "as_of": _show_as_of(peer)}


def list_metrics(peer: Peer, *, limit: int, cursor: str) -> dict[str, Any]:
    """Return the network's figures epoch by epoch, the latest first."""
    page = peer.state.store.local.all_metrics(limit, read_cursor(cursor))
    return _wrap(peer, page, [show_metrics(one) for one in page.items])


def get_analytics(peer: Peer, *, address: bytes | None) -> dict[str, Any]:
    """Return how a miner did, by his latest settled answers."""
    address = choose_address(peer, address)
    analytics = peer.state.store.local.analytics(address)
    if analytics is None:
        raise not_found("no_such_analytics", address)
    return {**show_analytics(analytics), "as_of": _show_as_of(peer)}


def _show_as_of(peer: Peer) -> dict[str, Any]:
    """Return the sealed state there is, and how far the opinions have come after it."""
    latest = peer.state.store.local.metrics_latest()
    return {**show_as_of(peer.state), "opinions_epoch": 0 if latest is None else latest.epoch}


def _wrap(peer: Peer, page: Page[T], items: list[dict[str, Any]]) -> dict[str, Any]:
    cursor = None if page.cursor is None else page.cursor.hex()
    return {"items": items, "next_cursor": cursor, "as_of": _show_as_of(peer)}


_ADDRESS = Param("address", read_id, "address; the node's own by default", None)

METHODS = (
    Method(
        "fraud_get",
        get_fraud,
        "What this node thinks of one answer.",
        (Param("submission_id", read_id, "id of an answer"),),
    ),
    Method(
        "fraud_report",
        report_fraud,
        "Publish what this node thinks of an answer.",
        (Param("submission_id", read_id, "id of an answer"),),
    ),
    Method(
        "fraud_reports",
        list_reports,
        "What was published of an answer.",
        (Param("submission_id", read_id, "id of an answer"), LIMIT, CURSOR),
    ),
    Method("fraud_flagged", list_flagged, "The answers that this node flags.", (LIMIT, CURSOR)),
    Method("behavior_get", get_behavior, "How a miner behaves.", (_ADDRESS,)),
    Method("metrics_latest", get_latest_metrics, "The network's figures, the latest."),
    Method("metrics_list", list_metrics, "The network's figures by epoch.", (LIMIT, CURSOR)),
    Method("analytics_get", get_analytics, "How a miner did.", (_ADDRESS,)),
)
