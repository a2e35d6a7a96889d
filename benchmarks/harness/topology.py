"""Two network namespaces joined by veth pairs: `load` (clients and peers) and `relay` (the server under test).

The link "frames" runs the relay's receive path in a kernel thread of its own, whose run time is exact, on the
generator's CPU and before it. What the far end costs, a program that counts and drops, is charged to whoever sends,
as veth does it. The link "whole" has neither programs nor that thread: GSO packets cross it as they are.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

SERVER_ADDRESS = "198.18.0.1"
LOAD_ADDRESS = "198.18.0.2"
# With two interfaces: where the relay meets peers, and the router behind which they are.
RELAY_ADDRESS = "198.19.0.1"
ROUTER_ADDRESS = "198.19.0.2"
FIRST_CLIENT = "198.18.64.1"
FIRST_PEER = "198.18.128.1"
# Clients and peers: addresses that the load namespace takes as its own without listing them.
CLIENT_RANGE, PEER_RANGE = "198.18.64.0/18", "198.18.128.0/18"
BENCHMARK_RANGE = "198.18.0.0/15"
LOAD_CPU = 0
RECEIVE_PRIORITY = 1


def call(*command: str) -> str:
    """Runs a command to its end and returns what it printed; raises with its error output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@dataclass
class Topology:
    """Made by `with`; removed at its end, whatever happens.

    link: "frames" or "whole". nics: 1 or 2. segmentation, for "whole": "whole" hands GSO packets over as they are, as a
    card that segments UDP does; "software" makes the kernel cut them on the server's CPU.
    threaded: the receive path in its own thread (frames only), on `receive_cpu`; without, in whatever sends.
    """

    link: str = "whole"
    nics: int = 1
    segmentation: str = "whole"
    threaded: bool = True
    receive_cpu: int = LOAD_CPU
    suffix: str = ""            # tells topologies of one process apart
    receivers: list[int] = field(default_factory=list)  # the threads of the relay's receive path

    @property
    def load(self) -> str:
        return f"relay-bench-load-{os.getpid()}{self.suffix}"

    @property
    def relay(self) -> str:
        return f"relay-bench-relay-{os.getpid()}{self.suffix}"

    def __enter__(self) -> "Topology":
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._remove()

    @property
    def relay_address(self) -> str:
        return RELAY_ADDRESS if self.nics == 2 else SERVER_ADDRESS

    @property
    def interfaces(self) -> list[tuple[str, str]]:
        """Pairs of ends: in the load namespace, in the relay's."""
        return [(f"load{n}", f"relay{n}") for n in range(self.nics)]

    def _build(self) -> None:
        for name in (self.load, self.relay):
            call("ip", "netns", "add", name)
            self.inside(name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            call("ip", "-n", name, "link", "set", "lo", "up")
        self._join("load0", f"{LOAD_ADDRESS}/24", "relay0", f"{SERVER_ADDRESS}/24")
        self._route(CLIENT_RANGE, LOAD_ADDRESS, "load0", "relay0")
        if self.nics == 2:
            self._join("load1", f"{ROUTER_ADDRESS}/24", "relay1", f"{RELAY_ADDRESS}/24")
            self._route(PEER_RANGE, ROUTER_ADDRESS, "load1", "relay1")
        else:
            self._route(PEER_RANGE, LOAD_ADDRESS, "load0", "relay0")
        if self.link == "frames":
            self._prepare_frames()
        elif self.segmentation == "software":
            self.inside(self.relay, "ethtool", "-K", "relay0", "tx-udp-segmentation", "off")

    def _join(self, load: str, load_address: str, relay: str, relay_address: str) -> None:
        call("ip", "link", "add", load, "netns", self.load, "type", "veth", "peer", relay, "netns", self.relay)
        for namespace, name, address in ((self.load, load, load_address), (self.relay, relay, relay_address)):
            call("ip", "-n", namespace, "address", "add", address, "dev", name)
            call("ip", "-n", namespace, "link", "set", name, "up")

    def _route(self, prefix: str, router: str, load: str, relay: str) -> None:
        call("ip", "-n", self.load, "route", "add", "local", prefix, "dev", "lo")
        call("ip", "-n", self.relay, "route", "add", prefix, "via", router)
        # A permanent neighbour: no measurement waits for ARP.
        call("ip", "-n", self.relay, "neighbour", "replace", router, "lladdr", self.mac(self.load, load), "dev", relay,
             "nud", "permanent")

    def _prepare_frames(self) -> None:
        # The generating program wants to be attached somewhere.
        call("ip", "link", "add", "spare0", "netns", self.load, "type", "veth", "peer", "spare1", "netns", self.load)
        call("ip", "-n", self.load, "link", "set", "spare0", "up")
        for load, relay in self.interfaces:
            # GRO makes a veth poll, without which it takes no frames. What sockets send to an XDP program must have
            # its checksum.
            self.inside(self.load, "ethtool", "-K", load, "gro", "on", "tx", "off")
            before = _threads(relay)
            self.inside(self.relay, "ethtool", "-K", relay, "gro", "on")
            if self.threaded:
                self.inside(self.relay, "sh", "-c", f"echo 1 > /sys/class/net/{relay}/threaded")
                self.receivers += _new_threads(relay, before)
        for thread in self.receivers:
            # As an interrupt does: before what it interrupts.
            os.sched_setaffinity(thread, {self.receive_cpu})
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(RECEIVE_PRIORITY))

    def _remove(self) -> None:
        # A second Ctrl-C waits until this is done.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            for name in (self.load, self.relay):
                subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=30)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def inside(self, namespace: str, *command: str) -> str:
        return call("ip", "netns", "exec", namespace, *command)

    def mac(self, namespace: str, interface: str) -> str:
        return self.inside(namespace, "cat", f"/sys/class/net/{interface}/address").strip()


def _threads(interface: str) -> set[int]:
    """The polling threads of all interfaces of that name, in whichever namespace."""
    found = set()
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().startswith(f"napi/{interface}-"):
                found.add(int(comm.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def _new_threads(interface: str, before: set[int]) -> list[int]:
    for _ in range(50):
        found = _threads(interface) - before
        if found:
            return sorted(found)
        time.sleep(0.02)
    raise RuntimeError(f"{interface}: the kernel made no polling thread (it needs Linux 5.12)")
