"""The pytest plugin: mark `devnet`, options, fixtures, and the report of a failure.

pytest loads this file in every run that has minesync installed, so it imports nothing but pytest;
the network comes with the first test that takes one. Such a test is run by pytest-trio.
"""

import hashlib
import importlib.util
import inspect
import re
import shlex
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from devnet.testing.faulty_peer import Answer, FaultyPeer
    from devnet.testing.network import Network, Node
    from devnet.testing.run import DevnetRun
    from protocol.messages import Status

MARK = (
    "devnet(nodes, validators, miners, sealers, seed, params, manifest):"
    " the network that the fixture `devnet` starts for this test"
)
PROVIDERS = ("sim", "process")
TAKERS = frozenset({"devnet", "node", "rpc", "faulty_peer"})
"""Fixtures that take the network of the mark."""
FACTORY = "devnet_factory"
RUN = "devnet_run"

_KEY = pytest.StashKey["DevnetRun"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("devnet", "networks of minesync")
    group.addoption(
        "--devnet",
        choices=PROVIDERS,
        default=PROVIDERS[0],
        help="How the nodes of a devnet run: in virtual time, or as processes in real time.",
    )
    group.addoption(
        "--devnet-seed",
        type=int,
        metavar="N",
        help="Seed of every devnet; else that of the mark, else one from the name of the test.",
    )
    group.addoption(
        "--devnet-keep",
        action="store_true",
        help="Leave the processes of a test that failed running, and say how to look at them.",
    )
    group.addoption(
        "--devnet-bundle",
        type=Path,
        metavar="DIR",
        help="Folder for a bundle of each network of a test that failed.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", MARK)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests that are about a devnet run where its nodes do."""
    for item in items:
        if isinstance(item, pytest.Function) and _is_ours(item):
            # Before all other fixtures: it finds out what is wrong with the mark.
            item.fixturenames.insert(0, RUN)
            if _is_async(item):
                item.add_marker(pytest.mark.trio(run=_make_runner(item)), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the network looked like."""
    report = yield
    run = item.stash.get(_KEY, None)
    if run is not None and run.report and report.failed:
        report.sections.append(("devnet", run.report))
    return report


@pytest.fixture(name=RUN)
def fixture_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "DevnetRun":
    """Prepare the networks of a test; none of them runs yet."""
    item = request.node
    if importlib.util.find_spec("pytest_trio") is None:
        pytest.fail("a devnet needs pytest-trio: install minesync[testing]", pytrace=False)
    if not _is_async(item):
        pytest.fail(f"{item.name} takes a devnet, so it has to be async", pytrace=False)
    from devnet.errors import DevnetError
    from devnet.testing.cast import make_cast
    from devnet.testing.run import DevnetRun

    mark = item.get_closest_marker("devnet")
    given = {} if mark is None else dict(mark.kwargs)
    if mark is not None and mark.args:
        pytest.fail(f"mark devnet: {mark.args[0]!r}; arguments have names", pytrace=False)
    provider = request.config.getoption("--devnet")
    seed = _choose_seed(item, given.get("seed"))
    folder = item.path.parent
    try:
        make_cast(given, provider, seed, folder)
    except DevnetError as error:
        pytest.fail(f"mark devnet: {error}", pytrace=False)
    run = DevnetRun(
        given,
        provider,
        seed,
        folder,
        lambda: tmp_path_factory.mktemp("devnet"),
        keeps=request.config.getoption("--devnet-keep"),
        again=_make_command(item, provider, seed),
        bundles=_choose_bundles(item),
    )
    item.stash[_KEY] = run
    return run


@pytest.fixture
async def devnet(devnet_run: "DevnetRun") -> "Network":
    """The network of the mark `devnet`, up and ready."""
    return devnet_run.network


@pytest.fixture
async def node(devnet: "Network") -> "Node":
    """The first node of it."""
    return devnet.nodes[0]


@pytest.fixture
async def rpc(devnet: "Network") -> Callable[..., Awaitable[Any]]:
    """A function that calls a method of a node: `await rpc("n1", "node_status")`."""

    async def call(which: "Node | str", method: str, **params: Any) -> Any:
        return await devnet[which].call(method, **params)

    return call


@pytest.fixture
async def faulty_peer(
    devnet_run: "DevnetRun", devnet: "Network"
) -> Callable[..., Awaitable["FaultyPeer"]]:
    """A function that lets a scripted peer in: `await faulty_peer(answer)`, `answer(request)`."""
    from devnet.testing.faulty_peer import say_nothing

    async def start(
        answer: "Answer" = say_nothing, *, status: "Status | None" = None
    ) -> "FaultyPeer":
        return await devnet_run.open_faulty_peer(devnet, answer, status)

    return start


@pytest.fixture
async def devnet_factory(devnet_run: "DevnetRun") -> Callable[..., Awaitable["Network"]]:
    """A function that starts one more network; its arguments are those of the mark."""

    async def start(**given: Any) -> "Network":
        return await devnet_run.open(given)

    return start


def _is_ours(item: pytest.Function) -> bool:
    if item.get_closest_marker("devnet") is not None:
        return True
    # A project's own fixture of such a name is not ours.
    return any(
        one.func.__module__ == __name__
        for name in (*TAKERS, FACTORY)
        for one in item._fixtureinfo.name2fixturedefs.get(name, ())[-1:]
    )


def _is_async(item: pytest.Function) -> bool:
    test = getattr(getattr(item.obj, "hypothesis", None), "inner_test", item.obj)
    return inspect.iscoroutinefunction(test)


def _make_runner(item: pytest.Function) -> Callable[..., Any]:
    """Return what pytest-trio calls in the place of `trio.run`."""

    def run(main: Callable[[], Awaitable[Any]], **options: Any) -> Any:
        __tracebackhide__ = True
        if options.get("clock") is not None:
            pytest.fail("a devnet has a clock of its own", pytrace=False)
        opens = not TAKERS.isdisjoint(item.fixturenames)
        return item.stash[_KEY].run(main, opens=opens)

    return run


def _choose_seed(item: pytest.Item, marked: Any) -> int:
    chosen = item.config.getoption("--devnet-seed")
    if chosen is not None:
        return int(chosen)
    if isinstance(marked, int):
        return marked
    # Another seed for each test, and the same one tomorrow.
    return int.from_bytes(hashlib.sha256(item.nodeid.encode()).digest()[:6], "big")


def _choose_bundles(item: pytest.Item) -> Path | None:
    """Return how the bundles of a test are to be named, but for their numbers."""
    folder: Path | None = item.config.getoption("--devnet-bundle")
    return None if folder is None else folder.absolute() / re.sub(r"[^\w.-]+", "-", item.name)


def _make_command(item: pytest.Item, provider: str, seed: int) -> str:
    words = ["pytest", item.nodeid, f"--devnet={provider}", f"--devnet-seed={seed}"]
    chosen = item.config.getoption("markexpr")
    return shlex.join([*words, "-m", chosen] if chosen else words)
