"""relayd as a program: demo, configuration, credentials, refusals to start, signals, metrics, logs."""

import ctypes
import errno
import json
import re
import signal
import socket
import stat
import struct
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from peer import EchoPeer
from relay import CREDENTIALS, LOOPBACK, PASSWORD, USER, Relay, run_relayd
from turn_client import TurnClient

SERVER = ("127.0.0.1", 3478)
CHANNEL = 0x4000
ADMIN = "127.0.0.1:9090"
IO_URING_SETUP = 425


def get(path: str) -> tuple[int, str]:
    """What the admin server says to a GET. It starts a moment after the relay."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return get_once(path)
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def get_once(path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{ADMIN}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def relay_something(username=USER, password=PASSWORD) -> TurnClient:
    """A client with an allocation through which one payload went there and back."""
    client = TurnClient(SERVER, username, password)
    with EchoPeer("127.0.0.1") as peer:
        client.allocate(4)
        client.bind_channel(CHANNEL, peer.address)
        client.send_channel(CHANNEL, b"twelve bytes")
        assert client.receive_channel() == (CHANNEL, b"twelve bytes")
    return client


def await_admin() -> None:
    """HTTP starts after the relay does."""
    deadline = time.monotonic() + 5
    while True:
        try:
            assert get("/readyz") == (200, "ready\n")
            return
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "nobody serves HTTP"
            time.sleep(0.02)


# Starting


def test_the_command_that_the_demo_prints_relays_without_loss(start_relay):
    relay = start_relay("--demo")
    deadline = time.monotonic() + 5
    # The relay answers a little before it has said how to try it.
    while not (command := re.search(r"^\s*(turnutils_uclient .*)\n", relay.output() + relay.log(), re.MULTILINE)):
        assert time.monotonic() < deadline, relay.output() + relay.log()
        time.sleep(0.02)
    run = subprocess.run(command[1].split(), capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Total lost packets 0 (0.000000%)" in run.stdout + run.stderr
    assert int(re.findall(r"tot_recv_msgs=(\d+)", run.stdout + run.stderr)[-1]) > 0


def test_the_demo_can_be_reached_from_this_host_only(start_relay):
    relay = start_relay("--demo")
    bound = subprocess.run(["ss", "-Hlunp"], capture_output=True, text=True, check=True).stdout
    own = [line.split()[3] for line in bound.splitlines() if f"pid={relay.pid}," in line]
    assert own and all(address.startswith(("127.0.0.1:", "[::1]:")) for address in own), own


@pytest.mark.parametrize("flags,status,words", [
    (["--relay-address", "127.0.0.1"], 78, ["--user", "--auth-secret", "--demo"]),
    ([*CREDENTIALS, "--listen", "127.0.0.1"], 78, ["--listen", '"127.0.0.1"', "an address and a port"]),
    ([*CREDENTIALS, "--listen", "192.0.2.99:3478", "--relay-address", "127.0.0.1"], 69, ["192.0.2.99"]),
    ([*CREDENTIALS, "--listen", "127.0.0.1:3478", "--relay-address", "192.0.2.99"], 69, ["192.0.2.99"]),
    ([*CREDENTIALS, "--relay-address", "127.0.0.1", "--data-plane", "xdp"], 69, ["xdp"]),
    ([*CREDENTIALS, "--relay-address", "127.0.0.1", "--allow-peer", "10.0.0.0/33"], 78, ["allow-peer", "10.0.0.0/33"]),
    (["--no-such-flag"], 64, ["no-such-flag"]),
], ids=["no-credentials", "bad-value", "foreign-listener", "foreign-relay", "absent-plane", "bad-network", "unknown-flag"])
def test_what_cannot_start_says_why(flags, status, words):
    run = run_relayd(*flags)
    assert run.returncode == status, run.stderr
    for word in words:
        assert word in run.stderr, run.stderr


def test_a_port_in_use_is_named():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(SERVER)
        run = run_relayd(*CREDENTIALS, "--listen", "127.0.0.1:3478", "--relay-address", "127.0.0.1")
    assert run.returncode == 69, run.stderr
    assert "127.0.0.1:3478" in run.stderr and "another socket" in run.stderr


def test_a_second_relay_on_the_same_port_is_refused(start_relay):
    # Both would listen with SO_REUSEPORT and share the clients unnoticed.
    start_relay(*CREDENTIALS, *LOOPBACK)
    run = run_relayd(*CREDENTIALS, *LOOPBACK)
    assert run.returncode == 69 and "127.0.0.1:3478" in run.stderr, run.stderr


def test_file_environment_and_command_line_add_up(start_relay, tmp_path):
    file = tmp_path / "relayd.yaml"
    file.write_text("realm: from.file\n"
                    "listen: [\"127.0.0.1:3478\"]\n"
                    "relay-address: 127.0.0.1\n"
                    "allow-peer:\n  - 10.0.0.0/8\n  - 127.0.0.1\n"
                    f"user: [\"{USER}:{PASSWORD}\"]\n"
                    "allocations-per-user: 1\n")
    assert run_relayd("check", "--config", str(file)).returncode == 0
    start_relay("--config", str(file), "--realm", "from.flag")
    client = relay_something()
    assert client.realm == b"from.flag"
    with TurnClient(SERVER) as second:
        assert second.request(second.allocation()).error == 486
    client.close()


def test_check_names_the_line_of_a_key_that_does_not_exist(tmp_path):
    file = tmp_path / "relayd.yaml"
    file.write_text(f"realm: example.org\nuser: [\"{USER}:{PASSWORD}\"]\nrelay-adress: 127.0.0.1\n")
    run = run_relayd("check", "--config", str(file))
    text = run.stdout + run.stderr
    assert run.returncode == 78, text
    assert f"{file}:3" in text and "relay-adress" in text and "relay-address" in text, text
    assert PASSWORD not in text


def test_minted_credentials_open_an_allocation(start_relay, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("old secret\nnew secret\n")
    secret.chmod(stat.S_IRUSR)
    start_relay("--realm", "relayd.test", "--auth-secret-file", str(secret), *LOOPBACK)
    for flags in (["--auth-secret-file", str(secret)], ["--auth-secret", "new secret"]):
        run = run_relayd("credentials", *flags, "--user-id", "carol", "--format", "json", "--uri", "turn:127.0.0.1:3478")
        server = json.loads(run.stdout)["iceServers"][0]
        assert server["urls"] == ["turn:127.0.0.1:3478"] and server["username"].endswith(":carol")
        relay_something(server["username"], server["credential"]).close()
    with TurnClient(SERVER, f"{int(time.time()) - 5}:carol", server["credential"]) as late:
        assert late.request(late.allocation()).error == 401


@pytest.mark.parametrize("command", [["--help"], ["--version"], ["doctor"], ["credentials", "--help"]])
def test_commands_that_only_tell(command):
    run = run_relayd(*command)
    assert run.returncode == 0 and run.stdout, run.stderr


def test_doctor_names_every_plane():
    text = run_relayd("doctor").stdout
    for plane in ("socket", "io-uring", "xdp"):
        assert re.search(rf"\b{plane}\b", text), text


@pytest.mark.parametrize("number,reason", [(errno.EPERM, "seccomp|io_uring_disabled"), (errno.ENOSYS, "without io_uring")])
def test_a_host_that_refuses_io_uring_is_told_why(number, reason):
    """As under a container's seccomp profile: io_uring_setup fails, and nothing else does."""
    text = run_relayd("doctor", preexec_fn=lambda: refuse_io_uring(number)).stdout
    assert re.search(rf"io-uring: no: io_uring_setup: .*({reason}).*or use the socket plane", text), text
    assert "socket: yes: " in text
    flags = [*CREDENTIALS, "--listen", "127.0.0.1:3478", "--relay-address", "127.0.0.1", "--data-plane", "io-uring"]
    run = run_relayd(*flags, preexec_fn=lambda: refuse_io_uring(number))
    assert run.returncode == 69 and re.search(reason, run.stderr), run.stderr


