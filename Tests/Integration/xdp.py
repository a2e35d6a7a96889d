"""What the tests of the XDP plane share: its counters, and clients whose datagrams the kernel carries."""

import re
import signal
import time

from admin import request
from peer import EchoPeer
from relay import Relay, is_error
from turn_client import TurnClient

CHANNEL = 0x4000
PORT = 3478


def may_load_programs() -> bool:
    with open("/proc/self/uid_map") as file:
        return file.read().split() == ["0", "0", "4294967295"]


def metrics(relay: Relay) -> dict[str, float]:
    _, page = request("GET", "/metrics", namespace=relay.namespace)
    return {name: float(value) for name, value in re.findall(r"^([^#\s].*) (\S+)$", page, re.MULTILINE)}


def frames(relay: Relay, verdict: str, reason: str = "") -> int:
    return int(sum(value for name, value in metrics(relay).items()
                   if name.startswith("relayd_xdp_frames_total") and f'verdict="{verdict}"' in name
                   and f'reason="{reason}' in name))


def client_of(wires, family=4, number=0) -> TurnClient:
    return TurnClient((wires.RELAY_LISTENERS[family], PORT), bind=wires.CLIENTS[family][number], namespace=wires.clients)


def echo(client: TurnClient, payload: bytes, channel=CHANNEL) -> None:
    """To an echoing peer and back; the channel must be bound to it."""
    client.send_channel(channel, payload)
    assert client.receive_channel() == (channel, payload)


def echo_until_in_kernel(relay: Relay, client: TurnClient, channel=CHANNEL) -> None:
    """Exchanges datagrams until both directions are the kernel's: it must first know the neighbours."""
    for _ in range(100):
        before = frames(relay, "forward")
        echo(client, b"warm", channel)
        if frames(relay, "forward") == before + 2:
            return
        time.sleep(0.02)
    raise AssertionError(f"the kernel does not relay: {metrics(relay)}\n{relay.log()}")


def is_forwarded(relay: Relay, client: TurnClient, payload: bytes, channel=CHANNEL) -> bool:
    """Whether the kernel relays a datagram that the client sends now."""
    before = frames(relay, "forward")
    client.send_channel(channel, payload)
    time.sleep(0.1)
    return frames(relay, "forward") > before


def echoing_peer(wires, family=4) -> EchoPeer:
    return EchoPeer(wires.PEERS[family], wires.peers)


def stop_after_a_failed_plane(relay) -> None:
    """Ends a relay whose log has the errors that the test wanted, and no others."""
    relay.process.send_signal(signal.SIGTERM)
    assert relay.process.wait(timeout=10) == 0
    errors = [line for line in relay.log().splitlines() if is_error(line)]
    assert errors and all("data plane failed" in line for line in errors), errors
