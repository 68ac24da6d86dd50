"""A devnet while it runs: `top` in the terminal, `page` in a browser."""

from typing import Annotated

import trio
from cyclopts import Parameter

from devnet.commands.common import HERE, Where
from devnet.live import Screen
from devnet.page.server import open_page
from devnet.top import draw_top
from devnet.watch.watcher import LOOK_S, Watcher
from node.commands.common import make_console

ONCE_LINES = 40
"""Of `top --once`: enough for what matters of a large devnet."""


def top(
    *,
    once: Annotated[bool, Parameter(help="Show it once and end.", negative="")] = False,
    where: Where = HERE,
) -> None:
    """Show it all until Ctrl-C: peers, state roots, faults in force, tasks, events."""
    cluster = where.open()
    console = make_console()

    async def show_once() -> None:
        snapshot = await Watcher(cluster).look()
        console.print(draw_top(snapshot, console.width, ONCE_LINES))

    async def keep_showing() -> None:
        watcher = Watcher(cluster)
        with Screen(console, is_whole=True) as screen:
            while True:
                screen.show(await watcher.look())
                await trio.sleep(LOOK_S)

    trio.run(show_once if once else keep_showing)


def page(
    *,
    port: Annotated[int, Parameter(help="Of the page; 0: any that is free.")] = 0,
    where: Where = HERE,
) -> None:
    """Serve a web page of the devnet until Ctrl-C: links, roots, faults, and buttons for them."""
    cluster = where.open()
    console = make_console()

    async def serve() -> None:
        async with open_page(cluster, port) as address:
            console.print(address, soft_wrap=True)
            await trio.sleep_forever()

    trio.run(serve)
