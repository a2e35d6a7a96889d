"""Sends malformed datagrams to the relay on loopback, from many ports of both families.

usage: malformed.py COUNT SEED
"""

import random
import socket
import struct
import sys
import time

from stun import INDICATION, REQUEST, Message, Method, Type, channel_data
from turn_client import UDP

SOURCES = 200
BATCH = 50
BATCHES_PER_SECOND = 500  # 25,000 datagrams a second: a relay can read them all
SERVERS = [("127.0.0.1", 3478), ("::1", 3478)]


def valid_messages(dice: random.Random) -> list[bytes]:
    """What a client would send, to be spoilt; signed with a key that nobody has."""
    peer = ("127.0.0.1", 9)
    key = dice.randbytes(16)
    credentials = [(Type.USERNAME, b"alice"), (Type.REALM, b"relayd.test"), (Type.NONCE, b"obMatJos2wAAA" + b"A" * 11)]
    requests = [
        Message(REQUEST, Method.BINDING),
        Message(REQUEST, Method.ALLOCATE).add(Type.REQUESTED_TRANSPORT, UDP).add(Type.EVEN_PORT, b"\x80"),
        Message(REQUEST, Method.REFRESH).add(Type.LIFETIME, b"\0\0\2\x58"),
        Message(REQUEST, Method.CREATE_PERMISSION).add_address(Type.XOR_PEER_ADDRESS, peer),
        Message(REQUEST, Method.CHANNEL_BIND).add(Type.CHANNEL_NUMBER, b"\x40\0\0\0").add_address(Type.XOR_PEER_ADDRESS, peer),
    ]
    signed = [Message(request.message_class, request.method, attributes=request.attributes + credentials).encode(
        key, integrity, fingerprint=True) for request in requests
        for integrity in (Type.MESSAGE_INTEGRITY, Type.MESSAGE_INTEGRITY_SHA256)]
    send = Message(INDICATION, Method.SEND).add_address(Type.XOR_PEER_ADDRESS, peer).add(Type.DATA, dice.randbytes(100))
    return [request.encode() for request in requests] + signed + [send.encode()]


def mutated(message: bytes, dice: random.Random) -> bytes:
    spoilt = bytearray(message)
    for _ in range(dice.randrange(1, 8)):
        spoilt[dice.randrange(len(spoilt))] = dice.choice((0, 0xFF, dice.randrange(256)))
    return bytes(spoilt)


def malformed(messages: list[bytes], dice: random.Random) -> bytes:
    message = dice.choice(messages)
    match dice.randrange(6):
        case 0:
            return dice.randbytes(dice.randrange(0, 1400))
        case 1:
            return mutated(message, dice)
        case 2:
            return message[: dice.randrange(len(message))]
        case 3:  # a wrong length in the header
            return message[:2] + struct.pack("!H", dice.randrange(0x10000)) + message[4:]
        case 4:  # an attribute that claims more than there is
            return message[:2] + struct.pack("!H", len(message) - 12) + message[4:] + struct.pack(
                "!HHI", dice.randrange(0x10000), dice.randrange(5, 0x10000), dice.getrandbits(32))
        case _:  # ChannelData of a channel that is not bound, with a wrong length
            channel = dice.randrange(0x4000, 0x8000)
            data = channel_data(channel, dice.randbytes(dice.randrange(0, 200)))
            return data[:2] + struct.pack("!H", dice.randrange(0x10000)) + data[4 : dice.randrange(4, len(data) + 1)]


def main() -> None:
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    dice = random.Random(seed)
    messages = valid_messages(dice)
    sources = []
    for number in range(SOURCES):
        server = SERVERS[number % 2]
        source = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM)
        source.connect(server)
        source.setblocking(False)
        sources.append(source)
    start = time.monotonic()
    for batch in range(0, count, BATCH):
        for _ in range(min(BATCH, count - batch)):
            source = dice.choice(sources)
            source.send(malformed(messages, dice))
        time.sleep(max(0, start + batch / BATCH / BATCHES_PER_SECOND - time.monotonic()))


if __name__ == "__main__":
    main()
