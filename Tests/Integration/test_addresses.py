"""Listeners and relay addresses that come and go by a reload, under living calls, on every plane."""

import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import tempfile
import time
from collections import Counter

import pytest

from admin import status
from conftest import data_planes
from peer import EchoPeer
from privileges import as_nobody, refusing_family
from relay import CREDENTIALS, LOOPBACK, PASSWORD, USER, Relay, run_relayd
from stun import REQUEST, Message, Method
from test_changing_planes import Traffic, sockets_of
from turn_client import TurnClient, udp_socket
from waiting import eventually
from xdp import CHANNEL, PORT, echo, echo_until_in_kernel, metrics

# Where frames are redirected to a veth, it must not lose what waits for it.
GRO_AT_RELAY = True
AF_NETLINK = 16
LISTENERS, RELAYS = ["10.71.1.1:3478", "[fd71:1::1]:3478"], ["10.71.2.1", "fd71:2::1"]
NEW_HOST, NEW_PORT, NEW_RELAY = "10.71.1.20", 3479, "10.71.2.20"
NEW_LISTENER = f"{NEW_HOST}:{NEW_PORT}"
WORKERS = 3


class Served:
    """A relay with a file of options, which it is told to read again."""

    def __init__(self, start_relay, network, plane: str, file: pathlib.Path) -> None:
        self.network, self._file = network, file
        self.write(LISTENERS, RELAYS)
        below = {"xdp": ["--xdp-slow-path", "socket"]}.get(plane, [])
        self.relay: Relay = start_relay(
            "--config", str(file), "--http", "127.0.0.1:9090", "--workers", str(WORKERS), "--watch-config=false",
            "--data-plane", plane, *below, namespace=network.relay, ready_at=("10.71.1.1", PORT))

    def write(self, listeners: list[str], relays: list[str], *more: str) -> None:
        lines = ["realm: relayd.test", "allow-peer: [10.71.2.0/24, 10.71.3.0/24, 'fd71:2::/64']",
                 f"listen: [{', '.join(repr(each) for each in listeners)}]",
                 f"relay-address: [{', '.join(repr(each) for each in relays)}]", *more]
        if not any(line.startswith("user:") for line in more):
            lines.append(f'user: ["{USER}:{PASSWORD}"]')
        fresh = self._file.with_name("fresh")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self._file)

    def reload(self, listeners: list[str] | None = None, relays: list[str] | None = None, *more: str) -> str:
        """What the log says of a reload, and waits for its end."""
        self.write(listeners or LISTENERS, relays or RELAYS, *more)
        before = len(self.relay.log())
        self.relay.process.send_signal(signal.SIGHUP)
        eventually(lambda: re.search(r"configuration (reloaded|kept)", self.relay.log()[before:]), seconds=10)
        return self.relay.log()[before:]

    def client(self, server=("10.71.1.1", PORT), number=9, **more) -> TurnClient:
        return TurnClient(server, bind=self.network.CLIENTS[4][number], namespace=self.network.clients, **more)

    def listeners(self) -> dict[str, str]:
        return {each["address"]: each["state"] for each in status(self.relay)["listeners"]}

    def relays(self) -> dict[str, str]:
        return {each["address"]: each["state"] for each in status(self.relay)["relay_addresses"]}

    def expect_dead(self, server) -> None:
        """Nobody answers there."""
        probe = udp_socket((self.network.CLIENTS[4][8], 0), self.network.clients)
        probe.settimeout(0.3)
        with probe:
            probe.sendto(Message(REQUEST, Method.BINDING).encode(), server)
            with pytest.raises((TimeoutError, ConnectionRefusedError)):
                probe.recv(2048)

    def files(self) -> int:
        """Open descriptors, once the connections of this test's own questions are gone."""
        counts = [-1]
        while counts[-1] != self.relay.open_files():
            counts.append(self.relay.open_files())
            time.sleep(0.2)
        return counts[-1]

    def kinds(self) -> Counter:
        """What the open descriptors are, but for the timer that a runtime opens when somebody first sleeps."""
        self.files()
        folder = pathlib.Path(f"/proc/{self.relay.pid}/fd")
        kinds = Counter(re.sub(r":\[\d+\]", "", os.readlink(each)) for each in folder.iterdir())
        del kinds["anon_inode:[timerfd]"]
        return kinds

    def end(self) -> None:
        """Stops a relay that has logged an error, as the test wanted."""
        self.relay.process.terminate()
        assert self.relay.process.wait(timeout=10) == 0, self.relay.log()


