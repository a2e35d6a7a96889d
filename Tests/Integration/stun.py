"""STUN messages (RFC 8489) with the attributes of TURN (RFC 8656), written apart from the server's own code."""

import hashlib
import hmac
import ipaddress
import os
import struct
import zlib
from dataclasses import dataclass, field
from enum import IntEnum

MAGIC_COOKIE = 0x2112A442
REQUEST, INDICATION, SUCCESS, ERROR = range(4)

type_of_address = tuple[str, int]


class Method(IntEnum):
    BINDING = 1
    ALLOCATE = 3
    REFRESH = 4
    SEND = 6
    DATA = 7
    CREATE_PERMISSION = 8
    CHANNEL_BIND = 9


class Type(IntEnum):
    """Attribute types."""

    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    EVEN_PORT = 0x0018
    REQUESTED_TRANSPORT = 0x0019
    DONT_FRAGMENT = 0x001A
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    PASSWORD_ALGORITHM = 0x001D
    USERHASH = 0x001E
    XOR_MAPPED_ADDRESS = 0x0020
    RESERVATION_TOKEN = 0x0022
    ADDITIONAL_ADDRESS_FAMILY = 0x8000
    ADDRESS_ERROR_CODE = 0x8001
    PASSWORD_ALGORITHMS = 0x8002
    ICMP = 0x8004
    FINGERPRINT = 0x8028


FAMILY_IPV4, FAMILY_IPV6 = 0x01, 0x02
ALGORITHM_MD5, ALGORITHM_SHA256 = 1, 2
HASH_OF_INTEGRITY = {Type.MESSAGE_INTEGRITY: "sha1", Type.MESSAGE_INTEGRITY_SHA256: "sha256"}


def long_term_key(algorithm: int, username: str, realm: str, password: str) -> bytes:
    name = {ALGORITHM_MD5: "md5", ALGORITHM_SHA256: "sha256"}[algorithm]
    return hashlib.new(name, f"{username}:{realm}:{password}".encode()).digest()


def xor_address(address: type_of_address, transaction: bytes) -> bytes:
    ip = ipaddress.ip_address(address[0])
    pad = struct.pack("!I", MAGIC_COOKIE) + transaction
    family = FAMILY_IPV4 if ip.version == 4 else FAMILY_IPV6
    masked = bytes(a ^ b for a, b in zip(ip.packed, pad))
    return struct.pack("!xBH", family, address[1] ^ MAGIC_COOKIE >> 16) + masked


def unxor_address(value: bytes, transaction: bytes) -> type_of_address:
    family, port = struct.unpack_from("!xBH", value)
    assert len(value) == {FAMILY_IPV4: 8, FAMILY_IPV6: 20}[family], value.hex()
    pad = struct.pack("!I", MAGIC_COOKIE) + transaction
    packed = bytes(a ^ b for a, b in zip(value[4:], pad))
    return str(ipaddress.ip_address(packed)), port ^ MAGIC_COOKIE >> 16


@dataclass(repr=False)
class Message:
    message_class: int
    method: int
    transaction: bytes = field(default_factory=lambda: os.urandom(12))
    attributes: list[tuple[int, bytes]] = field(default_factory=list)
    raw: bytes = b""

    def __repr__(self) -> str:
        kind = ("request", "indication", "success", f"error {self.error}")[self.message_class]
        return f"<{Method(self.method).name} {kind} {[f'{type:#06x}={value.hex()}' for type, value in self.attributes]}>"

    def add(self, attribute: int, value: bytes = b"") -> "Message":
        self.attributes.append((attribute, value))
        return self

    def add_address(self, attribute: int, address: type_of_address) -> "Message":
        return self.add(attribute, xor_address(address, self.transaction))

    def get(self, attribute: int) -> bytes | None:
        return next((value for type, value in self.attributes if type == attribute), None)

    def all(self, attribute: int) -> list[bytes]:
        return [value for type, value in self.attributes if type == attribute]

    def address(self, attribute: int) -> type_of_address:
        value = self.get(attribute)
        assert value is not None, f"no attribute {attribute:#06x} in {self}"
        return unxor_address(value, self.transaction)

    def number(self, attribute: int) -> int:
        value = self.get(attribute)
        assert value is not None, f"no attribute {attribute:#06x} in {self}"
        return int.from_bytes(value, "big")

    @property
    def error(self) -> int | None:
        """The number in ERROR-CODE; None in anything but an error response."""
        value = self.get(Type.ERROR_CODE)
        return None if value is None else value[2] * 100 + value[3]

    def _head(self, length: int) -> bytes:
        method, kind = self.method, self.message_class
        bits = (method & 0xF80) << 2 | (method & 0x70) << 1 | method & 0xF | (kind & 2) << 7 | (kind & 1) << 4
        return struct.pack("!HHI", bits, length, MAGIC_COOKIE) + self.transaction

    def encode(self, key: bytes | None = None, integrity: int = Type.MESSAGE_INTEGRITY, fingerprint=False) -> bytes:
        body = b"".join(encode_attribute(type, value) for type, value in self.attributes)
        if key is not None:
            hash = HASH_OF_INTEGRITY[integrity]
            size = hashlib.new(hash).digest_size
            covered = self._head(len(body) + 4 + size) + body
            body += encode_attribute(integrity, hmac.digest(key, covered, hash))
        if fingerprint:
            check = zlib.crc32(self._head(len(body) + 8) + body) ^ 0x5354554E
            body += encode_attribute(Type.FINGERPRINT, struct.pack("!I", check))
        return self._head(len(body)) + body

    def is_signed(self, key: bytes, integrity: int) -> bool:
        """Whether the message as received carries this integrity attribute, made with this key."""
        offset = 20
        for type, value in self.attributes:
            if type == integrity:
                covered = self._head(offset - 20 + 4 + len(value)) + self.raw[20:offset]
                return hmac.compare_digest(hmac.digest(key, covered, HASH_OF_INTEGRITY[integrity]), value)
            offset += 4 + (len(value) + 3) // 4 * 4
        return False


def encode_attribute(type: int, value: bytes) -> bytes:
    return struct.pack("!HH", type, len(value)) + value + bytes(-len(value) % 4)


def decode(raw: bytes) -> Message:
    """Parses a message; anything malformed is an AssertionError, for a server must not send it."""
    assert len(raw) >= 20 and len(raw) % 4 == 0, raw.hex()
    bits, length, cookie = struct.unpack_from("!HHI", raw)
    assert bits < 0x4000 and cookie == MAGIC_COOKIE and length == len(raw) - 20, raw.hex()
    method = (bits & 0x3E00) >> 2 | (bits & 0xE0) >> 1 | bits & 0xF
    message = Message((bits & 0x100) >> 7 | (bits & 0x10) >> 4, method, raw[8:20], [], raw)
    offset = 20
    while offset < len(raw):
        type, size = struct.unpack_from("!HH", raw, offset)
        end = offset + 4 + size
        assert end <= len(raw) and not any(raw[end : end + -size % 4]), f"padding at {end}: {raw.hex()}"
        message.add(type, raw[offset + 4 : end])
        offset = end + -size % 4
    return message


def is_response(datagram: bytes) -> bool:
    return len(datagram) >= 20 and datagram[0] < 0x40 and bool(datagram[0] & 1)


def channel_data(channel: int, payload: bytes) -> bytes:
    return struct.pack("!HH", channel, len(payload)) + payload
