"""The page: it shows what was seen, a pure function, and only who has the token does anything."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest

from devnet.errors import DevnetError
from devnet.founding import found_devnet
from devnet.layout import Devnet
from devnet.page.deeds import Deed, read_deed
from devnet.page.server import CONNECTIONS_MAX, DEED_BYTES_MAX, PageApp, build_page_server
from devnet.page.view import EPOCHS_SHOWN, build_view
from devnet.watch.snapshot import Snapshot
from devnet.watch.watcher import Watcher
from node.rpc.http import HttpServer
from tests.support.rpc import build_request, exchange, read_body, read_status
from tests.support.snapshots import (
    NAMES,
    a_history,
    a_hostile_snapshot,
    a_root,
    a_snapshot,
    a_troubled_snapshot,
)
from tests.test_devnet.fakes import FakeCluster, FakeRemote, make_status

PORT = 7100
HOST = f"127.0.0.1:{PORT}"
TOKEN = "cd" * 32
PATHS = ("/", "/look.css", "/page.css", "/page.js", "/view")


@pytest.fixture
def devnet(tmp_path: Path) -> Devnet:
    return found_devnet(tmp_path / "net", 3, 7)


class Stage:
    """The page of a devnet of fake peers, two of which answer."""

    def __init__(self, devnet: Devnet) -> None:
        nothing = dict.fromkeys(("peers", "cut", "deaf", "slow", "stored", "sealed"), ())
        seen = {"run": 1, "next": 0, "count": 0, "clock_offset_ms": 0, **nothing}
        answers = {
            "node_status": lambda _: make_status(),
            "task_list": lambda _: {"items": []},
            "dev_look": lambda _: seen,
            "dev_partition": lambda _: {},
            "dev_heal": lambda _: {},
        }
        self.remotes = [FakeRemote(name, answers) for name in ("n1", "n2")]
        self.cluster = FakeCluster(devnet, self.remotes)
        self.watcher = Watcher(self.cluster)
        self.http: HttpServer = build_page_server(PageApp(self.cluster, self.watcher), TOKEN, PORT)

    async def get(self, path: str, **headers: str | None) -> bytes:
        return await self.ask(path, "GET", b"", headers)

    async def post(self, deed: object, **headers: str | None) -> bytes:
        return await self.ask("/deed", "POST", json.dumps(deed).encode(), headers)

    async def ask(
        self, path: str, method: str, body: bytes, headers: dict[str, str | None]
    ) -> bytes:
        chosen = {"Host": HOST, "Authorization": f"Bearer {TOKEN}", **headers}
        request = build_request(body, method=method, path=path, headers=chosen)
        return await exchange(self.http, request)

    def count_deeds(self) -> int:
        return sum(one.count("dev_partition") + one.count("dev_heal") for one in self.remotes)


def read_header(answer: bytes, name: str) -> list[str]:
    head = answer.split(b"\r\n\r\n", 1)[0].decode("latin-1")
    lines = [line.partition(":") for line in head.split("\r\n")[1:]]
    return [value.strip() for key, _, value in lines if key.lower() == name]


# ------------------------------------------------------------------------------- what is shown

MAKERS = [a_snapshot, a_troubled_snapshot, a_hostile_snapshot]


@pytest.mark.parametrize("make", MAKERS)
def test_a_snapshot_gives_one_view_and_each_part_has_its_place(
    make: Callable[[], Snapshot],
) -> None:
    view = build_view(make())
    assert view == build_view(make())
    page = files("devnet.page").joinpath("page.html").read_text()
    assert [name for name in view if f'id="{name}"' not in page] == []


@pytest.mark.parametrize("name", build_view(a_hostile_snapshot()))
def test_no_strangers_text_becomes_markup(name: str) -> None:
    fragment = build_view(a_hostile_snapshot())[name]
    assert "<script" not in fragment
    assert fragment.isprintable()
    assert not re.search(r'\s(on\w+|style|href|src)="', fragment)
    # An input has no end tag in HTML; all else is well-formed.
    closed = re.sub(r"<input([^>]*)>", r"<input\1/>", fragment)
    ElementTree.fromstring(f"<div>{closed}</div>")


def test_the_view_shows_faults_roots_and_figures() -> None:
    view = build_view(a_troubled_snapshot())
    assert "in force: n2 down, cut n1 n2 n3 n4 | n5" in view["faults"]
    assert "no fault in force" in build_view(a_snapshot())["faults"]
    assert "4 of 5 peers up, seed 7" in view["head"]
    assert a_root(40)[:12] in view["peers"]
    assert view["matrix"].count("cell rank-0") == EPOCHS_SHOWN * len(NAMES)
    assert "60 on every peer" in view["histogram"]
    assert "under validation" in view["tasks"]
    assert view["events"].index("kill n2") < view["events"].index("partition")
    assert "span cut" in view["timeline"]
    parted = build_view(replace(a_snapshot(), history=a_history(parted_from=35)))
    assert 'class="bad">2 different roots at epoch 35' in parted["matrix"]


def test_a_peer_has_the_buttons_that_its_state_allows() -> None:
    fragment = build_view(a_troubled_snapshot())["deeds"]
    found = re.findall(r'data-do="(\w+)" data-peer="(\w+)"', fragment)
    assert [do for do, peer in found if peer == "n2"] == ["start"]
    assert [do for do, peer in found if peer == "n1"] == ["kill", "pause", "restart"]


def test_what_is_pressed_does_not_move_while_nothing_happens_to_peers() -> None:
    whole = a_snapshot()
    peers = tuple(
        replace(peer, epoch=peer.epoch + 1, transactions=9_999) for peer in whole.view.peers
    )
    later = replace(whole, at_ms=whole.at_ms + 999, view=replace(whole.view, peers=peers))
    before, after = build_view(whole), build_view(later)
    assert before["deeds"] == after["deeds"]
    assert before["peers"] != after["peers"]


# --------------------------------------------------------------------------------- the server


@pytest.mark.parametrize("path", PATHS)
async def test_every_reply_forbids_what_is_inline_or_foreign(devnet: Devnet, path: str) -> None:
    stage = Stage(devnet)
    answer = await stage.get(path, Authorization=None)
    assert read_status(answer) == 200
    (policy,) = read_header(answer, "content-security-policy")
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "unsafe" not in policy
    assert read_header(answer, "x-content-type-options") == ["nosniff"]
    assert read_header(answer, "referrer-policy") == ["no-referrer"]


async def test_the_page_has_nothing_inline_and_nothing_foreign(devnet: Devnet) -> None:
    stage = Stage(devnet)
    for path in PATHS[:-1]:
        text = read_body(await stage.get(path)).decode()
        assert "://" not in text, path
    page = read_body(await stage.get("/")).decode()
    assert not re.search(r'\s(on\w+|style)="', page)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == [""]
    named = re.findall(r'(?:src|href)="(/[^"]*)"', page)
    assert set(named) <= set(PATHS)
    assert "<style" not in page


async def test_the_view_is_what_the_watcher_saw_last(devnet: Devnet) -> None:
    stage = Stage(devnet)
    before = json.loads(read_body(await stage.get("/view")))
    assert "0 of 3 peers up" in before["head"]
    await stage.watcher.look()
    after = json.loads(read_body(await stage.get("/view")))
    assert "2 of 3 peers up" in after["head"]
    assert after == build_view(stage.watcher.latest)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer " + "00" * 32}, 401),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example:7100"}, 403),
        ({"Host": "127.0.0.1:7101"}, 403),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
async def test_a_deed_is_for_the_page_itself_and_who_has_the_token(
    devnet: Devnet, headers: dict[str, str | None], status: int
) -> None:
    stage = Stage(devnet)
    assert read_status(await stage.post({"do": "heal"}, **headers)) == status
    assert stage.count_deeds() == 0
    assert not devnet.events_path.exists()


@pytest.mark.parametrize("path", ["/view", "/"])
async def test_not_even_a_look_is_for_other_pages(devnet: Devnet, path: str) -> None:
    stage = Stage(devnet)
    assert read_status(await stage.get(path, Host="evil.example")) == 403
    assert read_status(await stage.get(path, Origin="http://evil.example")) == 403


async def test_there_are_no_other_paths_and_no_other_methods(devnet: Devnet) -> None:
    stage = Stage(devnet)
    assert read_status(await stage.get("/../layout.py")) == 404
    assert read_status(await stage.get("/devnet.json")) == 404
    assert read_status(await stage.get("/deed")) == 405
    assert read_status(await stage.ask("/view", "POST", b"{}", {})) == 405


async def test_a_partition_cuts_and_heal_heals(devnet: Devnet) -> None:
    stage = Stage(devnet)
    answer = await stage.post({"do": "partition", "peers": ["n1"]}, Origin=f"http://{HOST}")
    assert (read_status(answer), read_body(answer)) == (200, b"cut n1 | n2 n3")
    ids = {peer.name: peer.peer_id for peer in devnet.roster.peers}
    cuts = [params for method, params in stage.remotes[0].calls if method == "dev_partition"]
    assert cuts == [{"peers": [ids["n2"], ids["n3"]]}]
    answer = await stage.post({"do": "partition", "peers": ["n1"], "one_way": True})
    assert read_body(answer) == b"cut n1 > n2 n3"
    assert ("dev_partition", {"peers": [ids["n1"]], "one_way": True}) in stage.remotes[1].calls
    assert read_body(await stage.post({"do": "heal"})) == b"healed"
    events = [json.loads(line)["event"] for line in devnet.events_path.read_text().splitlines()]
    assert events == ["partition", "partition", "heal"]


async def test_what_cannot_be_done_says_why(devnet: Devnet) -> None:
    stage = Stage(devnet)
    answer = await stage.post({"do": "kill", "peers": ["n3"]})
    assert read_status(answer) == 409
    assert b"not_running" in read_body(answer)
    # The page goes on.
    assert read_status(await stage.post({"do": "heal"})) == 200


async def test_a_request_is_bounded(devnet: Devnet) -> None:
    stage = Stage(devnet)
    assert read_status(await stage.post({"do": "x" * DEED_BYTES_MAX})) == 413
    assert CONNECTIONS_MAX <= 32


# ---------------------------------------------------------------------------------- the deeds


def test_a_deed_is_read_from_json() -> None:
    assert read_deed(b'{"do": "kill", "peers": ["n2"]}', NAMES) == Deed("kill", ("n2",))
    assert read_deed(b'{"do": "heal"}', NAMES) == Deed("heal")
    body = b'{"do": "partition", "peers": ["n1", "n3"], "one_way": true}'
    assert read_deed(body, NAMES) == Deed("partition", ("n1", "n3"), is_one_way=True)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_deed"),
        (b"[" * 5_000, "bad_deed"),
        (b"[]", "bad_deed"),
        (b"{}", "bad_deed"),
        (b'{"do": ["kill"]}', "bad_deed"),
        (b'{"do": "format"}', "bad_deed"),
        (b'{"do": "kill"}', "bad_deed"),
        (b'{"do": "kill", "peers": "n1"}', "bad_deed"),
        (b'{"do": "kill", "peers": [1]}', "bad_deed"),
        (b'{"do": "kill", "peers": ["n1", "n2"]}', "bad_deed"),
        (b'{"do": "partition", "peers": ["n1", "n1"]}', "bad_deed"),
        (b'{"do": "kill", "peers": ["../n1"]}', "unknown_peer"),
        (b'{"do": "partition", "peers": []}', "bad_groups"),
        (b'{"do": "partition", "peers": ["n1", "n2", "n3", "n4", "n5"]}', "bad_groups"),
    ],
)
def test_a_malformed_deed_is_refused_with_its_reason(body: bytes, code: str) -> None:
    with pytest.raises(DevnetError) as caught:
        read_deed(body, NAMES)
    assert caught.value.code == code
