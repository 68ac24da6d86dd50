"""A whole peer in memory with its RPC: called as JSON, or as bytes of HTTP on a stream."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from trio.testing import memory_stream_pair

from node.assembly import Ports, run_peer
from node.clock import SystemClock
from node.config import Config, DevConfig, RpcConfig, SyncConfig
from node.diary_file import DiaryFile
from node.disk_watch import ReadFree
from node.high_water import HighWater
from node.peer import Peer
from node.roles.answer_box import open_answer_box
from node.roles.vote_box import open_vote_box
from node.rpc.dispatch import Dispatcher
from node.rpc.gate import RateLimit
from node.rpc.http import HttpServer
from node.rpc.methods import list_methods
from node.rpc.server import build_http
from node.transport.memory import MemoryNetwork
from protocol.genesis import Genesis
from storage.store import Store
from tests.support.builders import a_genesis, a_signer

TOKEN = "ab" * 32
HOST = "127.0.0.1:7031"
RATE = 10_000
QUICK = Config(
    sync=SyncConfig(status_interval_ms=200, gossip_delay_ms=0),
    rpc=RpcConfig(requests_per_s=RATE),
    dev=DevConfig(faults=True),
)


class RpcRefused(Exception):
    """An error came back."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.number: int = error["code"]
        self.name: str = error["data"]["name"]
        self.data: dict[str, Any] = error["data"]


class ServedPeer:
    """A running peer and its methods."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        methods = list_methods(has_faults=peer.config.dev.faults)
        self.dispatcher = Dispatcher(peer, methods, RateLimit(RATE))
        self.http: HttpServer = build_http(peer, TOKEN, frozenset({HOST}))

    async def call(self, method: str, **params: Any) -> Any:
        """Return the result of a method; raise `RpcRefused` for an error."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        reply = await self.send(json.dumps(request).encode())
        if "error" in reply:
            raise RpcRefused(reply["error"])
        return reply["result"]

    async def send(self, body: bytes) -> Any:
        """Return the reply to any bytes; None for none."""
        reply = await self.dispatcher.answer(body)
        return json.loads(reply) if reply else None

    def seal(self) -> None:
        """End the epoch, and tell the peers."""
        sealed = self.peer.state.seal(a_signer("sealer"), time_ms=0)
        self.peer.sync.gossip.tell_seal_nowait(sealed)


@asynccontextmanager
async def a_served_peer(
    folder: Path,
    *,
    name: str = "alice",
    config: Config = QUICK,
    genesis: Genesis | None = None,
    network: MemoryNetwork | None = None,
    has_key: bool = True,
    store: Store | None = None,
    read_free: ReadFree | None = None,
) -> AsyncIterator[ServedPeer]:
    """Run the peer of somebody of the cast while the block lasts."""
    genesis = genesis or a_genesis()
    wire = network or MemoryNetwork()
    ports = Ports(
        clock=SystemClock(),
        store=store or Store.in_memory(genesis),
        open_transport=lambda validate: wire.open(name, validate=validate),
        rng=random.Random(name),
        signed=HighWater(folder / f"{name}.signed"),
        sealed=HighWater(folder / f"{name}.sealed"),
        diary=DiaryFile(None),
        answers=open_answer_box(None),
        votes=open_vote_box(None),
        read_free=read_free,
        is_threaded=False,
    )
    stop = trio.Event()
    async with trio.open_nursery() as nursery:

        async def run(task_status: Any) -> None:
            signer = a_signer(name) if has_key else None
            await run_peer(
                config, genesis, ports, signer=signer, stop=stop, task_status=task_status
            )

        yield ServedPeer(await nursery.start(run))
        stop.set()


async def exchange(http: HttpServer, *pieces: bytes, patience_s: float = 60.0) -> bytes:
    """Send bytes to a server on a connection of their own; return all that it sends back."""
    ours, theirs = memory_stream_pair()
    answer = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(http.serve_stream, theirs)
        for piece in pieces:
            await ours.send_all(piece)
        await ours.send_eof()
        with trio.fail_after(patience_s):
            async for data in ours:
                answer += data
    return bytes(answer)


def build_request(
    body: bytes = b"",
    *,
    method: str = "POST",
    path: str = "/rpc",
    headers: dict[str, str | None] | None = None,
) -> bytes:
    """Return the bytes of a request; a header of None is left out."""
    wanted: dict[str, str | None] = {
        "Host": HOST,
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    wanted.update(headers or {})
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{key}: {value}" for key, value in wanted.items() if value is not None]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def read_status(answer: bytes) -> int:
    """Return the status of the first reply in some bytes."""
    return int(answer.split(b" ", 2)[1])


def read_body(answer: bytes) -> bytes:
    """Return what follows the head of a reply."""
    return answer.split(b"\r\n\r\n", 1)[1]