@pytest.fixture(scope="module")
def roomy(network):
    """The network, with addresses on the relay that it does not serve at first."""
    for address, interface in ((NEW_HOST, "relay0"), (NEW_RELAY, "relay1")):
        network.relay.ip("address", "add", address + "/24", "dev", interface)
    for interface in ("relay0", "relay1"):
        with network.relay:
            subprocess.run(["ethtool", "-K", interface, "gro", "on"], check=True, stdout=subprocess.DEVNULL)
    return network


@pytest.fixture(params=[*data_planes(), "xdp"] if os.environ.get("RELAYD_BINARY") else ["socket"])
def served(request, roomy, start_relay, tmp_path) -> Served:
    if request.param == "xdp":
        request.getfixturevalue("wires")
    return Served(start_relay, roomy, request.param, tmp_path / "relayd.yaml")


@pytest.fixture
def on_sockets(roomy, start_relay, tmp_path) -> Served:
    return Served(start_relay, roomy, "socket", tmp_path / "relayd.yaml")


def allocate_on(served: Served, relay_address: str, server, tries=40) -> TurnClient:
    """A client whose relayed address is the wanted one: the relay draws among those that it has."""
    for _ in range(tries):
        client = served.client(server)
        client.allocate()
        if client.relayed[0][0] == relay_address:
            return client
        client.refresh(0)
        client.close()
    raise AssertionError(f"{relay_address} was never drawn: {served.relay.log()}")


def expect_relaying(served: Served, client: TurnClient, peer: EchoPeer, channel=CHANNEL) -> None:
    client.bind_channel(channel, peer.address)
    for number in range(20):
        echo(client, b"%d" % number, channel)
    if "xdp" == status(served.relay)["plane"]["name"]:
        echo_until_in_kernel_of(served, client, channel)


def echo_until_in_kernel_of(served: Served, client: TurnClient, channel=CHANNEL) -> None:
    """As `echo_until_in_kernel`, while others may relay too."""
    from xdp import frames

    def goes_through() -> bool:
        before = frames(served.relay, "forward")
        for _ in range(10):
            echo(client, b"warm", channel)
        return frames(served.relay, "forward") >= before + 20

    eventually(goes_through, seconds=10)


# Coming


def test_calls_go_on_while_a_listener_and_a_relay_address_come(served):
    network = served.network
    with EchoPeer(network.PEERS[4], network.peers) as four, EchoPeer(network.PEERS[6], network.peers) as six:
        with Traffic(served.relay, network, {4: four, 6: six}) as traffic:
            time.sleep(0.5)
            served.expect_dead((NEW_HOST, NEW_PORT))
            before = sockets_of(served.relay)
            log = served.reload([*LISTENERS, NEW_LISTENER], [*RELAYS, NEW_RELAY])
            assert f"listener opened address={NEW_LISTENER}" in log and f"relay address address={NEW_RELAY}" in log, log
            assert re.search(r"reloaded changed=2 need_restart=0", log), log
            # One socket a worker, and none of the others another one.
            now = sockets_of(served.relay)
            assert before <= now and len(now) == len(before) + WORKERS
            assert served.listeners()[NEW_LISTENER] == "open" and served.relays()[NEW_RELAY] == "open"
            client = allocate_on(served, NEW_RELAY, (NEW_HOST, NEW_PORT))
            expect_relaying(served, client, four)
            # The new relay address is a peer as well: two clients of the relay meet.
            with served.client(number=8) as other:
                other.allocate()
                other.bind_channel(CHANNEL, client.relayed[0])
                client.bind_channel(CHANNEL + 1, other.relayed[0])
                other.send_channel(CHANNEL, b"across")
                assert client.receive_channel() == (CHANNEL + 1, b"across")
            client.refresh(0)
            client.close()
            time.sleep(0.5)
    assert traffic.lost == 0 and not traffic.complaints, (traffic.where(), traffic.complaints[:5])


def test_coturns_client_comes_through_the_new_listener(served):
    served.reload([*LISTENERS, NEW_LISTENER], [NEW_RELAY, RELAYS[1]], "rfc5766-channel-numbers: true")
    with served.network.clients:
        run = subprocess.run(
            ["turnutils_uclient", "-y", "-c", "-m", "4", "-n", "50", "-l", "172", "-u", USER, "-w", PASSWORD,
             "-p", str(NEW_PORT), NEW_HOST], capture_output=True, text=True, timeout=60)
    assert "Total lost packets 0 (0.000000%)" in run.stdout + run.stderr, run.stdout + run.stderr
    ports = re.findall(r"allocation created .*", served.relay.log())
    assert ports and all(NEW_RELAY in line for line in ports), ports


