"""What a process may not do: capabilities dropped and system calls refused, for `preexec_fn`; another user, as a wrapper."""

import ctypes
import os
import platform
import struct
from collections.abc import Callable

from relay import BINARY

CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 12, 13, 21, 38, 39
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 24, 38, 22, 2
NOBODY = 65534
# By architecture: its number in audit messages, and the calls' numbers.
SYSTEM_CALLS = {
    "x86_64": (0xC000003E, {"bpf": 321, "io_uring_setup": 425, "socket": 41}),
    "aarch64": (0xC00000B7, {"bpf": 280, "io_uring_setup": 425, "socket": 198}),
}

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: object) -> None:
    if _libc.prctl(option, *arguments) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def without_capabilities(*capabilities: int) -> Callable[[], None]:
    """Root, but not allowed to have these: what it executes does not get them."""

    def drop() -> None:
        for capability in capabilities:
            _prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)

    return drop


def as_nobody(*capabilities: str, binary: str | os.PathLike = BINARY) -> list[str]:
    """A command that becomes relayd as an ordinary user with these capabilities (`bpf`) only."""
    names = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", f"--inh-caps={names}",
            f"--ambient-caps={names}", str(binary)]


# Of classic BPF: load a word of what is at hand, compare, answer.
LOAD, EQUAL, GIVE_BACK = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 1
# In struct seccomp_data.
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16


def _instruction(code: int, on_true: int, on_false: int, value: int) -> bytes:
    return struct.pack("HBBI", code, on_true, on_false, value)


def refusing(*names: str) -> Callable[[], None]:
    """A seccomp filter as container engines set it: these calls fail with EPERM."""
    architecture, numbers = SYSTEM_CALLS[platform.machine()]
    body = _instruction(LOAD, 0, 0, NUMBER)
    for name in names:
        body += _instruction(EQUAL, 0, 1, numbers[name]) + _instruction(GIVE_BACK, 0, 0, REFUSE)
    return _filter(architecture, body)


def refusing_family(family: int) -> Callable[[], None]:
    """A filter as of systemd's RestrictAddressFamilies: no socket of this family."""
    architecture, numbers = SYSTEM_CALLS[platform.machine()]
    return _filter(architecture, _instruction(LOAD, 0, 0, NUMBER) + _instruction(EQUAL, 0, 3, numbers["socket"])
                   + _instruction(LOAD, 0, 0, FIRST_ARGUMENT) + _instruction(EQUAL, 0, 1, family)
                   + _instruction(GIVE_BACK, 0, 0, REFUSE))


def _filter(architecture: int, body: bytes) -> Callable[[], None]:
    program = _instruction(LOAD, 0, 0, ARCHITECTURE) + _instruction(EQUAL, 1, 0, architecture)
    program += _instruction(GIVE_BACK, 0, 0, REFUSE) + body + _instruction(GIVE_BACK, 0, 0, ALLOW)

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    made = Filter(len(program) // 8, program)

    def install() -> None:
        _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(made), 0, 0)

    return install
