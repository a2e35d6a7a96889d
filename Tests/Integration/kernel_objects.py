"""The BPF maps and links of another process, by bpf(2): what a test spoils to see it mended, or noticed."""

import ctypes
import mmap
import os
import pathlib
import struct
import time

from privileges import SYSTEM_CALLS

SYS_BPF = SYSTEM_CALLS[os.uname().machine][1]["bpf"]
# x86-64 and everything newer number these alike.
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438
BPF_LINK_DETACH = 34
MAP_TYPE_ARRAY = 2

# struct relay_entry of CRelayABI.h.
ENTRY_BYTES = 64
STATE, LEASE, NEXT_HOP = 0, 4, 56
STATE_REMOVED, STATE_LIVE = 1, 2
LEASE_SHIFT = 6
CLOCK_MONOTONIC_COARSE = 6

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(number: int, *arguments) -> int:
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _facts(file: pathlib.Path) -> dict[str, str]:
    lines = (line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in lines}


def _facts_if_open(file: pathlib.Path) -> dict[str, str]:
    """Nothing for a descriptor that was closed since it was listed."""
    try:
        return _facts(file)
    except FileNotFoundError:
        return {}



class KernelObjects:
    """What a process holds of the kernel's BPF objects. To be closed."""

    def __init__(self, pid: int) -> None:
        self._folder = pathlib.Path(f"/proc/{pid}/fdinfo")
        self._process = _call(SYS_PIDFD_OPEN, pid, 0)

    def close(self) -> None:
        os.close(self._process)

    def __enter__(self) -> "KernelObjects":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _take(self, wanted: dict[str, str]) -> list[int]:
        """Duplicates of the descriptors whose fdinfo says what is wanted."""
        found = sorted((file for file in self._folder.iterdir()), key=lambda file: int(file.name))
        return [_call(SYS_PIDFD_GETFD, self._process, int(file.name), 0) for file in found
                if wanted.items() <= _facts_if_open(file).items()]

    def detach_a_link(self) -> None:
        """As `bpftool link detach` does it, to the first of the links."""
        links = self._take({"link_type": "xdp"})
        assert links, "the process has no XDP link"
        attributes = struct.pack("=I", links[0])
        _call(SYS_BPF, BPF_LINK_DETACH, ctypes.c_char_p(attributes), len(attributes))
        for link in links:
            os.close(link)

    def entries(self) -> "Entries":
        """Of the maps with elements of this size (settings, meters and entries) it has the most of them."""
        maps = self._take({"map_type": str(MAP_TYPE_ARRAY), "value_size": str(ENTRY_BYTES)})
        entries = [Entries(map) for map in maps]
        assert len(entries) == 3, "there are one map of settings, one of meters and one of entries"
        return max(entries, key=lambda each: each.count)


class Entries:
    """The memory of `relay_entries`."""

    def __init__(self, descriptor: int) -> None:
        facts = _facts(pathlib.Path(f"/proc/self/fdinfo/{descriptor}"))
        # The second half are addresses.
        self.count = int(facts["max_entries"]) // 2
        self._memory = mmap.mmap(descriptor, max(self.count, 1) * ENTRY_BYTES)
        os.close(descriptor)

    def live(self) -> list[int]:
        """Where live entries begin."""
        return [at for at in range(0, len(self._memory), ENTRY_BYTES) if self._word(at + STATE) == STATE_LIVE]

    def _word(self, at: int) -> int:
        return struct.unpack_from("=I", self._memory, at)[0]

    def remove(self, at: int) -> None:
        struct.pack_into("=I", self._memory, at + STATE, STATE_REMOVED)

    def forget_next_hops(self) -> None:
        for at in self.live():
            struct.pack_into("=H", self._memory, at + NEXT_HOP, 0)

    def shorten_leases(self, seconds: float) -> None:
        """Ends every lease so many seconds earlier."""
        units_a_second = 1 / time.clock_getres(CLOCK_MONOTONIC_COARSE) / 2**LEASE_SHIFT
        for at in self.live():
            struct.pack_into("=I", self._memory, at + LEASE, self._word(at + LEASE) - int(seconds * units_a_second))
