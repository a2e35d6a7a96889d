"""Data through the relay: channels and indications, both families, hairpins, what a header carries across."""

import os
import socket
import struct
import time

import pytest

from conftest import relay_flags
from peer import EchoPeer
from relay import CREDENTIALS
from stun import INDICATION, REQUEST, SUCCESS, Message, Method, Type, decode
from turn_client import TurnClient, udp_socket

pytestmark = pytest.mark.every_plane

CHANNEL = 0x4000
PORT = 3478


def client_of(network, family=4, number=0, **more) -> TurnClient:
    return TurnClient((network.RELAY_LISTENERS[family], PORT), bind=network.CLIENTS[family][number],
                      namespace=network.clients, **more)


@pytest.mark.parametrize("peer_family", [4, 6])
@pytest.mark.parametrize("client_family", [4, 6])
def test_channel_and_indications_reach_a_peer_and_come_back(network, relay, client_family, peer_family):
    with client_of(network, client_family) as client, EchoPeer(network.PEERS[peer_family], network.peers) as peer:
        client.allocate(peer_family)
        assert client.relayed[0][0] == network.RELAYS[peer_family]
        client.permit(peer.address)
        for length in (0, 1, 3, 172, 1200):
            payload = os.urandom(length)
            client.send_indication(peer.address, payload)
            assert client.receive_data() == (peer.address, payload)
        client.bind_channel(CHANNEL, peer.address)
        for length in (0, 1, 2, 3, 4, 172, 1200):
            payload = os.urandom(length)
            client.send_channel(CHANNEL, payload)
            assert client.receive_channel() == (CHANNEL, payload)


def test_padded_channel_data_is_relayed_without_its_padding(network, relay):
    with client_of(network) as client, EchoPeer(network.PEERS[4], network.peers) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        client.socket.sendto(struct.pack("!HH", CHANNEL, 5) + b"hello\0\0\0", client.server)
        assert client.receive_channel() == (CHANNEL, b"hello")


def test_nothing_passes_without_permission(network, relay):
    permitted = udp_socket((network.PEERS[4], 0), network.peers)
    with client_of(network) as client, permitted:
        client.allocate()
        permitted.sendto(b"stranger", client.relayed[0])
        client.send_indication(permitted.getsockname(), b"not yet")
        # Two sockets have no order between them: let the relay see both datagrams before the permission.
        time.sleep(0.1)
        client.exchange(Message(REQUEST, Method.BINDING).encode())
        client.permit(permitted.getsockname())
        client.send_indication(permitted.getsockname(), b"now")
        assert permitted.recv(2048) == b"now"
        permitted.sendto(b"friend", client.relayed[0])
        assert client.receive_data() == (permitted.getsockname(), b"friend")


def test_dual_allocation_relays_in_both_families(network, relay):
    with (client_of(network) as client, EchoPeer(network.PEERS[4], network.peers) as four,
          EchoPeer(network.PEERS[6], network.peers) as six):
        client.allocate(None, (Type.ADDITIONAL_ADDRESS_FAMILY, b"\x02\0\0\0"))
        assert [host for host, _ in client.relayed] == [network.RELAYS[4], network.RELAYS[6]]
        client.bind_channel(CHANNEL, four.address)
        client.bind_channel(CHANNEL + 1, six.address)
        for channel in (CHANNEL, CHANNEL + 1):
            client.send_channel(channel, b"over %d" % channel)
            assert client.receive_channel() == (channel, b"over %d" % channel)


def test_clients_of_one_relay_reach_each_other(network, relay):
    # The relay's own address is denied to peers, but for relayed addresses in use.
    with client_of(network, number=0) as one, client_of(network, number=1) as two:
        one.allocate()
        two.allocate()
        one.bind_channel(CHANNEL, two.relayed[0])
        two.permit(one.relayed[0])
        one.send_channel(CHANNEL, b"to two")
        assert two.receive_data() == (one.relayed[0], b"to two")
        two.send_indication(one.relayed[0], b"to one")
        assert one.receive_channel() == (CHANNEL, b"to one")


def test_clients_behind_one_to_one_nat_reach_each_other(network, start_relay):
    start_relay(*relay_flags(network), "--external-address", "203.0.113.7", "--external-address", "2001:db8::7",
                namespace=network.relay, ready_at=(network.RELAY_LISTENERS[4], PORT))
    for family, external in ((4, "203.0.113.7"), (6, "2001:db8::7")):
        with client_of(network, number=0) as one, client_of(network, number=1) as two:
            one.allocate(family)
            two.allocate(family)
            assert one.relayed[0][0] == two.relayed[0][0] == external
            one.bind_channel(CHANNEL, two.relayed[0])
            two.bind_channel(CHANNEL, one.relayed[0])
            one.send_channel(CHANNEL, b"to two")
            assert two.receive_channel() == (CHANNEL, b"to two")
            two.send_channel(CHANNEL, b"to one")
            assert one.receive_channel() == (CHANNEL, b"to one")


