"""A capture of every frame on the wires between the namespaces, and a look at every checksum in it."""

import pathlib
import signal
import struct
import subprocess
import time
from collections.abc import Iterator

from namespaces import Network

ETHERNET = 14
IPV4, IPV6 = 0x0800, 0x86DD
ICMP, UDP, ICMPV6 = 1, 17, 58


class Capture:
    """tcpdump on every interface of a network, into files of a folder."""

    def __init__(self, network: Network, folder: pathlib.Path) -> None:
        self.files: list[pathlib.Path] = []
        self._processes: list[subprocess.Popen] = []
        for namespace, interface in network.interfaces:
            file = folder / f"{interface}.pcap"
            with namespace:
                command = ["tcpdump", "-i", interface, "-w", str(file), "-U", "-B", "16384", "-Z", "root",
                           # Else the last second's frames stay in the kernel's block when it ends.
                           "--immediate-mode"]
                process = subprocess.Popen(command, stderr=subprocess.PIPE)
            self._processes.append(process)
            self.files.append(file)
        for process in self._processes:
            while b"listening on" not in (line := process.stderr.readline()):
                assert line, "tcpdump did not start"

    def stop(self) -> None:
        time.sleep(0.2)  # tcpdump reads the last frames
        for process in self._processes:
            process.send_signal(signal.SIGINT)
        for process in self._processes:
            process.communicate(timeout=20)

    def check(self) -> int:
        """The number of frames seen; a bad checksum in one of them is an AssertionError."""
        total = 0
        for file in self.files:
            for number, frame in enumerate(frames(file), 1):
                complaint = wrong_checksum(frame)
                assert complaint is None, f"{file.name}, frame {number}: {complaint}: {frame.hex()}"
                total += 1
        return total


def frames(file: pathlib.Path) -> Iterator[bytes]:
    data = file.read_bytes()
    assert struct.unpack_from("<I", data)[0] in (0xA1B2C3D4, 0xA1B23C4D), "not a pcap file of this byte order"
    offset = 24
    while offset < len(data):
        captured, original = struct.unpack_from("<II", data, offset + 8)
        assert captured == original, "a frame was cut"
        yield data[offset + 16 : offset + 16 + captured]
        offset += 16 + captured


def is_sum_right(data: bytes) -> bool:
    """Whether 16-bit words that include their own checksum add up to minus zero."""
    # The ones' complement sum of 16-bit words is the number itself modulo 2^16 - 1.
    return int.from_bytes(data + bytes(len(data) % 2), "big") % 0xFFFF == 0 and any(data)


def wrong_checksum(frame: bytes) -> str | None:
    """What is wrong with the checksums of an Ethernet frame; None when nothing is."""
    kind = int.from_bytes(frame[12:14], "big")
    packet = frame[ETHERNET:]
    if kind == IPV4:
        header_length = (packet[0] & 0xF) * 4
        if not is_sum_right(packet[:header_length]):
            return "IPv4 header checksum"
        packet = packet[: int.from_bytes(packet[2:4], "big")]
        if int.from_bytes(packet[6:8], "big") & 0x3FFF:
            return None  # a fragment: its sum covers the others too
        return wrong_transport_checksum(packet[9], packet[12:20], packet[header_length:])
    if kind == IPV6:
        packet = packet[: 40 + int.from_bytes(packet[4:6], "big")]
        return wrong_transport_checksum(packet[6], packet[8:40], packet[40:])
    return None


def wrong_transport_checksum(protocol: int, addresses: bytes, payload: bytes) -> str | None:
    pseudo_header = addresses + struct.pack("!II", len(payload), protocol)
    if protocol == UDP:
        if payload[6:8] == b"\0\0":
            return "UDP without checksum"
        return None if is_sum_right(pseudo_header + payload) else "UDP checksum"
    if protocol == ICMPV6:
        return None if is_sum_right(pseudo_header + payload) else "ICMPv6 checksum"
    if protocol == ICMP:
        return None if is_sum_right(payload) else "ICMP checksum"
    return None
