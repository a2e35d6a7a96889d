"""A small TURN client over UDP (RFC 8656), blocking, for tests that must see every message."""

import base64
import hashlib
import socket
import struct
import time

from namespaces import Namespace
from stun import (
    ALGORITHM_MD5,
    ALGORITHM_SHA256,
    ERROR,
    FAMILY_IPV4,
    FAMILY_IPV6,
    INDICATION,
    REQUEST,
    Message,
    Method,
    Type,
    channel_data,
    decode,
    is_response,
    long_term_key,
    type_of_address,
)

UDP = b"\x11\0\0\0"
FAMILIES = {4: bytes([FAMILY_IPV4, 0, 0, 0]), 6: bytes([FAMILY_IPV6, 0, 0, 0])}
# How long a test waits for a datagram that must come.
SILENCE_SECONDS = 2
# RFC 8489 section 18.1 counts the feature bits from the most significant of 24.
FEATURE_PASSWORD_ALGORITHMS, FEATURE_USERNAME_ANONYMITY = 1 << 23, 1 << 22


class TurnError(Exception):
    """An error response to a request that should have succeeded."""

    def __init__(self, response: Message):
        super().__init__(f"{Method(response.method).name}: {response.error}")
        self.response = response


def udp_socket(address: type_of_address, namespace: Namespace | None = None) -> socket.socket:
    """A UDP socket bound to the address, in the namespace or where the tests run."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    if namespace is None:
        made = socket.socket(family, socket.SOCK_DGRAM)
    else:
        with namespace:
            made = socket.socket(family, socket.SOCK_DGRAM)
    made.bind(address)
    made.settimeout(SILENCE_SECONDS)
    return made


def security_features(nonce: bytes) -> int:
    """The feature bits in a nonce (RFC 8489 section 9.2); none without the cookie."""
    return int.from_bytes(base64.b64decode(nonce[9:13]), "big") if nonce.startswith(b"obMatJos2") else 0


class TurnClient:
    """One five-tuple and what was learned on it.

    `algorithm` is how the password is hashed; SHA-256 goes with PASSWORD-ALGORITHMS and
    MESSAGE-INTEGRITY-SHA256, MD5 is what clients of RFC 5766 do. `userhash` hides the name.
    """

    RETRANSMISSIONS = 4

    def __init__(self, server: type_of_address, username="alice", password="wonderland", *,
                 bind: str | None = None, namespace: Namespace | None = None,
                 algorithm=ALGORITHM_MD5, userhash=False):
        self.server, self.username, self.password = server, username, password
        self.algorithm, self.userhash = algorithm, userhash
        self.socket = udp_socket((bind or ("::1" if ":" in server[0] else "127.0.0.1"), 0), namespace)
        self.realm = self.nonce = b""
        self.offered_algorithms: bytes | None = None
        self.relayed: list[type_of_address] = []
        self._early: list[bytes] = []

    def __enter__(self) -> "TurnClient":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    @property
    def address(self) -> type_of_address:
        return self.socket.getsockname()[:2]

    # Messages out

    @property
    def key(self) -> bytes:
        return long_term_key(self.algorithm, self.username, self.realm.decode(), self.password)

    @property
    def integrity(self) -> int:
        return Type.MESSAGE_INTEGRITY if self.algorithm == ALGORITHM_MD5 else Type.MESSAGE_INTEGRITY_SHA256

    def sign(self, request: Message) -> bytes:
        """The request with credentials for the realm and nonce that were last seen."""
        signed = Message(request.message_class, request.method, request.transaction, list(request.attributes))
        if self.userhash:
            signed.add(Type.USERHASH, hashlib.sha256(f"{self.username}:{self.realm.decode()}".encode()).digest())
        else:
            signed.add(Type.USERNAME, self.username.encode())
        signed.add(Type.REALM, self.realm).add(Type.NONCE, self.nonce)
        if self.algorithm == ALGORITHM_SHA256:
            assert self.offered_algorithms is not None, "the server offered no PASSWORD-ALGORITHMS"
            signed.add(Type.PASSWORD_ALGORITHMS, self.offered_algorithms)
            signed.add(Type.PASSWORD_ALGORITHM, struct.pack("!HH", ALGORITHM_SHA256, 0))
        return signed.encode(self.key, self.integrity)

    def exchange(self, datagram: bytes) -> Message:
        """Sends a request, again after silence, until its response is here; other datagrams wait their turn."""
        transaction = datagram[8:20]
        for attempt in range(self.RETRANSMISSIONS):
            self.socket.sendto(datagram, self.server)
            response = self._await(transaction, 0.25 * 2**attempt)
            if response is not None:
                return response
        raise TimeoutError(f"{self.server} did not answer {datagram.hex()}")

    def _await(self, transaction: bytes, seconds: float) -> Message | None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                datagram, sender = self.socket.recvfrom(65536)
            except TimeoutError:
                return None
            finally:
                self.socket.settimeout(SILENCE_SECONDS)
            assert sender[:2] == self.server, f"{sender} answered instead of {self.server}"
            if not is_response(datagram):
                self._early.append(datagram)
            elif datagram[8:20] == transaction:
                return decode(datagram)
        return None

    def request(self, request: Message) -> Message:
        """The response to an authenticated request, after the 401 and 438 that teach realm and nonce."""
        response = self.exchange(self.sign(request) if self.nonce else request.encode())
        if response.error == 438 or (response.error == 401 and not self.nonce):
            self.learn(response)
            # A challenge ends its transaction: RFC 8489 section 9.2.5 makes the retry a new request.
            response = self.exchange(self.sign(self._again(request)))
        # RFC 8489 section 9.2.5: answers of a server that knows the user are signed the way the client signed.
        if response.message_class != ERROR:
            assert response.is_signed(self.key, self.integrity), f"unsigned: {response}"
        return response

    def _again(self, request: Message) -> Message:
        again = Message(request.message_class, request.method)
        for type, value in request.attributes:
            if type == Type.XOR_PEER_ADDRESS:  # it is masked with the transaction
                again.add(type, value[:4] + bytes(
                    a ^ b ^ c for a, b, c in zip(value[4:], b"\0" * 4 + request.transaction, b"\0" * 4 + again.transaction)))
            else:
                again.add(type, value)
        return again

    def learn(self, challenge: Message) -> None:
        self.realm = challenge.get(Type.REALM) or b""
        self.nonce = challenge.get(Type.NONCE) or b""
        self.offered_algorithms = challenge.get(Type.PASSWORD_ALGORITHMS)

    def succeed(self, request: Message) -> Message:
        response = self.request(request)
        if response.message_class == ERROR:
            raise TurnError(response)
        return response

    # TURN's verbs

    def allocate(self, family: int | None = None, *more: tuple[int, bytes]) -> Message:
        """Allocates; `more` are further attributes. The relayed addresses are then in `relayed`."""
        response = self.succeed(self.allocation(family, *more))
        self.relayed = [
            Message(REQUEST, 0, response.transaction, [(0, value)]).address(0)
            for value in response.all(Type.XOR_RELAYED_ADDRESS)
        ]
        assert self.relayed and response.address(Type.XOR_MAPPED_ADDRESS) == self.address
        return response

    @staticmethod
    def allocation(family: int | None = None, *more: tuple[int, bytes]) -> Message:
        request = Message(REQUEST, Method.ALLOCATE).add(Type.REQUESTED_TRANSPORT, UDP)
        if family is not None:
            request.add(Type.REQUESTED_ADDRESS_FAMILY, FAMILIES[family])
        request.attributes += more
        return request

    def refresh(self, lifetime_seconds: int) -> Message:
        return self.succeed(self.refresh_request(lifetime_seconds))

    @staticmethod
    def refresh_request(lifetime_seconds: int) -> Message:
        return Message(REQUEST, Method.REFRESH).add(Type.LIFETIME, struct.pack("!I", lifetime_seconds))

    def permit(self, *peers: type_of_address) -> Message:
        return self.succeed(self.permission(*peers))

    @staticmethod
    def permission(*peers: type_of_address) -> Message:
        request = Message(REQUEST, Method.CREATE_PERMISSION)
        for peer in peers:
            request.add_address(Type.XOR_PEER_ADDRESS, peer)
        return request

    def bind_channel(self, channel: int, peer: type_of_address) -> Message:
        return self.succeed(self.binding(channel, peer))

    @staticmethod
    def binding(channel: int, peer: type_of_address) -> Message:
        request = Message(REQUEST, Method.CHANNEL_BIND).add(Type.CHANNEL_NUMBER, struct.pack("!HH", channel, 0))
        return request.add_address(Type.XOR_PEER_ADDRESS, peer)

    def send_channel(self, channel: int, payload: bytes) -> None:
        self.socket.sendto(channel_data(channel, payload), self.server)

    def send_indication(self, peer: type_of_address, payload: bytes) -> None:
        indication = Message(INDICATION, Method.SEND).add_address(Type.XOR_PEER_ADDRESS, peer)
        self.socket.sendto(indication.add(Type.DATA, payload).encode(), self.server)

    # Datagrams in

    def receive(self) -> bytes:
        """The next datagram that is no response."""
        if self._early:
            return self._early.pop(0)
        while True:
            datagram, sender = self.socket.recvfrom(65536)
            assert sender[:2] == self.server, f"{sender} sent instead of {self.server}"
            if not is_response(datagram):  # to a retransmission, then: its request is answered
                return datagram

    def receive_channel(self) -> tuple[int, bytes]:
        datagram = self.receive()
        channel, length = struct.unpack_from("!HH", datagram)
        assert 0x4000 <= channel <= 0x7FFF and length <= len(datagram) - 4 <= length + 3, datagram.hex()
        return channel, datagram[4 : 4 + length]

    def receive_data(self) -> tuple[type_of_address, bytes]:
        """Peer and payload of the next Data indication."""
        indication = decode(self.receive())
        assert (indication.message_class, indication.method) == (INDICATION, Method.DATA), indication
        payload = indication.get(Type.DATA)
        assert payload is not None, indication
        return indication.address(Type.XOR_PEER_ADDRESS), payload
