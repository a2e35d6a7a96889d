"""Two network namespaces joined by one veth pair: `load` (clients and peers) and `relay` (the server under test)."""

import os
import subprocess
from dataclasses import dataclass, field

SERVER_ADDRESS = "198.18.0.1"
LOAD_ADDRESS = "198.18.0.2"
FIRST_CLIENT = "198.18.64.1"
FIRST_PEER = "198.18.128.1"
# Clients and peers: addresses that the load namespace takes as its own without listing them.
LOAD_RANGES = ("198.18.64.0/18", "198.18.128.0/18")
BENCHMARK_RANGE = "198.18.0.0/15"


def call(*command: str) -> str:
    """Runs a command to its end and returns what it printed; raises with its error output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@dataclass
class Topology:
    """Made by `with`; removed at its end, whatever happens.

    segmentation: "whole" hands GSO packets over the link as they are, as a card that segments UDP does;
    "software" makes the kernel cut them on the server's CPU.
    """

    segmentation: str = "whole"
    load: str = field(default_factory=lambda: f"relay-bench-load-{os.getpid()}")
    relay: str = field(default_factory=lambda: f"relay-bench-relay-{os.getpid()}")

    def __enter__(self) -> "Topology":
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._remove()

    def _build(self) -> None:
        for name in (self.load, self.relay):
            call("ip", "netns", "add", name)
            self.inside(name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            call("ip", "-n", name, "link", "set", "lo", "up")
        call("ip", "link", "add", "load0", "netns", self.load, "type", "veth", "peer", "relay0", "netns", self.relay)
        call("ip", "-n", self.load, "address", "add", f"{LOAD_ADDRESS}/24", "dev", "load0")
        call("ip", "-n", self.relay, "address", "add", f"{SERVER_ADDRESS}/24", "dev", "relay0")
        call("ip", "-n", self.load, "link", "set", "load0", "up")
        call("ip", "-n", self.relay, "link", "set", "relay0", "up")
        for prefix in LOAD_RANGES:
            call("ip", "-n", self.load, "route", "add", "local", prefix, "dev", "lo")
            call("ip", "-n", self.relay, "route", "add", prefix, "via", LOAD_ADDRESS)
        # A permanent neighbour: no measurement waits for ARP.
        call("ip", "-n", self.relay, "neighbour", "replace", LOAD_ADDRESS, "lladdr", self.mac(self.load, "load0"),
             "dev", "relay0", "nud", "permanent")
        if self.segmentation == "software":
            self.inside(self.relay, "ethtool", "-K", "relay0", "tx-udp-segmentation", "off")

    def _remove(self) -> None:
        for name in (self.load, self.relay):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=30)

    def inside(self, namespace: str, *command: str) -> str:
        return call("ip", "netns", "exec", namespace, *command)

    def mac(self, namespace: str, interface: str) -> str:
        return self.inside(namespace, "cat", f"/sys/class/net/{interface}/address").strip()

    @property
    def server_mac(self) -> str:
        return self.mac(self.relay, "relay0")
