"""The life of routes in the kernel, under traffic: nothing reaches anybody else, and nothing disappears."""

import os
import signal
import time

import pytest

from kernel_objects import KernelObjects
from traffic import Flow
from turn_client import udp_socket
from waiting import eventually, wait_for_log
from xdp import CHANNEL, client_of, echo, echo_until_in_kernel, echoing_peer, frames, metrics

PERMISSION_SECONDS = 300


def request_without_waiting(client, request) -> None:
    """The flow reads the answers."""
    client.socket.sendto(client.sign(request), client.server)


def test_without_the_daemon_forwarding_ends_at_the_lease(wires, xdp_relay):
    with client_of(wires) as client, echoing_peer(wires) as peer, KernelObjects(xdp_relay.pid) as objects:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        entries = objects.entries()
        os.kill(xdp_relay.pid, signal.SIGSTOP)
        try:
            for number in range(50):
                echo(client, b"by the kernel alone %d" % number)
            entries.shorten_leases(PERMISSION_SECONDS - 1.5)
            began = time.monotonic()
            client.socket.settimeout(1)
            with pytest.raises(TimeoutError):
                while time.monotonic() < began + 15:
                    last = b"%f" % time.monotonic()
                    echo(client, last)
                    time.sleep(0.02)
            # With the second that was waited for an answer.
            assert 1.2 < time.monotonic() - began < 8, "the lease was to be over after about a second and a half"
        finally:
            os.kill(xdp_relay.pid, signal.SIGCONT)
        # What was not relayed went up the slow path, and waited there.
        client.socket.settimeout(2)
        assert client.receive_channel() == (CHANNEL, last)
        assert frames(xdp_relay, "pass", "lease_over") >= 1
        assert metrics(xdp_relay)["relayd_xdp_lapsed_routes"] == 1
        echo(client, b"by the slow path")
        # A refresh after the end puts the route back.
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        assert metrics(xdp_relay)["relayd_xdp_lapsed_routes"] == 0


def test_leases_that_end_under_traffic_lose_nothing(wires, xdp_relay):
    with client_of(wires) as client, KernelObjects(xdp_relay.pid) as objects:
        client.allocate()
        flow = Flow("lapsing", client, CHANNEL, wires.PEERS[4], wires.peers)
        client.bind_channel(CHANNEL, flow.peer_address)
        with flow:
            eventually(lambda: frames(xdp_relay, "forward") > 50)
            assert frames(xdp_relay, "pass", "lease_over") == 0
            # The worker, which renews leases with refreshes alone, does not know.
            objects.entries().shorten_leases(PERMISSION_SECONDS)
            eventually(lambda: frames(xdp_relay, "pass", "lease_over") > 100)
            by_kernel, number = frames(xdp_relay, "forward"), flow.sent
            eventually(lambda: flow.sent > number + 50)
            assert frames(xdp_relay, "forward") == by_kernel, "a lease is over, and its route forwards"
            request_without_waiting(client, client.binding(CHANNEL, flow.peer_address))
            eventually(lambda: frames(xdp_relay, "forward") > by_kernel + 100)
        assert flow.complaints == [] and flow.lost() == []
        assert max(flow.at_peer.values()) == max(flow.back.values()) == 1, "a datagram came twice"


def test_refreshes_under_traffic_lose_nothing(wires, xdp_relay):
    with client_of(wires) as client:
        client.allocate()
        flow = Flow("refreshed", client, CHANNEL, wires.PEERS[4], wires.peers)
        client.bind_channel(CHANNEL, flow.peer_address)
        with flow:
            for _ in range(20):
                request_without_waiting(client, client.binding(CHANNEL, flow.peer_address))
                request_without_waiting(client, client.permission(flow.peer_address))
                time.sleep(0.05)
        assert flow.complaints == [] and flow.lost() == []
        assert max(flow.at_peer.values()) == max(flow.back.values()) == 1, "a datagram came twice"
        assert frames(xdp_relay, "forward") > flow.sent


