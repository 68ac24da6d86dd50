"""A headless Chromium that a test drives through a pipe, by the DevTools protocol.

Only wire tests use it, and only where a Chromium is found: it is no dependency of this project.
Commands and events are JSON, each ended by a zero byte; the browser reads file 3 and writes file 4.
"""

import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

PATIENCE_S = 30.0
LOOK_S = 0.1
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    # Tests run as root in many a container, and the only page is our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
_TROUBLES = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


def find_browser() -> str | None:
    """Return the program, None if this machine has none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class BrowserPage:
    """One page of a browser.

    Attributes:
        troubles: what its console said, errors and violations of the policy included.
    """

    def __init__(self, out: trio.lowlevel.FdStream, back: trio.lowlevel.FdStream) -> None:
        self._out = out
        self._back = back
        self._number = 0
        self._session = ""
        self._replies: dict[int, dict[str, Any]] = {}
        self._arrived = trio.Event()
        self.troubles: list[str] = []

    async def open(self, url: str) -> None:
        """Open an address in a new tab."""
        target = await self.command("Target.createTarget", url="about:blank")
        attached = await self.command(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            await self.command(f"{domain}.enable")
        await self.command("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript in the page."""
        reply = await self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in reply, reply
        return reply["result"].get("value")

    async def wait(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        with trio.fail_after(PATIENCE_S):
            while not await self.evaluate(expression):
                await trio.sleep(LOOK_S)

    async def press_key(self, key: str, text: str = "") -> None:
        """Press a key as a person does: what has the focus hears of it."""
        code = {"Tab": 9, "Enter": 13, " ": 32}[key]
        for kind in ("keyDown", "keyUp"):
            await self.command(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                text=text if kind == "keyDown" else "",
                windowsVirtualKeyCode=code,
            )

    async def command(self, method: str, **params: Any) -> Any:
        """Return the result of a command."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        await self._out.send_all(json.dumps(message).encode() + b"\0")
        with trio.fail_after(PATIENCE_S):
            while number not in self._replies:
                await self._arrived.wait()
        reply = self._replies.pop(number)
        assert "error" not in reply, reply
        return reply["result"]

    async def listen(self) -> None:
        """Take in replies and events until the browser ends."""
        held = b""
        async for data in self._back:
            *messages, held = (held + data).split(b"\0")
            for message in messages:
                self._take(json.loads(message))
            self._arrived.set()
            self._arrived = trio.Event()

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._replies[message["id"]] = message
        elif message["method"] in _TROUBLES:
            self.troubles.append(json.dumps(message["params"])[:2_000])


@asynccontextmanager
async def open_browser(program: str, folder: Path) -> AsyncIterator[BrowserPage]:
    """Run a browser with a profile of its own while the block runs."""
    to_browser, from_us = os.pipe()
    from_browser, to_us = os.pipe()
    pid = _spawn(program, folder, to_browser, to_us)
    out, back = trio.lowlevel.FdStream(from_us), trio.lowlevel.FdStream(from_browser)
    page = BrowserPage(out, back)
    try:
        async with out, back, trio.open_nursery() as nursery:
            nursery.start_soon(page.listen)
            yield page
            nursery.cancel_scope.cancel()
    finally:
        _end(pid)


def _spawn(program: str, folder: Path, to_browser: int, to_us: int) -> int:
    """Start the browser on its ends of the pipes; return its number, which is that of its group."""
    log = os.open(folder / "browser.log", os.O_WRONLY | os.O_CREAT, 0o600)
    pid = os.posix_spawn(
        program,
        [program, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        dict(os.environ),
        file_actions=[
            # By a detour: either end may be one of the numbers that it is to get.
            (os.POSIX_SPAWN_DUP2, to_browser, 200),
            (os.POSIX_SPAWN_DUP2, to_us, 201),
            (os.POSIX_SPAWN_DUP2, 200, 3),
            (os.POSIX_SPAWN_DUP2, 201, 4),
            (os.POSIX_SPAWN_CLOSE, 200),
            (os.POSIX_SPAWN_CLOSE, 201),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ],
        setpgroup=0,
    )
    for number in (to_browser, to_us, log):
        os.close(number)
    return pid


def _end(pid: int) -> None:
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
