"""The page of a real devnet in a real browser: it loads without a complaint, cuts, and heals."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from devnet.cluster import ProcessCluster
from devnet.founding import found_devnet
from devnet.page.server import open_page
from devnet.watch.links import list_faults
from devnet.watch.watcher import Watcher
from tests.support.browser import BrowserPage, find_browser, open_browser

pytestmark = [pytest.mark.wire, pytest.mark.timeout(180)]

SEED = 7
STEP_S = 60.0
LOOK_S = 0.2


@asynccontextmanager
async def a_shown_devnet(folder: Path) -> AsyncIterator[tuple[ProcessCluster, BrowserPage, str]]:
    """Run three peers, the page and a browser while the block runs."""
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on this machine")
    cluster = ProcessCluster(found_devnet(folder / "net", 3, SEED), guarded=True)
    try:
        await cluster.start()
        async with (
            open_page(cluster, 0) as address,
            open_browser(program, folder) as page,
        ):
            yield cluster, page, address
        await cluster.stop()
    finally:
        cluster.end_now()
        shutil.rmtree(folder / "profile", ignore_errors=True)


async def wait_for_faults(cluster: ProcessCluster, faults: list[str]) -> None:
    """Wait until these faults are in force, as the peers themselves say."""
    watcher = Watcher(cluster)
    found: list[str] = []
    with trio.move_on_after(STEP_S):
        while (found := list_faults(await watcher.look())) != faults:
            await trio.sleep(LOOK_S)
    assert found == faults


async def test_the_page_shows_a_devnet_and_its_buttons_work(tmp_path: Path) -> None:
    async with a_shown_devnet(tmp_path) as (cluster, page, address):
        await page.open(address)
        await page.wait("document.querySelectorAll('#topology circle').length === 3")
        # The token went into this tab and out of the address.
        assert await page.evaluate("location.hash") == ""
        assert await page.evaluate("document.querySelector('#heal').disabled") is False
        await page.wait("document.querySelectorAll('#matrix .rank-0').length > 3")

        await page.evaluate("document.querySelector('#side-n3').click()")
        await page.evaluate("document.querySelector('#partition').click()")
        await page.wait("document.querySelector('#said').textContent === 'cut n3 | n1 n2'")
        await wait_for_faults(cluster, ["cut n1 n2 | n3"])
        await page.wait("document.querySelectorAll('#topology .cut').length === 2")
        assert await page.evaluate("document.querySelector('#side-n3').checked") is True

        # By keyboard: what was pressed has the focus back, the next stop is `heal`.
        assert await page.evaluate("document.activeElement.id") == "partition"
        await page.evaluate("document.querySelector('#heal').focus()")
        await page.press_key("Enter", "\r")
        await page.wait("document.querySelector('#said').textContent === 'healed'")
        await wait_for_faults(cluster, [])
        await page.wait("document.querySelectorAll('#topology .link').length === 3")

        # One deed after the other: while one is under way the buttons rest.
        await page.wait("document.querySelector('#kill-n2').disabled === false")
        await page.evaluate("document.querySelector('#kill-n2').click()")
        await page.wait("document.querySelector('#start-n2')?.disabled === false")
        assert await page.evaluate("document.querySelector('#kill-n2')") is None
        await page.evaluate("document.querySelector('#start-n2').click()")
        await page.wait("document.querySelector('#kill-n2') !== null")
        await wait_for_faults(cluster, [])

        is_narrow = "document.documentElement.scrollWidth <= innerWidth"
        for width in (320, 1_280):
            await page.command(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=False,
            )
            assert await page.evaluate(is_narrow), f"wider than {width}"
        assert page.troubles == []


async def test_without_the_token_there_is_a_view_and_no_button(tmp_path: Path) -> None:
    async with a_shown_devnet(tmp_path) as (_, page, address):
        await page.open(address.partition("#")[0])
        await page.wait("document.querySelectorAll('#topology circle').length === 3")
        buttons = "[...document.querySelectorAll('button')]"
        assert await page.evaluate(f"{buttons}.every((one) => one.disabled)") is True
        # Whoever sends the deed all the same is refused.
        status = "fetch('/deed', {method: 'POST', body: '{}'}).then((reply) => reply.status)"
        assert await page.evaluate(status) == 401