def test_several_clients_bind_channels_to_one_peer(network, relay):
    clients = [client_of(network, number=number) for number in range(8)]
    with EchoPeer(network.PEERS[4], network.peers) as peer:
        for client in clients:
            client.allocate()
            client.bind_channel(CHANNEL, peer.address)
        for round in range(20):
            for number, client in enumerate(clients):
                client.send_channel(CHANNEL, b"%d of %d" % (round, number))
            for number, client in enumerate(clients):
                assert client.receive_channel() == (CHANNEL, b"%d of %d" % (round, number))
    for client in clients:
        client.close()


@pytest.mark.parametrize("family", [4, 6])
def test_dscp_and_ecn_are_carried_across(network, relay, family):
    level, set_field, want_field = ((socket.IPPROTO_IP, socket.IP_TOS, socket.IP_RECVTOS) if family == 4 else
                                    (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, socket.IPV6_RECVTCLASS))

    def receive_field(receiver: socket.socket) -> int:
        _, ancillary, _, _ = receiver.recvmsg(2048, 64)
        return next(int.from_bytes(value[:4], "little") for at, type, value in ancillary if (at, type) == (level, set_field))

    peer = udp_socket((network.PEERS[family], 0), network.peers)
    with client_of(network, family) as client, peer:
        client.allocate(family)
        client.bind_channel(CHANNEL, peer.getsockname()[:2])
        for receiver in (client.socket, peer):
            receiver.setsockopt(level, want_field, 1)
        for field in (46 << 2, 34 << 2 | 2, 0, 8 << 2 | 1):
            client.socket.setsockopt(level, set_field, field)
            client.send_channel(CHANNEL, b"to peer")
            assert receive_field(peer) == field
            peer.setsockopt(level, set_field, field)
            peer.sendto(b"to client", client.relayed[0])
            assert receive_field(client.socket) == field


@pytest.mark.parametrize("family", [4, 6])
def test_a_closed_peer_port_is_told_with_an_icmp_attribute(network, relay, family):
    gone = udp_socket((network.PEERS[family], 0), network.peers)
    address = gone.getsockname()[:2]
    gone.close()
    unreachable = {4: (3, 3), 6: (1, 4)}[family]
    with client_of(network, family) as client:
        client.allocate(family)
        client.permit(address)
        client.send_indication(address, b"anyone?")
        peer, icmp = receive_icmp(client)
        assert (peer, icmp[2], icmp[3]) == (address, *unreachable)


def receive_icmp(client: TurnClient):
    """Peer and value of the ICMP attribute in the next Data indication (RFC 8656 section 11.5)."""
    indication = decode(client.receive())
    assert (indication.message_class, indication.method) == (INDICATION, Method.DATA)
    assert indication.get(Type.DATA) is None
    value = indication.get(Type.ICMP)
    assert value is not None and len(value) == 8, indication
    return indication.address(Type.XOR_PEER_ADDRESS), value


def test_bursts_keep_their_order_and_lengths(network, relay):
    with client_of(network) as client, EchoPeer(network.PEERS[4], network.peers) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        # Equal lengths with a shorter last one are what segmentation offload joins; the rest is what it must not.
        for lengths in ([1200] * 8, [1200] * 7 + [5], [100, 1200, 100], [4, 0, 1200, 1200, 3]):
            burst = [os.urandom(length) for length in lengths]
            for payload in burst:
                client.send_channel(CHANNEL, payload)
            assert [client.receive_channel()[1] for _ in burst] == burst


def test_a_wildcard_listener_answers_from_the_address_that_was_asked(start_relay):
    start_relay(*CREDENTIALS, "--listen", "0.0.0.0:3478", "--listen", "[::]:3478", "--relay-address", "127.0.0.1",
                "--allow-peer", "127.0.0.1", ready_at=("127.0.0.2", PORT))
    with EchoPeer("127.0.0.1") as peer:
        for host in ("127.0.0.2", "127.0.0.3", "127.0.0.1", "::1"):
            # The client refuses answers and data that come from elsewhere.
            with TurnClient((host, PORT)) as client:
                binding = client.exchange(Message(REQUEST, Method.BINDING).encode())
                assert binding.message_class == SUCCESS
                assert binding.address(Type.XOR_MAPPED_ADDRESS) == client.address
                client.allocate(4)
                client.bind_channel(CHANNEL, peer.address)
                client.send_channel(CHANNEL, b"hello")
                assert client.receive_channel() == (CHANNEL, b"hello")


def test_a_released_allocation_relays_no_more(network, relay):
    peer = udp_socket((network.PEERS[4], 0), network.peers)
    with client_of(network) as client, peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.getsockname())
        client.send_channel(CHANNEL, b"alive")
        assert peer.recv(2048) == b"alive"
        client.refresh(0)
        client.send_channel(CHANNEL, b"dead")
        client.allocate()
        client.bind_channel(CHANNEL, peer.getsockname())
        client.send_channel(CHANNEL, b"again")
        assert peer.recv(2048) == b"again"
        time.sleep(0.05)
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(2048)