def test_a_relay_address_on_another_interface_is_the_kernels_too(wires, start_relay, tmp_path, roomy):
    wires.relay.ip("link", "add", "relay2", "type", "veth", "peer", "name", "peers2", "netns", wires.peers.path)
    try:
        for namespace, name, address in ((wires.relay, "relay2", "10.71.3.1"), (wires.peers, "peers2", "10.71.3.2")):
            namespace.ip("address", "add", address + "/24", "dev", name)
            namespace.ip("link", "set", name, "up")
            with namespace:
                subprocess.run(["ethtool", "-K", name, "gro", "on", "tx", "off"], check=True, stdout=subprocess.DEVNULL)
        served = Served(start_relay, wires, "xdp", tmp_path / "relayd.yaml")
        served.reload(relays=["10.71.3.1", RELAYS[1]])
        eventually(lambda: any("relay2" in each for each in status(served.relay)["xdp"]["attachments"]))
        with served.client() as client, EchoPeer("10.71.3.2", wires.peers) as peer:
            client.allocate()
            assert client.relayed[0][0] == "10.71.3.1"
            client.bind_channel(CHANNEL, peer.address)
            echo_until_in_kernel(served.relay, client)
        # What the plane finds when it is left and taken again.
        served.relay.stop()
    finally:
        wires.relay.ip("link", "del", "relay2")


# Not coming


@pytest.mark.parametrize("listeners,relays,words", [
    ([*LISTENERS, NEW_LISTENER, "10.71.1.1:3490"], RELAYS, ["UDP 10.71.1.1:3490", "another socket", "ss -ulnp"]),
    ([*LISTENERS, NEW_LISTENER, "10.71.1.99:3479"], RELAYS, ["UDP 10.71.1.99:3479", "no interface", "ip address"]),
    ([*LISTENERS, NEW_LISTENER], [*RELAYS, "10.71.2.99"], ["UDP 10.71.2.99:0", "no interface", "ip address"]),
    ([*LISTENERS, NEW_LISTENER, "0.0.0.0:3478"], RELAYS, ["0.0.0.0:3478", "the listener 10.71.1.1:3478", "restart"]),
], ids=["port-in-use", "foreign-listener", "foreign-relay-address", "beside-a-wildcard"])
def test_a_failed_addition_changes_nothing(served, listeners, relays, words):
    with served.client() as client, EchoPeer("10.71.2.2", served.network.peers) as peer:
        client.allocate()
        expect_relaying(served, client, peer)
        before, files = sockets_of(served.relay), served.files()
        with udp_socket(("10.71.1.1", 3490), served.network.relay):
            before_with_rival = sockets_of(served.relay)
            log = served.reload(listeners, relays, 'user: ["bob:builder"]', "allocations-per-user: 1")
            assert sockets_of(served.relay) == before_with_rival
        assert "error configuration refused" in log and "configuration kept" in log and "reloaded" not in log, log
        assert all(word in log for word in words), log
        assert sockets_of(served.relay) == before and served.files() == files
        assert set(served.listeners()) == set(LISTENERS) and set(served.relays()) == set(RELAYS)
        served.expect_dead((NEW_HOST, NEW_PORT))
        # Nothing else of that file holds either: alice may, bob may not.
        client.refresh(600)
        with served.client(number=8) as again, served.client(number=7, username="bob", password="builder") as bob:
            again.allocate()
            assert bob.request(bob.allocation()).error == 401
        echo(client, b"still here")
        log = served.reload([*LISTENERS, NEW_LISTENER])
        assert "reloaded changed=1" in log, log
        with served.client((NEW_HOST, NEW_PORT), number=8) as late:
            late.allocate()
    served.end()


def test_without_descriptors_nothing_comes(served):
    with served.client() as client, EchoPeer("10.71.2.2", served.network.peers) as peer:
        client.allocate()
        expect_relaying(served, client, peer)
        before, files = sockets_of(served.relay), served.files()
        limit = max(int(each) for each in os.listdir(f"/proc/{served.relay.pid}/fd")) + 1
        old = resource.prlimit(served.relay.pid, resource.RLIMIT_NOFILE)
        # Room for the file, for what tells the host's addresses, and for one worker's share.
        resource.prlimit(served.relay.pid, resource.RLIMIT_NOFILE, (limit + 3, old[1]))
        several = [f"{NEW_HOST}:{NEW_PORT + number}" for number in range(8)]
        log = served.reload([*LISTENERS, *several])
        assert "no descriptors" in log and "LimitNOFILE" in log and "configuration kept" in log, log
        assert sockets_of(served.relay) == before and served.files() == files
        echo(client, b"still here")
        resource.prlimit(served.relay.pid, resource.RLIMIT_NOFILE, old)
        log = served.reload([*LISTENERS, *several])
        assert "reloaded changed=1" in log, log
        assert len(sockets_of(served.relay)) == len(before) + 8 * WORKERS
        echo(client, b"still here")
    served.end()


