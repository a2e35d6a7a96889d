"""A browser without a window: Debian's chromium, told what to do over its debugging pipe (DevTools protocol)."""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

CHROMIUM = shutil.which("chromium")
ANSWER_SECONDS = 30


class Browser:
    """One chromium with a profile of its own."""

    def __init__(self) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="relayd-chromium-", ignore_cleanup_errors=True)
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4; other shells know no descriptors above 9.
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash", CHROMIUM, "--headless=new", "--no-sandbox",
             "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--remote-debugging-pipe", f"--user-data-dir={self._profile.name}",
             "about:blank"],
            pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self._rest = b""
        self._count = 0
        self.events: list[dict] = []

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def call(self, method: str, session: str | None = None, **parameters) -> dict:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            for received in self._receive(deadline - time.monotonic()):
                if received.get("id") == self._count:
                    assert "error" not in received, f"{method}: {received['error']}"
                    return received["result"]
                self.events.append(received)
        raise TimeoutError(f"the browser did not answer {method}")

    def _receive(self, seconds: float) -> list[dict]:
        if not select.select([self._from], [], [], max(seconds, 0))[0]:
            return []
        chunk = os.read(self._from, 1 << 20)
        assert chunk, f"the browser ended with {self._process.poll()}"
        *whole, self._rest = (self._rest + chunk).split(b"\0")
        return [json.loads(part) for part in whole]

    def open(self, url: str, **look) -> "Page":
        return Page(self, url, **look)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, url: str, *, width=1280, height=900, scheme="light", is_phone=False) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self.look(width=width, height=height, scheme=scheme, is_phone=is_phone)
        self._call("Emulation.setScrollbarsHidden", hidden=True)
        self._call("Page.navigate", url=url)
        self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def _call(self, method: str, **parameters) -> dict:
        return self._browser.call(method, self._session, **parameters)

    def look(self, *, width: int, height: int, scheme: str, is_phone: bool) -> None:
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                   deviceScaleFactor=2 if is_phone else 1, mobile=is_phone)
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def evaluate(self, expression: str):
        result = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def text(self, selector: str) -> str:
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''")

    def wait(self, expression: str, seconds: float = 20) -> None:
        """Waits until the expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"never true: {expression}\n{self.problems()}"
            time.sleep(0.1)

    def problems(self) -> list[str]:
        """What the console has to complain of: exceptions, errors, refused resources."""
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            parameters = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(str(parameters["args"]))
            elif event["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(str(parameters["entry"]))
        return found

    def requested(self) -> set[str]:
        """The addresses of everything that the page asked for."""
        return {event["params"]["request"]["url"] for event in self._browser.events
                if event.get("sessionId") == self._session and event["method"] == "Network.requestWillBeSent"}

    def requests_for(self, path: str) -> int:
        """How often the page has asked for a path."""
        self.evaluate("0")
        return sum(event["method"] == "Network.requestWillBeSent" and event.get("sessionId") == self._session
                   and event["params"]["request"]["url"].endswith(path) for event in self._browser.events)

    def screenshot(self, path: pathlib.Path) -> None:
        """The whole page as PNG."""
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(data))
