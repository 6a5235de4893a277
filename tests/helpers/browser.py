"""A headless Chromium of its own, driven over the DevTools protocol."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import time

from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


class Page:
    """One open page: `do` sends a command, `ask` evaluates an expression; `events` are what the browser told meanwhile."""

    def __init__(self, socket):
        self._socket = socket
        self._ids = itertools.count(1)
        self.events = []

    def do(self, method, **params):
        id = next(self._ids)
        self._socket.send(json.dumps({"id": id, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == id:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def ask(self, expression):
        return self.do("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, url):
        self.do("Page.navigate", url=url)
        self.until(lambda: self.ask("document.readyState === 'complete' && location.protocol !== 'about:'"))

    def press(self, key, code, text=""):
        """Press a key; *text* is what it writes, a carriage return for Enter."""
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            written = {"text": text} if kind == "keyDown" else {}
            self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **written)

    def follow(self):
        """Press Enter, and wait for the page that follows."""
        self.ask("window.isLeft = true")
        self.press("Enter", 13, "\r")
        self.until(lambda: self.ask("window.isLeft === undefined && document.readyState === 'complete'"))

    def until(self, is_so):
        patience = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < patience
            time.sleep(0.02)


@contextlib.contextmanager
def browsing(folder):
    """Start a browser with its profile in *folder*, and yield its one page."""
    profile = folder / "profile"
    told = profile / "DevToolsActivePort"
    process = subprocess.Popen(
        [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        patience = time.monotonic() + 60
        while not (told.exists() and told.read_text().count("\n") == 1):
            assert process.poll() is None, "the browser did not start"
            assert time.monotonic() < patience, "the browser does not say where it listens"
            time.sleep(0.02)
        port, path = told.read_text().split("\n")
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as socket:
            target = next(
                each for each in Page(socket).do("Target.getTargets")["targetInfos"] if each["type"] == "page"
            )
        with connect(f"ws://127.0.0.1:{port}/devtools/page/{target['targetId']}", proxy=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(60)
