"""A real Chromium, driven over the DevTools protocol with nothing but the standard library.

Chromium speaks the protocol over two pipes (--remote-debugging-pipe): JSON messages with a zero
byte behind each.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60.0  # seconds for one answer, on a busy machine


def find() -> str | None:
    """The browser's path: CBP_CHROMIUM, or the first that is installed."""
    return os.environ.get("CBP_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One browser with one page."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> Any:
        """The result of one command; events that come meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser does not answer")
            got = os.read(self._read, 1 << 20)
            if not got:
                raise EOFError("the browser has gone")
            self._rest += got
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def look(
        self, width: int, height: int = 900, *, dark: bool = False, still: bool = False
    ) -> None:
        """Sets the size of the window, the colour scheme, and whether motion is unwelcome."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self.send("Emulation.setEmulatedMedia", features=features)

    def open(self, file: Path, fragment: str = "") -> None:
        """Loads a file and waits until its scripts have run."""
        self.send("Page.navigate", url="about:blank")
        self.events.clear()
        self.send("Page.navigate", url=file.resolve().as_uri() + fragment)
        until = time.monotonic() + PATIENCE
        ready = f"document.readyState === 'complete' && location.protocol === '{'file:'}'"
        while not self.run(ready):
            if time.monotonic() > until:
                raise TimeoutError(f"{file} does not load")
            time.sleep(0.02)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        got = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in got:
            raise RuntimeError(str(got["exceptionDetails"]))
        return got["result"].get("value")

    def click(self, selector: str) -> None:
        """Presses the mouse in the middle of the first visible element."""
        x, y = self.run(
            "(() => { const e = [...document.querySelectorAll("
            f"{json.dumps(selector)})].find(e => e.getClientRects().length);"
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    def press(self, key: str, times: int = 1) -> None:
        """Presses a key: "ArrowRight", "Tab", "Escape", "Enter", " " or a letter."""
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        code = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}.get(key, 0)
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                self.send(
                    "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code,
                    **({"text": text} if text and kind == "keyDown" else {}),
                )  # fmt: skip

    def screenshot(self, file: Path, full: bool = True) -> None:
        """Writes a PNG of the page."""
        got = self.send("Page.captureScreenshot", captureBeyondViewport=full)
        file.write_bytes(base64.b64decode(got["data"]))

    def complaints(self) -> list[str]:
        """What the page wrote to the console, or threw, since it was opened."""
        self.run("0")  # whatever is under way arrives before the answer
        found = []
        for event in self.events:
            if event.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                found.append(json.dumps(event["params"]))
            if event.get("method") == "Log.entryAdded":
                found.append(event["params"]["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """The addresses that the page asked for since it was opened, its own file included."""
        self.run("0")
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]


# Chromium reads from file 3 and writes to file 4.
LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def _above_9(fd: int) -> int:
    """The same file under a number that the launcher does not overwrite."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return moved


@contextmanager
def browser(program: str, folder: Path) -> Iterator[Browser]:
    """A headless browser with a profile of its own, closed at the end."""
    to_read, its_write = map(_above_9, os.pipe())
    its_read, to_write = map(_above_9, os.pipe())
    command = [
        program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={folder}",
        "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--mute-audio",
    ]  # fmt: skip
    launcher = [sys.executable, "-S", "-c", LAUNCH, str(its_read), str(its_write), *command]
    process = subprocess.Popen(
        launcher, pass_fds=(its_read, its_write), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(its_read)
    os.close(its_write)
    try:
        chromium = Browser(to_read, to_write)
        yield chromium
        chromium._session = None
        chromium.send("Browser.close")
    finally:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(to_read)
        os.close(to_write)
