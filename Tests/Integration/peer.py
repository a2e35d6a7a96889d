"""Peers: something to relay to."""

import socket
import threading

from namespaces import Namespace
from stun import type_of_address
from turn_client import udp_socket


class EchoPeer:
    """Sends every datagram back to where it came from, on a thread of its own."""

    def __init__(self, address: str, namespace: Namespace | None = None) -> None:
        self._socket = udp_socket((address, 0), namespace)
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._thread = threading.Thread(target=self._echo, daemon=True)
        self._stopping = False
        self._thread.start()

    def _echo(self) -> None:
        while True:
            datagram, sender = self._socket.recvfrom(65536)
            if self._stopping:
                return
            self._socket.sendto(datagram, sender)

    @property
    def address(self) -> type_of_address:
        return self._socket.getsockname()[:2]

    def __enter__(self) -> "EchoPeer":
        return self

    def __exit__(self, *_) -> None:
        self._stopping = True
        # A datagram to itself wakes it up.
        self._socket.sendto(b"", self.address)
        self._thread.join(timeout=5)
        self._socket.close()
