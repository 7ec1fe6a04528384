"""Debian's Firefox, driven by WebDriver BiDi (w3.org/TR/webdriver-bidi) over the WebSocket that it serves itself."""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

NO_FIREFOX: Final = "there is no Firefox here: apt-get install firefox-esr"
PATIENCE_S: Final = 90
"""Longest wait for what should take a moment: a bound for broken runs."""
PREFERENCES: Final = {
    "app.update.auto": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}
"""So that it connects to nothing by itself."""
_LISTENS: Final = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")


def firefox() -> str | None:
    """The machine's Firefox; `FIREFOX` in the environment names another one."""
    return os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")


class Firefox:
    """One window of a running Firefox."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._context = ""
        self.complaints: list[str] = []
        """Errors of scripts, and of the console."""

    async def begin(self) -> None:
        """Opens the session and finds the window."""
        await self.ask("session.new", capabilities={})
        await self.ask("session.subscribe", events=["log.entryAdded"])
        tree = await self.ask("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]

    async def read(self) -> None:
        """Takes what Firefox sends, until the connection ends."""
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            told = msgspec.json.decode(message.data)
            if told.get("method") == "log.entryAdded" and told["params"]["level"] == "error":
                self.complaints.append(str(told["params"]["text"]))
            answer = self._answers.pop(told.get("id") or 0, None)
            if answer and not answer.done():
                answer.set_result(told)

    async def ask(self, method: str, **params: Any) -> Any:
        """The result of a command; `RuntimeError` with what Firefox says against it."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE_S):
            told = await self._answers[number]
        if told["type"] == "error":
            raise RuntimeError(f"{method}: {told['error']}: {told['message']}")
        return told["result"]

    async def go(self, url: str) -> None:
        """Opens a page."""
        await self.ask("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """A text, number or boolean that the page computes."""
        target = {"context": self._context}
        found = await self.ask("script.evaluate", expression=expression, target=target, awaitPromise=True)
        if found["type"] == "exception":
            raise RuntimeError(found["exceptionDetails"]["text"])
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Waits until it is true on the page."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.evaluate(f"Boolean({expression})") is not True:
                await asyncio.sleep(0.1)

    async def click(self, selector: str) -> None:
        """Presses an element with the pointer."""
        place = f"document.querySelector({selector!r})"
        found = await self.ask(
            "script.evaluate", expression=place, target={"context": self._context}, awaitPromise=False
        )
        origin = {"type": "element", "element": {"sharedId": found["result"]["sharedId"]}}
        steps = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        await self.ask(
            "input.performActions",
            context=self._context,
            actions=[{"type": "pointer", "id": "mouse", "actions": steps}],
        )

    async def type(self, keys: str) -> None:
        """Presses keys, one after the other."""
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        await self.ask(
            "input.performActions", context=self._context, actions=[{"type": "key", "id": "keys", "actions": steps}]
        )

    async def resize(self, size: tuple[int, int]) -> None:
        """Gives the page another size."""
        viewport = {"width": size[0], "height": size[1]}
        await self.ask("browsingContext.setViewport", context=self._context, viewport=viewport)


@asynccontextmanager
async def running_firefox(executable: str, folder: Path) -> AsyncIterator[Firefox]:
    """Firefox without a window, with a profile of its own in a folder; it has ended when the block is left."""
    profile = folder / "firefox"
    profile.mkdir(parents=True)
    lines = [f'user_pref("{name}", {msgspec.json.encode(value).decode()});' for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    process = await asyncio.create_subprocess_exec(
        executable, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"}, start_new_session=True,
    )  # fmt: skip
    try:
        url, rest = await _listening(process)
        async with ClientSession() as session, session.ws_connect(f"{url}/session", max_msg_size=0) as socket:
            window = Firefox(socket)
            tasks = [asyncio.create_task(window.read()), rest]
            try:
                await window.begin()
                yield window
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _listening(process: asyncio.subprocess.Process) -> tuple[str, asyncio.Task[None]]:
    """Where it listens, and a task that reads what else it says."""
    assert process.stderr is not None
    stream = process.stderr
    async with asyncio.timeout(PATIENCE_S):
        while line := await stream.readline():
            if found := _LISTENS.search(line):
                return found[1].decode(), asyncio.create_task(_drain(stream))
    raise RuntimeError("Firefox has ended before it listened")


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.readline():
        pass
