"""A relay whose addresses a test changes by reloads."""

import os
import pathlib
import re
import signal
import time
from collections import Counter

import pytest

from admin import status
from peer import EchoPeer
from relay import PASSWORD, USER, Relay
from stun import REQUEST, Message, Method
from turn_client import TurnClient, udp_socket
from waiting import eventually
from xdp import CHANNEL, PORT, echo, frames

LISTENERS, RELAYS = ["10.71.1.1:3478", "[fd71:1::1]:3478"], ["10.71.2.1", "fd71:2::1"]
NEW_HOST, NEW_PORT, NEW_RELAY = "10.71.1.20", 3479, "10.71.2.20"
NEW_LISTENER = f"{NEW_HOST}:{NEW_PORT}"
WORKERS = 3


class Served:
    """A relay with a file of options, which it is told to read again."""

    def __init__(self, start_relay, network, plane: str, file: pathlib.Path) -> None:
        self.network, self._file = network, file
        self.write(LISTENERS, RELAYS)
        below = {"xdp": ["--xdp-slow-path", "socket"]}.get(plane, [])
        self.relay: Relay = start_relay(
            "--config", str(file), "--http", "127.0.0.1:9090", "--workers", str(WORKERS), "--watch-config=false",
            "--data-plane", plane, *below, namespace=network.relay, ready_at=("10.71.1.1", PORT))

    def write(self, listeners: list[str], relays: list[str], *more: str) -> None:
        lines = ["realm: relayd.test", "allow-peer: [10.71.2.0/24, 10.71.3.0/24, 'fd71:2::/64']",
                 f"listen: [{', '.join(repr(each) for each in listeners)}]",
                 f"relay-address: [{', '.join(repr(each) for each in relays)}]", *more]
        if not any(line.startswith("user:") for line in more):
            lines.append(f'user: ["{USER}:{PASSWORD}"]')
        fresh = self._file.with_name("fresh")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self._file)

    def reload(self, listeners: list[str] | None = None, relays: list[str] | None = None, *more: str) -> str:
        """What the log says of a reload, and waits for its end."""
        self.write(listeners or LISTENERS, relays or RELAYS, *more)
        before = len(self.relay.log())
        self.relay.process.send_signal(signal.SIGHUP)
        eventually(lambda: re.search(r"configuration (reloaded|kept)", self.relay.log()[before:]), seconds=10)
        return self.relay.log()[before:]

    def client(self, server=("10.71.1.1", PORT), number=9, **more) -> TurnClient:
        return TurnClient(server, bind=self.network.CLIENTS[4][number], namespace=self.network.clients, **more)

    def listeners(self) -> dict[str, str]:
        return {each["address"]: each["state"] for each in status(self.relay)["listeners"]}

    def relays(self) -> dict[str, str]:
        return {each["address"]: each["state"] for each in status(self.relay)["relay_addresses"]}

    def expect_dead(self, server) -> None:
        """Nobody answers there."""
        probe = udp_socket((self.network.CLIENTS[4][8], 0), self.network.clients)
        probe.settimeout(0.3)
        with probe:
            probe.sendto(Message(REQUEST, Method.BINDING).encode(), server)
            with pytest.raises((TimeoutError, ConnectionRefusedError)):
                probe.recv(2048)

    def files(self) -> int:
        """Open descriptors, once the connections of this test's own questions are gone."""
        counts = [-1]
        while counts[-1] != self.relay.open_files():
            counts.append(self.relay.open_files())
            time.sleep(0.2)
        return counts[-1]

    def kinds(self) -> Counter:
        """What the open descriptors are, but for the timer that a runtime opens when somebody first sleeps."""
        self.files()
        folder = pathlib.Path(f"/proc/{self.relay.pid}/fd")
        kinds = Counter(re.sub(r":\[\d+\]", "", os.readlink(each)) for each in folder.iterdir())
        del kinds["anon_inode:[timerfd]"]
        return kinds

    def end(self) -> None:
        """Stops a relay that has logged an error, as the test wanted."""
        self.relay.process.terminate()
        assert self.relay.process.wait(timeout=10) == 0, self.relay.log()


def allocate_on(served: Served, relay_address: str, server, tries=40) -> TurnClient:
    """A client whose relayed address is the wanted one: the relay draws among those that it has."""
    for _ in range(tries):
        client = served.client(server)
        client.allocate()
        if client.relayed[0][0] == relay_address:
            return client
        client.refresh(0)
        client.close()
    raise AssertionError(f"{relay_address} was never drawn: {served.relay.log()}")


def expect_relaying(served: Served, client: TurnClient, peer: EchoPeer, channel=CHANNEL) -> None:
    client.bind_channel(channel, peer.address)
    for number in range(20):
        echo(client, b"%d" % number, channel)
    if "xdp" == status(served.relay)["plane"]["name"]:
        echo_until_in_kernel_of(served, client, channel)


def echo_until_in_kernel_of(served: Served, client: TurnClient, channel=CHANNEL) -> None:
    """As `echo_until_in_kernel`, while others may relay too."""

    def goes_through() -> bool:
        before = frames(served.relay, "forward")
        for _ in range(10):
            echo(client, b"warm", channel)
        return frames(served.relay, "forward") >= before + 20

    eventually(goes_through, seconds=10)