@pytest.mark.skipif(os.geteuid() != 0, reason="taking rights away needs root, who has them")
def test_a_low_port_without_the_right_to_it_is_refused(start_relay):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        file = pathlib.Path(folder, "relayd.yaml")
        file.write_text('listen: ["127.0.0.1:3478"]\n')
        relay = start_relay("--config", str(file), *CREDENTIALS, "--relay-address", "127.0.0.1", prepare=as_nobody())
        file.write_text('listen: ["127.0.0.1:3478", "127.0.0.1:443"]\n')
        eventually(lambda: "configuration kept" in relay.log())
        log = relay.log()
        assert "UDP 127.0.0.1:443: permission denied" in log and "CAP_NET_BIND_SERVICE" in log, log
        with TurnClient(("127.0.0.1", 3478)) as client:
            client.allocate()
        relay.process.terminate()
        assert relay.process.wait(timeout=10) == 0


# Going


def test_what_is_removed_takes_none_and_keeps_the_living(served):
    served.reload([*LISTENERS, NEW_LISTENER], [*RELAYS, NEW_RELAY])
    client = allocate_on(served, NEW_RELAY, (NEW_HOST, NEW_PORT))
    full = sockets_of(served.relay)
    with client, EchoPeer("10.71.2.2", served.network.peers) as peer:
        expect_relaying(served, client, peer)
        log = served.reload(LISTENERS, RELAYS, "alternate-server: [192.0.2.7:3479]")
        assert f"listener leaves address={NEW_LISTENER}" in log and f"relay address leaves address={NEW_RELAY}" in log, log
        assert served.listeners()[NEW_LISTENER] == "leaving" and served.relays()[NEW_RELAY] == "leaving"
        leaving = [each for each in status(served.relay)["listeners"] if each["state"] == "leaving"]
        assert leaving[0]["allocations"] == 1
        assert metrics(served.relay)['relayd_listeners{state="leaving"}'] == 1
        assert metrics(served.relay)['relayd_relay_addresses{state="leaving"}'] == 1
        # New allocations go elsewhere; nobody gets the address any more.
        with served.client((NEW_HOST, NEW_PORT), number=8) as late:
            assert late.request(late.allocation()).error == 300
        for _ in range(10):
            with served.client(number=8) as other:
                other.allocate()
                assert other.relayed[0][0] == RELAYS[0]
                other.refresh(0)
        # The call goes on, with refreshes and channels, for longer than it is looked at.
        time.sleep(1.5)
        expect_relaying(served, client, peer)
        expect_relaying(served, client, peer, CHANNEL + 0)
        client.refresh(600)
        assert full <= sockets_of(served.relay)
        client.refresh(0)
        eventually(lambda: f"listener closed address={NEW_LISTENER}" in served.relay.log())
        eventually(lambda: f"relay address left address={NEW_RELAY}" in served.relay.log())
    assert len(sockets_of(served.relay)) == WORKERS * len(LISTENERS)
    assert set(served.listeners()) == set(LISTENERS) and set(served.relays()) == set(RELAYS)
    served.expect_dead((NEW_HOST, NEW_PORT))


def test_what_leaves_may_come_back(served):
    served.reload([*LISTENERS, NEW_LISTENER], [NEW_RELAY, RELAYS[1]])
    with served.client((NEW_HOST, NEW_PORT)) as client, EchoPeer("10.71.2.2", served.network.peers) as peer:
        client.allocate()
        expect_relaying(served, client, peer)
        before = sockets_of(served.relay)
        served.reload(LISTENERS, RELAYS)
        served.reload([*LISTENERS, NEW_LISTENER], [NEW_RELAY, RELAYS[1]])
        assert sockets_of(served.relay) == before
        assert set(served.listeners().values()) == {"open"}
        with served.client((NEW_HOST, NEW_PORT), number=8) as late:
            late.allocate()
            assert late.relayed[0][0] == NEW_RELAY
        echo(client, b"still here")


def test_a_wildcard_listener_leaves_with_its_last_client(on_sockets):
    on_sockets.reload([*LISTENERS, "0.0.0.0:3481"])
    with on_sockets.client((NEW_HOST, 3481)) as client:
        client.allocate()
        on_sockets.reload(LISTENERS)
        with on_sockets.client(("10.71.1.1", 3481), number=8) as late:
            assert late.request(late.allocation()).error == 508
        client.refresh(0)
        eventually(lambda: "listener closed address=0.0.0.0:3481" in on_sockets.relay.log())


