"""One peer's RPC, called from trio; that of a process by a client that waits in a thread.

A peer that is stopped answers nobody, so each call has a limit of its own; a call given up leaves
its thread to end by the client's own time-out, and the next call begins with a fresh client.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any

import trio

from devnet.errors import DevnetError
from devnet.layout import Devnet
from node.private_files import KeyFileError
from node.rpc.client import RpcClient, RpcError, connect

CALL_S = 5.0
CLIENT_TIMEOUT_MS = 5_000
PAGE_ITEMS = 500
ITEMS_MAX = 100_000
SILENT = "peer_silent"
GONE = frozenset({"not_running", "unreachable", "unauthorized"})
"""Codes of a peer that does not run, or does not answer yet."""
LOST = GONE | {SILENT}
"""Codes of a peer that is not there, rather than of one that refuses."""


class Remote(ABC):
    """The RPC of one peer of a devnet; it may start, end and come back in between."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def call(self, method: str, *, limit_s: float = CALL_S, **params: Any) -> Any:
        """Return the result of a method; parameters that are None are left out.

        Raises:
            RpcError: `not_running`, `unreachable`, or the peer's own refusal.
            DevnetError: `peer_silent` after `limit_s`.
        """
        with trio.move_on_after(limit_s):
            return await self._call(method, params)
        raise DevnetError(SILENT, f"{self.name}: no answer to {method}", f"in {limit_s:g} s")

    async def read_metrics(self, *, limit_s: float = CALL_S) -> str:
        """Return all metrics, in Prometheus' text format.

        Raises:
            RpcError: `not_running`, `unreachable`.
            DevnetError: `peer_silent` after `limit_s`.
        """
        with trio.move_on_after(limit_s):
            return await self._read_metrics()
        raise DevnetError(SILENT, f"{self.name}: no metrics", f"in {limit_s:g} s")

    @abstractmethod
    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        """Return the result of a method, however long it takes."""

    @abstractmethod
    async def _read_metrics(self) -> str:
        """Return the metrics, however long it takes."""

    async def iterate(self, method: str, **params: Any) -> AsyncIterator[dict[str, Any]]:
        """Yield the items of a list that the peer serves by pages.

        Raises:
            RpcError: as `call`.
            DevnetError: as `call`, and `too_many_items`.
        """
        cursor: str | None = None
        for _ in range(ITEMS_MAX // PAGE_ITEMS):
            page = await self.call(method, limit=PAGE_ITEMS, cursor=cursor, **params)
            for item in page["items"]:
                yield item
            cursor = page.get("next_cursor")
            if not page["items"] or cursor is None:
                return
        raise DevnetError("too_many_items", f"{method} of {self.name}", f"at most {ITEMS_MAX}")


class ProcessRemote(Remote):
    """The RPC of a peer that is a process."""

    def __init__(self, devnet: Devnet, name: str) -> None:
        super().__init__(name)
        self._paths = devnet.data_paths(name)
        self._client: RpcClient | None = None
        self._lock = trio.Lock()

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        return await self._ask(lambda client: client.call(method, **params))

    async def _read_metrics(self) -> str:
        return str(await self._ask(lambda client: client.read_metrics()))

    async def _ask(self, question: Callable[[RpcClient], Any]) -> Any:
        async with self._lock:
            return await self._ask_alone(question)

    async def _ask_alone(self, question: Callable[[RpcClient], Any]) -> Any:
        client, self._client = self._client, None
        try:
            if client is None:
                client = await _in_thread(connect, self._paths, CLIENT_TIMEOUT_MS)
            result = await _in_thread(question, client)
        except KeyFileError as error:
            # The token is written at each start, a moment before the RPC listens.
            raise RpcError("not_running", error.found, error.wanted) from error
        except RpcError as error:
            if error.code not in LOST:
                self._client = client
            raise
        self._client = client
        return result


def is_lost(error: RpcError | DevnetError) -> bool:
    """Tell whether an error says that the peer is not there, rather than that it refuses."""
    return error.code in LOST


_run_sync: Any = trio.to_thread.run_sync
"""Untyped: old stubs of trio, which libp2p brings along, do not know `abandon_on_cancel`."""


async def _in_thread(function: Any, *args: Any) -> Any:
    return await _run_sync(function, *args, abandon_on_cancel=True)
