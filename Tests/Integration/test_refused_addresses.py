"""Listeners and relay addresses that cannot be had, and addresses of the host that peers must not reach."""

import os
import pathlib
import resource
import tempfile

import pytest

from peer import EchoPeer
from privileges import as_nobody, refusing_family
from relay import CREDENTIALS, LOOPBACK, run_relayd
from serving import LISTENERS, NEW_HOST, NEW_LISTENER, NEW_PORT, RELAYS, WORKERS, expect_relaying
from test_changing_planes import sockets_of
from turn_client import TurnClient, udp_socket
from waiting import eventually
from xdp import CHANNEL, echo, metrics

GRO_AT_RELAY = True
AF_NETLINK = 16


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
            eventually(lambda: sockets_of(served.relay) == before_with_rival)
        assert "error configuration refused" in log and "configuration kept" in log and "reloaded" not in log, log
        assert all(word in log for word in words), log
        eventually(lambda: sockets_of(served.relay) == before and served.files() == files)
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
        eventually(lambda: sockets_of(served.relay) == before and served.files() == files)
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
        relay = start_relay("--config", str(file), *CREDENTIALS, "--relay-address", "127.0.0.1", wrapper=as_nobody())
        file.write_text('listen: ["127.0.0.1:3478", "127.0.0.1:443"]\n')
        eventually(lambda: "configuration kept" in relay.log())
        log = relay.log()
        assert "UDP 127.0.0.1:443: permission denied" in log and "CAP_NET_BIND_SERVICE" in log, log
        with TurnClient(("127.0.0.1", 3478)) as client:
            client.allocate()
        relay.process.terminate()
        assert relay.process.wait(timeout=10) == 0


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
            eventually(lambda: metrics(on_sockets.relay)["relayd_channels"] == 0)
        finally:
            on_sockets.network.relay.ip("address", "del", "10.71.2.30/24", "dev", "relay1")
        eventually(lambda: "host addresses changed added=none removed=10.71.2.30" in on_sockets.relay.log())
        eventually(lambda: client.request(client.binding(CHANNEL, peer)).error is None)


@pytest.mark.skipif(os.geteuid() != 0, reason="a filter of system calls without no_new_privs needs root")
def test_a_host_that_does_not_tell_its_addresses_is_no_place_to_start():
    run = run_relayd(*CREDENTIALS, *LOOPBACK, "--data-plane", "socket", preexec_fn=refusing_family(AF_NETLINK))
    assert run.returncode == 69, run
    assert "cannot read the addresses of this host" in run.stderr and "AF_NETLINK" in run.stderr, run.stderr