def test_another_name_outside_is_told_to_the_new(on_sockets):
    with on_sockets.client() as old:
        old.allocate()
        on_sockets.reload(LISTENERS, RELAYS, "external-address: [203.0.113.7]")
        with on_sockets.client(number=8) as new:
            new.allocate()
            assert (old.relayed[0][0], new.relayed[0][0]) == (RELAYS[0], "203.0.113.7")
            old.bind_channel(CHANNEL, new.relayed[0])
            new.bind_channel(CHANNEL, old.relayed[0])
            old.send_channel(CHANNEL, b"across")
            assert new.receive_channel() == (CHANNEL, b"across")


def test_a_storm_of_reloads(served):
    """Sixty reloads under traffic, good ones and bad ones, as fast as they come; the last one holds."""
    network = served.network
    chance = random.Random(7)
    some = [f"{NEW_HOST}:{NEW_PORT + number}" for number in range(4)]
    kinds = served.kinds()
    with EchoPeer(network.PEERS[4], network.peers) as four, EchoPeer(network.PEERS[6], network.peers) as six:
        with Traffic(served.relay, network, {4: four, 6: six}) as traffic:
            sockets = sockets_of(served.relay)
            for _ in range(60):
                listeners = [*LISTENERS, *(each for each in some if chance.random() < 0.5)]
                if chance.random() < 0.2:
                    listeners.append("10.71.1.99:3479")
                relays = chance.choice([RELAYS, [*RELAYS, NEW_RELAY], [NEW_RELAY, RELAYS[1]]])
                served.write(listeners, relays)
                served.relay.process.send_signal(signal.SIGHUP)
                if chance.random() < 0.5:
                    time.sleep(chance.random() / 20)
                    continue
                address = chance.choice(some)
                with served.client((NEW_HOST, int(address.split(":")[1])), number=8) as visitor:
                    try:
                        visitor.RETRANSMISSIONS = 1
                        visitor.request(visitor.allocation())
                        visitor.request(visitor.refresh_request(0))
                    except (TimeoutError, ConnectionRefusedError):
                        pass
            served.reload(LISTENERS, RELAYS)
            eventually(lambda: not [each for each in status(served.relay)["listeners"] if each["state"] == "leaving"],
                       seconds=10)
            assert set(served.listeners()) == set(LISTENERS)
            eventually(lambda: set(served.relays()) == set(RELAYS))
            assert sockets_of(served.relay) == sockets
            time.sleep(0.5)
    assert traffic.lost == 0 and not traffic.complaints, (traffic.where(), traffic.complaints[:5])
    # The allocations of the traffic live on, and a worker keeps a raw socket for each relay address that it has used.
    now = served.kinds()
    kinds["socket"] += len(traffic.flows) + WORKERS * len([*RELAYS, NEW_RELAY])
    assert now.pop("socket") <= kinds.pop("socket") and now == kinds
    served.end()


# The host's own addresses


def test_an_address_that_the_host_gets_is_no_peer_any_more(on_sockets):
    peer = ("10.71.2.30", 9)
    with on_sockets.client() as client:
        client.allocate()
        client.bind_channel(CHANNEL, peer)
        on_sockets.network.relay.ip("address", "add", "10.71.2.30/24", "dev", "relay1")
        try:
            eventually(lambda: "host addresses changed added=10.71.2.30 removed=none" in on_sockets.relay.log())
            eventually(lambda: client.request(client.binding(CHANNEL, peer)).error == 403)
            assert metrics(on_sockets.relay)["relayd_channels"] == 0
        finally:
            on_sockets.network.relay.ip("address", "del", "10.71.2.30/24", "dev", "relay1")
        eventually(lambda: "host addresses changed added=none removed=10.71.2.30" in on_sockets.relay.log())
        eventually(lambda: client.request(client.binding(CHANNEL, peer)).error is None)


@pytest.mark.skipif(os.geteuid() != 0, reason="a filter of system calls without no_new_privs needs root")
def test_a_host_that_does_not_tell_its_addresses_is_no_place_to_start():
    run = run_relayd(*CREDENTIALS, *LOOPBACK, "--data-plane", "socket", preexec_fn=refusing_family(AF_NETLINK))
    assert run.returncode == 69, run
    assert "cannot read the addresses of this host" in run.stderr and "AF_NETLINK" in run.stderr, run.stderr
