"""Tasks for a devnet: real source files to analyse, chosen by a seed, published by turns.

The inputs are files of the standard library of the Python that runs, so every machine has them and
the figures a solver finds are those of real programs. Publishers are the miners: none may answer
its own task, so each publication is for all the other miners.
"""

import json
import random
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import trio

from devnet.errors import DevnetError
from devnet.layout import Devnet
from devnet.provider import Provider
from node.rpc.client import RpcError
from protocol.params import NANO_PER_COIN, Params
from protocol.task_types import Complexity, Difficulty

SOURCE_BYTES_MAX = 256 * 1024
SOURCE_BYTES_MIN = 512
TASKS_MAX = 10_000
SUBMISSION_EPOCHS = 6
"""Two more than the least: the machine of a devnet runs all of its peers."""
PUBLISH_S = 30.0
"""For one publication: the peer writes the input and the transaction to disk first."""

_FOLDERS_LEFT_OUT = frozenset(
    {"__pycache__", "idlelib", "lib2to3", "site-packages", "test", "tests"}
)
"""Not part of every installation, or not meant to be parsed."""
_LINES_MAX = ((500, Complexity.SIMPLE), (2_000, Complexity.MEDIUM), (10_000, Complexity.COMPLEX))
_REWARD_COINS = range(5, 15)
_CONSENSUS_BPS = 6_000
_QUALITY = 60


@dataclass(frozen=True, slots=True)
class Publication:
    """One task to publish.

    Attributes:
        publisher: name of the peer that signs it.
        source: the file that is its input, from the library's root.
        terms: as `task_publish` takes them.
        data: the input.
    """

    publisher: str
    source: str
    terms: dict[str, Any]
    data: bytes


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A publication that a peer said is on its disk."""

    publisher: str
    source: str
    task_id: str
    tx_id: str


@cache
def find_sources() -> tuple[Path, ...]:
    """Return the usable files of the standard library, in a fixed order."""
    root = Path(sysconfig.get_path("stdlib"))
    found = []
    for path in sorted(root.rglob("*.py")):
        if _FOLDERS_LEFT_OUT.intersection(path.relative_to(root).parts):
            continue
        if SOURCE_BYTES_MIN <= path.stat().st_size <= SOURCE_BYTES_MAX:
            found.append(path)
    return tuple(found)


def check_count(count: int) -> None:
    """Check a number of tasks.

    Raises:
        DevnetError: `bad_count`.
    """
    if not 1 <= count <= TASKS_MAX:
        raise DevnetError("bad_count", f"{count} tasks", f"1 to {TASKS_MAX}")


class Workload:
    """A stream of tasks that its seed determines.

    Args:
        seed: of the choice of files and rewards.
        publishers: names of the peers that publish, by turns.
        participants_max: places for answers in each task.
        params: of the network; they bound stakes, reviewers and times.
        epochs: for answers.

    Raises:
        DevnetError: `no_publisher`.
    """

    def __init__(
        self,
        seed: int,
        publishers: Sequence[str],
        participants_max: int,
        params: Params,
        epochs: int = SUBMISSION_EPOCHS,
    ) -> None:
        if not publishers or participants_max < 1:
            found = f"{len(publishers)} publishers"
            raise DevnetError("no_publisher", found, "two miners: one publishes, one answers")
        self._random = random.Random(seed)
        self._publishers = tuple(publishers)
        self._participants_max = participants_max
        self._params = params
        self._epochs = max(epochs, params.submission_epochs_min)

    @classmethod
    def of_devnet(
        cls, devnet: Devnet, seed: int, params: Params, epochs: int = SUBMISSION_EPOCHS
    ) -> "Workload":
        """Return the stream in which each miner of a devnet publishes for the others.

        Raises:
            DevnetError: `no_publisher`.
        """
        miners = [peer.name for peer in devnet.peers_of("miner")]
        return cls(seed, miners, len(miners) - 1, params, epochs)

    def iterate(self, count: int) -> Iterator[Publication]:
        """Yield the next `count` tasks.

        Raises:
            DevnetError: `bad_count`.
        """
        check_count(count)
        for place in range(count):
            path = self._random.choice(find_sources())
            yield self._build(self._publishers[place % len(self._publishers)], path)

    def _build(self, publisher: str, path: Path) -> Publication:
        source = path.relative_to(sysconfig.get_path("stdlib")).as_posix()
        data = path.read_bytes()
        lines = data.count(b"\n")
        complexity = next(
            (size for most, size in _LINES_MAX if lines <= most), Complexity.ENTERPRISE
        )
        reward = self._random.choice(_REWARD_COINS) * NANO_PER_COIN
        terms = {
            "task_type": {
                "type": "code_analysis",
                "language": "python",
                "complexity": complexity.name.lower(),
            },
            "title": f"Analyse {source}"[:128],
            "description": f"Figures about {source}: functions, complexity, imports.",
            "reward": str(reward),
            "submission_epochs": self._epochs,
            "stake_required": str(self._params.stake_min[Difficulty.BEGINNER]),
            "max_participants": self._participants_max,
            "required_reviewers": self._params.reviewers_min,
            "consensus_threshold": max(_CONSENSUS_BPS, self._params.consensus_threshold_min),
            "difficulty": "beginner",
            "quality_threshold": _QUALITY,
            "submission_requirements": "",
        }
        return Publication(publisher, source, terms, data)


async def publish_all(
    provider: Provider,
    publications: Iterable[Publication],
    on_result: Callable[[Publication, Acknowledged | RpcError | DevnetError], None],
    pause_s: float = 0.0,
) -> list[Acknowledged]:
    """Publish one after the other; return those that were acknowledged, which are written down.

    A peer that is down or refuses does not stop the others; `on_result` hears of it.

    Args:
        provider: of the devnet.
        publications: what to publish.
        on_result: told of each.
        pause_s: between two.
    """
    done: list[Acknowledged] = []
    for place, publication in enumerate(publications):
        if place and pause_s:
            await trio.sleep(pause_s)
        try:
            reply = await provider.remote(publication.publisher).call(
                "task_publish",
                limit_s=PUBLISH_S,
                terms=publication.terms,
                data="0x" + publication.data.hex(),
            )
        except (RpcError, DevnetError) as error:
            on_result(publication, error)
            continue
        acknowledged = Acknowledged(
            publication.publisher, publication.source, str(reply["task_id"]), str(reply["tx_id"])
        )
        _record(provider.devnet, acknowledged)
        done.append(acknowledged)
        on_result(publication, acknowledged)
    return done


def read_acknowledged(devnet: Devnet) -> list[Acknowledged]:
    """Return every publication that was ever acknowledged in a devnet."""
    try:
        text = devnet.published_path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    # A line without its end was being written when its writer was killed.
    return [Acknowledged(**json.loads(line)) for line in text.split("\n")[:-1]]


def _record(devnet: Devnet, acknowledged: Acknowledged) -> None:
    facts = {name: getattr(acknowledged, name) for name in Acknowledged.__slots__}
    with devnet.published_path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")
