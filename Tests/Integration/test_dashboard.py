"""The page at / of the administration, in a real browser, while traffic flows."""

import http.client
import json
import os
import pathlib
import threading
import time

import pytest

from admin import connect, request
from browser import CHROMIUM, Browser
from relay import CREDENTIALS, LOOPBACK
from turn_client import TurnClient, udp_socket

SERVER = ("127.0.0.1", 3478)
FLAGS = [*CREDENTIALS, *LOOPBACK, "--workers", "2"]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: install Debian's package")
# Screenshots stay there if it is set.
PICTURES = os.environ.get("RELAYD_TEST_PICTURES")


@pytest.fixture
def browser():
    with Browser() as made:
        yield made


@pytest.fixture
def pictures(tmp_path) -> pathlib.Path:
    folder = pathlib.Path(PICTURES) if PICTURES else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def traffic():
    """Begins a conversation of some hundred packets a second, and what is refused besides; ends with the test."""
    ended = threading.Event()
    threads = []

    def converse() -> None:
        clients = [TurnClient(SERVER) for _ in range(4)]
        with udp_socket(("127.0.0.1", 0)) as peer:
            for client in clients:
                client.allocate()
                client.bind_channel(0x4000, peer.getsockname())
            number = 0
            while not ended.is_set():
                number += 1
                for client in clients:
                    client.send_channel(0x4000, b"x" * (400 + number % 500))
                    peer.sendto(b"y" * 100, client.relayed[0])
                clients[0].send_channel(0x4001, b"unbound")
                if number % 3 == 0:
                    clients[1].socket.sendto(b"\x00\x01garbage that is no message", SERVER)
                time.sleep(0.01)
        for client in clients:
            client.close()

    def start() -> None:
        threads.append(threading.Thread(target=converse))
        threads[0].start()

    yield start
    ended.set()
    for thread in threads:
        thread.join()


@needs_browser
def test_numbers_move_while_traffic_flows(start_relay, browser, traffic, pictures):
    start_relay(*FLAGS, "--http", "127.0.0.1:9090")
    connect("127.0.0.1:9090").close()
    page = browser.open("http://127.0.0.1:9090/")
    page.wait("document.querySelector('#state').dataset.state === 'live'")
    page.wait("document.querySelector('#tile-bits').textContent === '0 bit/s'")
    assert page.text("#tile-sessions") == "0"
    traffic()
    page.wait("parseFloat(document.querySelector('#tile-bits').textContent) > 0")
    page.wait("document.querySelector('#tile-sessions').textContent === '4'")
    page.wait("document.querySelector('#tile-drops').textContent !== '0/s'")
    plane = json.loads(request("GET", "/status")[1])["plane"]["name"]
    assert page.text("#tile-plane") == plane
    page.wait(f"document.querySelector('#chart-throughput .legend').textContent.startsWith('{plane}')")
    page.wait("document.querySelector('#chart-drops .legend').textContent.includes('unbound channel')")
    # Some seconds of history, so that the charts are no dots.
    before = page.text("#drops")
    page.wait("document.querySelectorAll('#workers tbody tr').length === 2")
    time.sleep(float(os.environ.get("RELAYD_TEST_HISTORY", "3")))
    assert page.text("#drops") != before
    for name, width, is_phone in (("desktop", 1280, False), ("phone", 390, True)):
        for scheme in ("light", "dark"):
            page.look(width=width, height=844, scheme=scheme, is_phone=is_phone)
            page.wait(f"innerWidth === {width}")
            # The charts are drawn for the new width with the next event at the latest.
            time.sleep(1.2)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
            assert page.evaluate("[...document.querySelectorAll('.tile, figure, .panel, table')]"
                                 ".every((part) => part.scrollWidth <= part.clientWidth + 1)"), f"{name} is cut off"
            page.screenshot(pictures / f"dashboard-{name}-{scheme}.png")
            assert (pictures / f"dashboard-{name}-{scheme}.png").stat().st_size > 20_000
    assert page.problems() == []
    assert all(url.startswith("http://127.0.0.1:9090/") or url == "data:," for url in page.requested()), page.requested()


@needs_browser
def test_the_page_follows_a_change_of_planes(start_relay, browser):
    start_relay(*FLAGS, "--http", "127.0.0.1:9090", "--data-plane", "socket")
    connect("127.0.0.1:9090").close()
    page = browser.open("http://127.0.0.1:9090/")
    page.wait("document.querySelector('#tile-plane').textContent === 'socket'")
    assert "runs" in page.text("#planes") and "socket runs" in page.text("#plane-now")
    code, text = request("POST", "/plane", {"plane": "io-uring"})
    if code == 409:
        pytest.skip(f"io_uring cannot run here: {text}")
    page.wait("document.querySelector('#tile-plane').textContent === 'io-uring'")
    page.wait("document.querySelector('#tile-plane-why').textContent === 'asked for'")
    assert page.problems() == []


