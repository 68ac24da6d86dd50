"""A devnet whose peers are answers written down beforehand."""

from collections.abc import Callable
from typing import Any

from devnet.cluster import ProcessCluster
from devnet.layout import Devnet
from devnet.processes import ProcessRef

Answer = Callable[[dict[str, Any]], Any]


class FakeRemote:
    """A peer that answers from a table of methods, and remembers what it was asked.

    An answer may raise.
    """

    def __init__(self, name: str, answers: dict[str, Answer]) -> None:
        self.name = name
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def call(self, method: str, *, limit_s: float = 1.0, **params: Any) -> Any:
        self.calls.append((method, params))
        return self.answers[method](params)

    async def iterate(self, method: str, **params: Any) -> Any:
        for item in (await self.call(method, **params))["items"]:
            yield item

    def count(self, method: str) -> int:
        return sum(called == method for called, _ in self.calls)


class FakeCluster(ProcessCluster):
    """A cluster without processes: the peers that run are those it is given."""

    def __init__(self, devnet: Devnet, remotes: list[FakeRemote]) -> None:
        super().__init__(devnet)
        self.remotes = {remote.name: remote for remote in remotes}
        self.stops = 0
        self.is_ended = False

    def remote(self, name: str) -> Any:
        return self.remotes.get(name) or FakeRemote(name, {})

    def find_running(self) -> dict[str, ProcessRef]:
        # No process has a number below zero, so none is met by accident.
        return {name: ProcessRef(-1, "fake") for name in self.remotes}

    async def stop(self, names: Any = None, *, limit_s: float = 1.0) -> int:
        self.stops += 1
        return 0

    def end_now(self) -> None:
        self.is_ended = True


def make_status(epoch: int = 9, root: str = "ab", **changes: Any) -> dict[str, Any]:
    """Return a reply to `node_status`."""
    status = {
        "epoch": epoch,
        "seal_hash": f"s{epoch}",
        "state_root": root,
        "transactions": 7,
        "open": 0,
        "peers": 1,
        "alarm": None,
        "reversals": 0,
        "checks": {"peers": {"ok": True}, "db": {"ok": True}},
    }
    return {**status, **changes}