def refuse_io_uring(number: int) -> None:
    """From now on io_uring_setup fails with this errno, in this process and its children (seccomp, mode filter)."""
    load_number, jump_equal, answer = 0x20, 0x15, 0x06
    program = b"".join(struct.pack("=HBBI", *step) for step in [
        (load_number, 0, 0, 0), (jump_equal, 0, 1, IO_URING_SETUP), (answer, 0, 0, 0x00050000 | number),
        (answer, 0, 0, 0x7FFF0000)])
    steps = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, seccomp, filtered = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) != 0 or libc.prctl(seccomp, filtered, header, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


# Running


def read_metrics() -> dict[str, float]:
    """Samples of /metrics by name and labels as written; the format is checked on the way."""
    status, text = get("/metrics")
    assert status == 200 and text.endswith("\n")
    samples: dict[str, float] = {}
    typed: set[str] = set()
    for line in text.splitlines():
        if head := re.fullmatch(r"# TYPE ([a-z0-9_]+) (counter|gauge|histogram)", line):
            assert head[1] not in typed, f"{head[1]} is declared twice"
            typed.add(head[1])
        elif not line.startswith("# HELP "):
            sample = re.fullmatch(r'(([a-z0-9_]+)(?:\{[a-z_]+="[^"\\]*"(?:,[a-z_]+="[^"\\]*")*\})?) (\S+)', line)
            assert sample and sample[2] in typed and sample[1] not in samples, line
            samples[sample[1]] = float(sample[3])
    return samples


def total(samples: dict[str, float], name: str, *labels: str) -> float:
    return sum(value for key, value in samples.items()
               if key.split("{")[0] == name and all(label in key for label in labels))


def test_metrics_move_while_sessions_live(start_relay):
    start_relay(*CREDENTIALS, *LOOPBACK, "--http", ADMIN)
    await_admin()
    assert get("/healthz") == (200, "ok\n") and get("/nothing")[0] == 404
    before = read_metrics()
    assert before["relayd_allocations"] == 0
    client = relay_something()
    await_metrics(lambda now: now["relayd_allocations"] == 1 and now["relayd_channels"] == 1)
    for direction in ("to_peer", "to_client"):
        await_metrics(lambda now: total(now, "relayd_relayed_packets_total", f'direction="{direction}"') == 1)
        assert total(read_metrics(), "relayd_relayed_bytes_total", f'direction="{direction}"') == 12
    now = read_metrics()
    assert total(now, "relayd_requests_total", 'method="allocate"', 'outcome="success"') == 1
    assert total(now, "relayd_requests_total", 'method="allocate"', 'outcome="401"') == 1
    assert now["process_resident_memory_bytes"] > 1 << 20 and now["process_open_fds"] > 4
    assert not any(secret in get("/metrics")[1] for secret in (USER, PASSWORD, "127.0.0.1"))
    client.refresh(0)
    client.close()
    await_metrics(lambda now: now["relayd_allocations"] == 0 and now["relayd_channels"] == 0)


def await_metrics(condition, seconds: float = 15) -> None:
    """Workers publish their figures now and then."""
    deadline = time.monotonic() + seconds
    while not condition(read_metrics()):
        assert time.monotonic() < deadline, get("/metrics")[1]
        time.sleep(0.05)


def test_the_log_tells_the_life_of_an_allocation_and_no_secret(start_relay):
    relay = start_relay(*CREDENTIALS, *LOOPBACK, "--log-format", "json", "--auth-secret", "hush")
    client = relay_something()
    address, relayed = client.address, client.relayed[0]
    client.refresh(0)
    client.close()
    relay.process.terminate()
    assert relay.process.wait(timeout=10) == 0
    events = [json.loads(line) for line in relay.log().splitlines()]
    assert all({"ts", "level", "event"} <= event.keys() for event in events)
    assert not [event for event in events if event["level"] in ("error", "critical")]
    created, ended = [event for event in events if event["event"].startswith("allocation ")]
    for event in (created, ended):
        assert event["client"] == "{}:{}".format(*address) and event["relayed"] == "{}:{}".format(*relayed)
        assert event["server"] == "127.0.0.1:3478" and event["user"] == USER
    assert ended["reason"] and int(ended["to_peers_bytes"]) == int(ended["to_client_bytes"]) == 12
    assert PASSWORD not in relay.log() and "hush" not in relay.log()


def test_a_name_cannot_forge_log_lines(start_relay):
    forged = "eve\n2026-01-01T00:00:00.000Z error forged \x1b[31m\"quoted\""
    relay = start_relay("--realm", "relayd.test", "--auth-secret", "s", *LOOPBACK)
    minted = run_relayd("credentials", "--auth-secret", "s", "--user-id", forged, "--format", "json")
    server = json.loads(minted.stdout)["iceServers"][0]
    relay_something(server["username"], server["credential"]).close()
    relay.stop()  # an error line in the log would fail here
    assert "forged" in relay.log() and "\x1b" not in relay.log()


# Stopping


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_it_with_living_allocations(start_relay, name):
    relay = start_relay(*CREDENTIALS, *LOOPBACK, "--http", ADMIN)
    clients = [relay_something() for _ in range(50)]
    asked = time.monotonic()
    relay.process.send_signal(signal.Signals[name])
    assert relay.process.wait(timeout=10) == 0, relay.log()
    seconds = time.monotonic() - asked
    print(f"{name} to exit with {len(clients)} allocations: {seconds * 1000:.0f} ms")
    assert seconds < 5, "living allocations must not hold up the end"
    assert relay.log().count("allocation ended") == len(clients)
    for client in clients:
        client.close()


def test_a_signal_right_after_the_first_answer_is_obeyed(start_relay):
    for _ in range(10):
        start_relay(*CREDENTIALS, *LOOPBACK).stop()


def test_it_starts_again_at_once_on_the_same_port(start_relay):
    for _ in range(3):
        relay = start_relay(*CREDENTIALS, *LOOPBACK)
        client = relay_something()
        relay.stop()
        client.close()


def test_it_answers_after_every_start():
    """Printed, not judged: the machine may be busy. The goal is 20 ms."""
    milliseconds = []
    for _ in range(5):
        begun = time.monotonic()
        relay = Relay(*CREDENTIALS, *LOOPBACK)
        milliseconds.append((time.monotonic() - begun) * 1000)
        relay.stop()
    print("start to first Binding answer:", ", ".join(f"{value:.0f} ms" for value in sorted(milliseconds)))