def test_a_relayed_port_goes_from_hand_to_hand_under_traffic(wires, start_xdp):
    # One port, and one worker: another would take it for busy for half a minute.
    relay = start_xdp("--relay-ports", "50000-50000", "--workers", "1")
    with client_of(wires, number=0) as first:
        first.allocate()
        port = first.relayed[0]
        owners = [first]
        flows = []
        for number in range(6):
            owner = owners[-1]
            flow = Flow(f"owner {number}", owner, CHANNEL + number, wires.PEERS[4], wires.peers)
            owner.bind_channel(CHANNEL + number, flow.peer_address)
            flows.append(flow.__enter__())
            eventually(lambda: len(flow.back) > 20)
            # It lets go, and its flow goes on sending to a port that is somebody else's soon.
            relayed = flow.sent
            request_without_waiting(owner, owner.refresh_request(0))
            successor = client_of(wires, number=1 + number)
            eventually(lambda: try_to_allocate(successor))
            assert successor.relayed[0] == port
            assert flow.lost(until=relayed - 20) == []
            owners.append(successor)
        for flow in flows:
            flow.stop()
        assert [flow.complaints for flow in flows] == [[]] * len(flows)
        assert all(len(flow.back) < flow.sent for flow in flows), "each was cut off in the end"
        assert metrics(relay)["relayd_xdp_routes"] == 0
        for owner in owners[1:]:
            owner.close()


def try_to_allocate(client) -> bool:
    try:
        client.allocate()
        return True
    except Exception as refusal:
        assert "508" in str(refusal), refusal
        return False


def test_a_route_ends_with_its_allocation_and_a_permission_makes_none(wires, xdp_relay):
    peer = udp_socket((wires.PEERS[4], 0), wires.peers)
    with client_of(wires) as client, peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.getsockname())
        client.send_channel(CHANNEL, b"hello")
        _, relayed = peer.recvfrom(2048)
        client.refresh(0)
        peer.settimeout(0.3)
        client.send_channel(CHANNEL, b"too late")
        with pytest.raises(TimeoutError):
            peer.recv(2048)
        client.socket.settimeout(0.3)
        peer.sendto(b"too late", relayed)
        with pytest.raises(TimeoutError):
            client.socket.recv(2048)
        client.allocate()
        client.permit(peer.getsockname())
        peer.settimeout(2)
        # Only permitted now: that is the slow path's.
        peer.sendto(b"indicated", client.relayed[0])
        assert client.receive_data() == (peer.getsockname(), b"indicated")
        assert metrics(xdp_relay)["relayd_xdp_routes"] == 0


def test_a_route_that_the_kernel_lost_is_put_back(wires, xdp_relay):
    with client_of(wires) as client, echoing_peer(wires) as peer, KernelObjects(xdp_relay.pid) as objects:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        entries = objects.entries()
        assert len(entries.live()) == 2
        entries.remove(entries.live()[0])
        echo(client, b"by the slow path, one way")
        eventually(lambda: len(entries.live()) == 2)
        echo_until_in_kernel(xdp_relay, client)
        assert metrics(xdp_relay)["relayd_xdp_routes"] == 1


def test_room_that_appears_is_used(wires, start_xdp):
    relay = start_xdp("--xdp-routes", "1")
    with client_of(wires, number=0) as one, client_of(wires, number=1) as two, echoing_peer(wires) as peer:
        one.allocate()
        one.bind_channel(CHANNEL, peer.address)
        two.allocate()
        two.bind_channel(CHANNEL, peer.address)
        echo(two, b"by the slow path")
        seen = metrics(relay)
        assert (seen["relayd_xdp_routes"], seen["relayd_xdp_waiting_routes"]) == (1, 1)
        one.refresh(0)
        eventually(lambda: metrics(relay)["relayd_xdp_waiting_routes"] == 0)
        echo_until_in_kernel(relay, two)


def test_the_last_second_is_in_the_record(wires, xdp_relay):
    with client_of(wires) as client, echoing_peer(wires) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        for number in range(137):
            echo(client, b"%100d" % number)
        client.refresh(0)
        wait_for_log(xdp_relay, "allocation ended")
        record = [line for line in xdp_relay.log().splitlines() if "allocation ended" in line][-1]
        for figure in ("to_peers_packets=137", "to_client_packets=137", "to_peers_bytes=13700"):
            assert figure in record, record
