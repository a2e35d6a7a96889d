"""relayd under an operator: reloads, draining, and what the service manager is told."""

import re
import signal
import socket
import time

import pytest

from admin import request
from peer import EchoPeer
from relay import CREDENTIALS, LOOPBACK, PASSWORD, USER, Relay
from stun import REQUEST, Message, Method
from test_program import ADMIN, CHANNEL, SERVER, await_admin, get, read_metrics, relay_something
from turn_client import TurnClient


def await_log(relay: Relay, pattern: str, seconds: float = 15) -> re.Match:
    deadline = time.monotonic() + seconds
    while not (found := re.search(pattern, relay.log())):
        assert time.monotonic() < deadline, f"{pattern} is not in the log:\n{relay.log()}"
        time.sleep(0.02)
    return found


def end(relay: Relay) -> None:
    """Stops a relay that has logged an error, as the test wanted."""
    relay.process.terminate()
    assert relay.process.wait(timeout=10) == 0, relay.log()


@pytest.fixture
def configured(start_relay, tmp_path):
    """A relay with a file, and how to change that."""
    file = tmp_path / "relayd.yaml"

    def write(*lines: str) -> None:
        fresh = tmp_path / "fresh"
        fresh.write_text("\n".join(("realm: relayd.test", *lines)) + "\n")
        fresh.replace(file)

    def start(*lines: str, flags=()) -> Relay:
        write(*lines)
        return start_relay("--config", str(file), *LOOPBACK, *flags)

    return start, write


# Reloading

ALICE = f'user: ["{USER}:{PASSWORD}"]'


def test_sighup_applies_what_is_no_socket_and_names_what_waits(configured):
    start, write = configured
    relay = start(ALICE, "allocations-per-user: 1", "watch-config: false", "log-level: info")
    client = relay_something()
    write(f'user: ["{USER}:{PASSWORD}", "bob:builder"]', "allocations-per-user: 2", "workers: 7", "watch-config: false")
    time.sleep(0.5)
    assert "reloaded" not in relay.log(), "nobody asked for it"
    relay.process.send_signal(signal.SIGHUP)
    await_log(relay, r"notice configuration reloaded changed=2 need_restart=1\n")
    await_log(relay, r"notice option changed added=bob key=user\n")
    await_log(relay, r"notice option changed from=1 key=allocations-per-user to=2\n")
    await_log(relay, r'warning option needs a restart from=none key=workers to=7\n')
    assert PASSWORD not in relay.log() and "builder" not in relay.log()
    with TurnClient(SERVER) as second, TurnClient(SERVER, "bob", "builder") as bob:
        second.allocate()
        bob.allocate()
    # The allocation of before goes on, refreshes included.
    client.refresh(600)
    with EchoPeer("127.0.0.1") as peer:
        client.bind_channel(CHANNEL + 1, peer.address)
        client.send_channel(CHANNEL + 1, b"still here")
        assert client.receive_channel() == (CHANNEL + 1, b"still here")
    client.close()


def test_a_changed_file_is_taken_in_without_being_asked(configured):
    start, write = configured
    relay = start(ALICE)
    client = relay_something()
    write('user: ["bob:builder"]', "log-level: warning")
    await_log(relay, "key=user removed=alice")
    with TurnClient(SERVER, "bob", "builder") as bob:
        bob.allocate()
    # A removed user is refused, and what it has lapses: here its permission goes on for its five minutes.
    assert client.request(Message(REQUEST, Method.REFRESH)).error == 401
    client.close()
    assert relay.log().count("allocation created") == 1, "the level of the log is another one now"


