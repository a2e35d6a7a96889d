"""Datagrams both ways without a pause while something else happens, each of which says whose it is."""

import socket
import threading
import time
from collections import Counter

from namespaces import Namespace
from stun import channel_data
from turn_client import TurnClient, udp_socket

INTERVAL_SECONDS = 0.005


class Flow:
    """One channel of a client and a peer that echoes. Each payload names the flow and its number.

    What the client or the peer gets that is not this flow's, or did not come from where it must, is a complaint.
    """

    def __init__(self, name: str, client: TurnClient, channel: int, peer_host: str, namespace: Namespace) -> None:
        self.name, self.client, self.channel = name.encode(), client, channel
        self._peer = udp_socket((peer_host, 0), namespace)
        self._peer.settimeout(0.05)
        self.peer_address = self._peer.getsockname()[:2]
        self.complaints: list[str] = []
        self.at_peer: Counter[int] = Counter()
        self.back: Counter[int] = Counter()
        self.sent = 0
        self._silent = self._stopping = False
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._echo, self._receive)]

    def __enter__(self) -> "Flow":
        """From here on the client's socket is the flow's: requests would lose their answers to it."""
        self.client.socket.settimeout(0.05)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        self._peer.close()

    def stop(self) -> None:
        self._silent = True
        self._threads[0].join(timeout=5)
        # What is on its way.
        deadline = time.monotonic() + 0.5
        while self.lost() and time.monotonic() < deadline:
            time.sleep(0.02)
        self._stopping = True
        for thread in self._threads[1:]:
            thread.join(timeout=5)

    def _send(self) -> None:
        while not self._silent:
            payload = b"%s %d" % (self.name, self.sent)
            self.sent += 1
            self.client.socket.sendto(channel_data(self.channel, payload), self.client.server)
            time.sleep(INTERVAL_SECONDS)

    def _number(self, payload: bytes, where: str) -> int | None:
        name, _, number = payload.rpartition(b" ")
        if name != self.name:
            self.complaints.append(f"{where} of {self.name!r} got {payload!r}")
            return None
        return int(number)

    def _echo(self) -> None:
        for payload, sender in self._datagrams(self._peer):
            number = self._number(payload, "the peer")
            if sender[:2] != self.client.relayed[0]:
                self.complaints.append(f"{payload!r} came from {sender}")
            if number is not None:
                self.at_peer[number] += 1
            self._peer.sendto(payload, sender)

    def _receive(self) -> None:
        for datagram, sender in self._datagrams(self.client.socket):
            if datagram[0] >> 6 != 1:
                continue  # an answer to a request
            length = int.from_bytes(datagram[2:4], "big")
            if int.from_bytes(datagram[:2], "big") != self.channel or sender[:2] != self.client.server:
                self.complaints.append(f"{datagram!r} came from {sender}")
            number = self._number(datagram[4 : 4 + length], "the client")
            if number is not None:
                self.back[number] += 1

    def _datagrams(self, source: socket.socket):
        while not self._stopping:
            try:
                yield source.recvfrom(65536)
            except TimeoutError:
                continue

    def lost(self, since: int = 0, until: int | None = None) -> list[int]:
        """Numbers that did not come back, of those sent from `since` on."""
        return [number for number in range(since, self.sent if until is None else until) if number not in self.back]