def start_guarded(start_relay, tmp_path) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame\n")
    token.chmod(0o600)
    start_relay(*FLAGS, "--http", "0.0.0.0:9090", "--http-token-file", str(token))


def open_locked_page(start_relay, browser, tmp_path):
    """The page of a relay that asks for the token open-sesame."""
    start_guarded(start_relay, tmp_path)
    connect("127.0.0.1:9090").close()
    page = browser.open("http://127.0.0.1:9090/")
    page.wait("!document.querySelector('#token-form').hidden")
    return page


@needs_browser
def test_the_page_asks_for_the_token(start_relay, browser, tmp_path):
    page = open_locked_page(start_relay, browser, tmp_path)
    assert page.evaluate("document.querySelector('#main').hidden")

    def enter(text: str) -> None:
        page.evaluate(f"document.querySelector('#token').value = '{text}';"
                      "document.querySelector('#token-form button').click()")

    enter("sesame")
    page.wait("document.querySelector('#state-text').textContent === 'the token is wrong'")
    enter("open-sesame")
    page.wait("document.querySelector('#state').dataset.state === 'live' && !document.querySelector('#main').hidden")
    assert page.evaluate("document.querySelector('#token-form').hidden")


@needs_browser
def test_the_page_listens_once_however_often_the_token_is_entered(start_relay, browser, tmp_path):
    page = open_locked_page(start_relay, browser, tmp_path)
    before = page.requests_for("/events")
    page.evaluate("for (const text of ['sesame', 'open-sesame', 'open-sesame', 'open-sesame']) {"
                  "document.querySelector('#token').value = text; document.querySelector('#token-form button').click(); }")
    page.wait("document.querySelector('#state').dataset.state === 'live'")
    # One asked with the first token, and once more with the last.
    time.sleep(1.5)
    assert page.requests_for("/events") - before == 2
    # The token of a page that listens changes nothing.
    page.evaluate("document.querySelector('#token-form').dispatchEvent(new Event('submit', { cancelable: true }))")
    time.sleep(0.5)
    assert page.requests_for("/events") - before == 2 and page.text("#state-text") == "live"


def test_the_page_is_guarded_like_the_status(start_relay, tmp_path):
    start_relay(*FLAGS, "--http", "127.0.0.1:9090")
    code, text = request("GET", "/")
    assert code == 200 and "<title>relayd</title>" in text
    for path in ("/", "/dashboard.js", "/dashboard.css", "/events"):
        assert request("GET", path, headers={"Host": "rebound.example:9090"})[0] == 403, path
        assert request("POST", path, {})[0] == 405, path
    connection = connect("127.0.0.1:9090")
    connection.request("GET", "/")
    policy = connection.getresponse().headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy


def test_events_need_the_token(start_relay, tmp_path):
    start_guarded(start_relay, tmp_path)
    assert request("GET", "/")[0] == 200
    assert request("GET", "/events")[0] == 401
    assert request("GET", "/sessions")[0] == 401


def listen() -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = connect("127.0.0.1:9090")
    connection.request("GET", "/events")
    return connection, connection.getresponse()


def test_listeners_are_few_and_told_once_a_second(start_relay):
    relay = start_relay(*FLAGS, "--http", "127.0.0.1:9090")
    listeners = [listen() for _ in range(16)]
    assert all(response.status == 200 for _, response in listeners)
    assert listen()[1].status == 503
    stream = listeners[0][1]
    began = time.monotonic()
    times = []
    while len(times) < 4:
        line = stream.readline()
        if line.startswith(b"data: "):
            times.append(json.loads(line[6:])["time_ms"])
    assert time.monotonic() - began < 15
    assert all(later - earlier >= 900 for earlier, later in zip(times, times[1:])), times
    for connection, response in listeners:
        response.close()
        connection.close()
    deadline = time.monotonic() + 10
    while (response := listen()[1]).status == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert response.status == 200
    assert relay.stop() < 5, "an open page must not hold up the end"


def test_memory_stays_small_with_a_listener(start_relay):
    relay = start_relay(*FLAGS, "--http", "127.0.0.1:9090", "--data-plane", "socket")
    request("GET", "/status")
    request("GET", "/metrics")
    before = relay.resident_kib()
    _, stream = listen()
    seen = 0
    while seen < 5:
        seen += stream.readline().startswith(b"data: ")
    assert relay.resident_kib() - before < 1024
    assert relay.resident_kib() < 24 * 1024
