"""Network namespaces without names: they live as long as this process holds them, and leave nothing behind."""

import ctypes
import os
import pathlib
import subprocess

CLONE_NEWNET = 0x40000000
THIS_THREAD = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Namespace:
    """`with namespace:` moves this thread into it. Sockets and processes made there stay there."""

    def __init__(self) -> None:
        here = os.open(THIS_THREAD, os.O_RDONLY)
        try:
            _check(_libc.unshare(CLONE_NEWNET))
            self._descriptor = os.open(THIS_THREAD, os.O_RDONLY)
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        finally:
            _check(_libc.setns(here, CLONE_NEWNET))
            os.close(here)
        self._outside: list[int] = []

    def __enter__(self) -> "Namespace":
        self._outside.append(os.open(THIS_THREAD, os.O_RDONLY))
        _check(_libc.setns(self._descriptor, CLONE_NEWNET))
        return self

    def __exit__(self, *_) -> None:
        outside = self._outside.pop()
        _check(_libc.setns(outside, CLONE_NEWNET))
        os.close(outside)

    def close(self) -> None:
        os.close(self._descriptor)

    @property
    def path(self) -> str:
        """A name for it that `ip` understands."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def ip(self, *words: str) -> None:
        with self:
            subprocess.run(["ip", *words], check=True)


class Network:
    """Clients, relay and peers in a namespace each:

        clients 10.71.1.2 ---- 10.71.1.1 relay 10.71.2.1 ---- 10.71.2.2 peers
                fd71:1::2      fd71:1::1       fd71:2::1      fd71:2::2

    Each end computes its checksums itself, so that a wrong one is seen. Clients have ten addresses
    a family (.2 to .11); the relay does not forward, so nothing gets across but what it relays.
    """

    RELAY_LISTENERS = {4: "10.71.1.1", 6: "fd71:1::1"}
    RELAYS = {4: "10.71.2.1", 6: "fd71:2::1"}
    PEERS = {4: "10.71.2.2", 6: "fd71:2::2"}
    CLIENTS = {4: [f"10.71.1.{n}" for n in range(2, 12)], 6: [f"fd71:1::{n:x}" for n in range(2, 12)]}

    def __init__(self, captures_at_relay: bool = True) -> None:
        """Where the relay's ends join datagrams (GRO), a capture there sees no wire; one at the far ends sees all."""
        self.clients, self.relay, self.peers = Namespace(), Namespace(), Namespace()
        self._wire(self.clients, "clients0", self.CLIENTS, self.relay, "relay0", self.RELAY_LISTENERS)
        self._wire(self.relay, "relay1", self.RELAYS, self.peers, "peers0", self.PEERS)
        # Linux answers only so many datagrams a second with an ICMP error; a test must not depend on that.
        with self.peers:
            pathlib.Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")
            pathlib.Path("/proc/sys/net/ipv6/icmp/ratelimit").write_text("0")
        self.interfaces = [(self.clients, "clients0"), (self.peers, "peers0")]
        if captures_at_relay:
            self.interfaces += [(self.relay, "relay0"), (self.relay, "relay1")]

    def _wire(self, left: Namespace, left_name: str, left_addresses, right: Namespace, right_name: str, right_addresses):
        left.ip("link", "add", left_name, "type", "veth", "peer", "name", right_name, "netns", right.path)
        for namespace, name, addresses in ((left, left_name, left_addresses), (right, right_name, right_addresses)):
            for family, prefix in ((4, "/24"), (6, "/64")):
                several = addresses[family] if isinstance(addresses[family], list) else [addresses[family]]
                for address in several:
                    # Without nodad an IPv6 address could not be used for its first second.
                    nodad = ["nodad"] if family == 6 else []
                    namespace.ip("address", "add", address + prefix, "dev", name, *nodad)
            with namespace:
                subprocess.run(["ethtool", "-K", name, "tx", "off"], check=True, stdout=subprocess.DEVNULL)
            namespace.ip("link", "set", name, "up")

    def close(self) -> None:
        for namespace in (self.clients, self.relay, self.peers):
            namespace.close()