def test_a_file_of_secrets_is_watched_too(start_relay, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("north\n")
    secret.chmod(0o400)
    relay = start_relay("--realm", "relayd.test", "--auth-secret-file", str(secret), *LOOPBACK)
    fresh = tmp_path / "fresh"
    fresh.write_text("south\n")
    fresh.chmod(0o400)
    fresh.replace(secret)
    await_log(relay, "option changed added=1 key=auth-secret removed=1")
    assert "south" not in relay.log() and "north" not in relay.log()


@pytest.mark.parametrize("line,words", [
    ("allocations-per-user: many", 'allocations-per-user is "many"'),
    ("alocations-per-user: 3", "did you mean allocations-per-user"),
    ("user: [", "this is not YAML"),
], ids=["bad-value", "unknown-key", "no-yaml"])
def test_a_bad_file_changes_nothing_and_says_why(configured, line, words):
    start, write = configured
    relay = start(ALICE)
    write('user: ["bob:builder"]', line)
    found = await_log(relay, r"error configuration refused reason=.*\n")
    assert words in found[0].replace('\\"', '"'), found[0]
    await_log(relay, "error configuration kept")
    relay_something().close()
    with TurnClient(SERVER, "bob", "builder") as bob:
        assert bob.request(bob.allocation()).error == 401
    write(ALICE, "allocations-per-user: 3")
    await_log(relay, "option changed from=100 key=allocations-per-user to=3")
    end(relay)


def test_a_refused_reload_stays_in_the_metrics_until_a_good_one(configured):
    start, write = configured
    relay = start(ALICE, flags=("--http", "127.0.0.1:9090"))
    assert "\nrelayd_configuration_refused 0.0\n" in request("GET", "/metrics")[1]
    write(ALICE, "allocations-per-user: many")
    await_log(relay, "error configuration kept")
    assert "\nrelayd_configuration_refused 1.0\n" in request("GET", "/metrics")[1]
    write(ALICE, "allocations-per-user: 3")
    await_log(relay, "notice configuration reloaded")
    text = request("GET", "/metrics")[1]
    assert "\nrelayd_configuration_refused 0.0\n" in text
    for outcome in ("failure", "success"):
        assert re.search(rf'^relayd_reloads_total\{{outcome="{outcome}"\}} [1-9]', text, re.MULTILINE)
    end(relay)


def test_a_reload_closes_the_way_to_a_peer_at_once(configured):
    start, write = configured
    relay = start(ALICE)
    with EchoPeer("127.0.0.2") as peer, TurnClient(SERVER) as client:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        client.send_channel(CHANNEL, b"open")
        assert client.receive_channel() == (CHANNEL, b"open")
        write(ALICE, "deny-peer: [127.0.0.2]")
        await_log(relay, "option changed added=127.0.0.2 key=deny-peer")
        time.sleep(0.1)
        client.send_channel(CHANNEL, b"closed")
        with pytest.raises(TimeoutError):
            client.receive_channel()
        assert client.request(client.binding(CHANNEL, peer.address)).error == 403


# Draining


def test_a_drain_refuses_the_new_and_ends_with_the_last(start_relay):
    relay = start_relay(*CREDENTIALS, *LOOPBACK, "--http", ADMIN)
    await_admin()
    client = relay_something()
    assert read_metrics()["relayd_draining"] == 0
    relay.process.send_signal(signal.SIGUSR1)
    await_log(relay, r"notice draining allocations=1 alternate=none seconds=0 timeout_s=3600\n")
    assert get("/readyz") == (503, "draining\n") and get("/healthz")[0] == 200
    assert read_metrics()["relayd_draining"] == 1
    with TurnClient(SERVER) as late:
        assert late.request(late.allocation()).error == 508
    client.refresh(600)
    with EchoPeer("127.0.0.1") as peer:
        client.bind_channel(CHANNEL + 1, peer.address)
        client.send_channel(CHANNEL + 1, b"goes on")
        assert client.receive_channel() == (CHANNEL + 1, b"goes on")
    assert relay.is_running()
    client.refresh(0)
    client.close()
    assert relay.process.wait(timeout=5) == 0
    assert re.search(r"notice drained allocations=0 .*\n(.*\n)*.* info stopped\n$", relay.log()), relay.log()
    assert "reason=released" in relay.log()


def test_a_draining_relay_names_its_alternate(start_relay):
    relay = start_relay(*CREDENTIALS, *LOOPBACK, "--alternate-server", "192.0.2.7:3479")
    client = relay_something()
    relay.process.send_signal(signal.SIGUSR1)
    await_log(relay, "draining")
    with TurnClient(SERVER) as late:
        answer = late.request(late.allocation())
        assert answer.error == 300
        # ALTERNATE-SERVER (RFC 8489 section 14.15): not XORed.
        assert answer.get(0x8023) == bytes([0, 1]) + (3479).to_bytes(2, "big") + bytes([192, 0, 2, 7])
    with TurnClient(("::1", 3478)) as late:
        assert late.request(late.allocation()).error == 508
    client.close()
    relay.stop()


def test_a_drain_has_an_end(start_relay):
    relay = start_relay(*CREDENTIALS, *LOOPBACK, "--drain-timeout", "1s")
    client = relay_something()
    relay.process.send_signal(signal.SIGUSR1)
    relay.process.send_signal(signal.SIGUSR1)
    assert relay.process.wait(timeout=10) == 0
    client.close()
    assert "drain timed out allocations=1" in relay.log() and "reason=stopped" in relay.log()
    assert relay.log().count("notice draining") == 1


def test_an_idle_relay_drains_at_once(start_relay):
    relay = start_relay(*CREDENTIALS, *LOOPBACK)
    relay.process.send_signal(signal.SIGUSR1)
    assert relay.process.wait(timeout=5) == 0, relay.log()


def test_a_stop_ends_a_drain(start_relay):
    relay = start_relay(*CREDENTIALS, *LOOPBACK)
    client = relay_something()
    relay.process.send_signal(signal.SIGUSR1)
    await_log(relay, "draining")
    relay.stop()
    client.close()


# The service manager


def test_the_service_manager_hears_of_everything(monkeypatch, configured, tmp_path):
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        start, write = configured
        relay = start(ALICE)

        def await_message(beginning: bytes) -> bytes:
            while not (message := manager.recv(4096)).startswith(beginning):
                assert message == b"WATCHDOG=1", message
            return message

        assert await_message(b"READY=1").startswith(b"READY=1\nSTATUS=relaying with ")
        for _ in range(3):
            assert await_message(b"WATCHDOG=1") == b"WATCHDOG=1"
        relay.process.send_signal(signal.SIGHUP)
        assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", await_message(b"RELOADING=1"))
        await_message(b"READY=1")
        # Without a turn of the workers there is no sign of life: here all of them are held.
        relay.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                manager.recv(4096)
        manager.settimeout(5)
        relay.process.send_signal(signal.SIGCONT)
        await_message(b"WATCHDOG=1")
        relay.process.terminate()
        await_message(b"STOPPING=1")
        assert relay.process.wait(timeout=10) == 0
