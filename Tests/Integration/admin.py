"""The administration of a running relay, over HTTP or over its unix socket."""

import http.client
import json
import socket
import time

from namespaces import Namespace
from relay import Relay

HTTP = "127.0.0.1:9090"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=15)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def request(method: str, path: str, body: object = None, *, at: str = HTTP, namespace: Namespace | None = None,
            headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and text of one request; `at` is an address with its port, or the path of a unix socket."""
    if namespace is not None:
        with namespace:
            return request(method, path, body, at=at, headers=headers)
    connection = connect(at)
    try:
        sent = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, None if body is None else json.dumps(body), sent | (headers or {}))
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def connect(at: str) -> http.client.HTTPConnection:
    """Administration is there a moment after the relay answers its clients."""
    deadline = time.monotonic() + 5
    while True:
        connection = UnixConnection(at) if at.startswith("/") else http.client.HTTPConnection(at, timeout=15)
        try:
            connection.connect()
            return connection
        except (ConnectionRefusedError, FileNotFoundError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def status(relay: Relay) -> dict:
    code, text = request("GET", "/status", namespace=relay.namespace)
    assert code == 200, text
    return json.loads(text)


def change_plane(relay: Relay, plane: str) -> dict:
    """Has the relay go on with another plane; what runs then."""
    code, text = request("POST", "/plane", {"plane": plane}, namespace=relay.namespace)
    assert code == 200, text
    return json.loads(text)
