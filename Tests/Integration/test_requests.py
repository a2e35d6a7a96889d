"""What the relay answers to requests, seen on the wire: every error, signatures, reservations, repetitions."""

import struct

import pytest

from peer import EchoPeer
from relay import CREDENTIALS, LOOPBACK
from stun import ALGORITHM_MD5, ALGORITHM_SHA256, REQUEST, SUCCESS, Message, Method, Type
from turn_client import (
    FAMILIES,
    FEATURE_PASSWORD_ALGORITHMS,
    FEATURE_USERNAME_ANONYMITY,
    UDP,
    TurnClient,
    security_features,
    udp_socket,
)
from waiting import eventually

SERVER = ("127.0.0.1", 3478)
CHANNEL = 0x4000
PEER = ("127.0.0.9", 9)


@pytest.fixture
def loopback_relay(start_relay):
    return start_relay(*CREDENTIALS, *LOOPBACK, "--user", "bob:builder")


@pytest.fixture
def client(loopback_relay):
    with TurnClient(SERVER) as made:
        yield made


def test_a_request_without_credentials_is_challenged(client):
    response = client.exchange(client.allocation().encode())
    assert response.error == 401
    assert response.get(Type.REALM) == b"relayd.test"
    nonce = response.get(Type.NONCE)
    assert security_features(nonce) == FEATURE_PASSWORD_ALGORITHMS | FEATURE_USERNAME_ANONYMITY
    algorithms = response.get(Type.PASSWORD_ALGORITHMS)
    assert sorted(struct.unpack("!HHHH", algorithms)[::2]) == [ALGORITHM_MD5, ALGORITHM_SHA256]
    assert not any(type in (Type.MESSAGE_INTEGRITY, Type.MESSAGE_INTEGRITY_SHA256) for type, _ in response.attributes)


@pytest.mark.parametrize("userhash", [False, True])
@pytest.mark.parametrize("algorithm", [ALGORITHM_MD5, ALGORITHM_SHA256])
def test_every_way_to_authenticate(loopback_relay, algorithm, userhash):
    with TurnClient(SERVER, algorithm=algorithm, userhash=userhash) as client:
        client.allocate()  # checks that the answer is signed the same way
        assert client.refresh(600).number(Type.LIFETIME) == 600


@pytest.mark.parametrize("algorithm", [ALGORITHM_MD5, ALGORITHM_SHA256])
@pytest.mark.parametrize("username,password", [("alice", "guess"), ("mallory", "wonderland")])
def test_wrong_credentials_are_challenged_again(loopback_relay, algorithm, username, password):
    with TurnClient(SERVER, username, password, algorithm=algorithm) as client:
        client.learn(client.exchange(client.allocation().encode()))
        response = client.exchange(client.sign(client.allocation()))
        assert response.error == 401 and response.get(Type.NONCE)


def test_an_altered_list_of_algorithms_is_refused(loopback_relay):
    # Bid-down protection, RFC 8489 section 9.2.4.
    with TurnClient(SERVER, algorithm=ALGORITHM_SHA256) as client:
        client.learn(client.exchange(client.allocation().encode()))
        client.offered_algorithms = struct.pack("!HH", ALGORITHM_SHA256, 0)
        assert client.exchange(client.sign(client.allocation())).error == 400


@pytest.mark.parametrize("position", [8, 14, -1])
def test_a_nonce_that_is_not_ours_is_stale(client, position):
    client.learn(client.exchange(client.allocation().encode()))
    good = client.nonce
    client.nonce = bytearray(good)
    client.nonce[position] ^= 1
    response = client.exchange(client.sign(client.allocation()))
    assert response.error == 438
    client.learn(response)
    assert client.exchange(client.sign(client.allocation())).message_class == SUCCESS


def test_a_nonce_is_good_for_one_client_address_only(loopback_relay, client):
    client.learn(client.exchange(client.allocation().encode()))
    with TurnClient(SERVER, bind="127.0.0.5") as other:
        other.realm, other.nonce = client.realm, client.nonce
        assert other.exchange(other.sign(other.allocation())).error == 438


def test_a_second_allocation_and_requests_without_one_are_a_mismatch(client):
    without = [Message(REQUEST, Method.REFRESH), client.permission(PEER), client.binding(CHANNEL, PEER)]
    assert [client.request(request).error for request in without] == [437, 437, 437]
    client.allocate()
    assert client.request(client.allocation()).error == 437


def test_another_user_is_refused_an_allocation(client):
    client.allocate()
    client.username, client.password = "bob", "builder"
    for request in (Message(REQUEST, Method.REFRESH), client.permission(PEER), client.binding(CHANNEL, PEER)):
        assert client.request(request).error == 441


@pytest.mark.parametrize("code,attributes", [
    (400, []),  # no REQUESTED-TRANSPORT
    (442, [(Type.REQUESTED_TRANSPORT, b"\x06\0\0\0")]),
    (400, [(Type.REQUESTED_TRANSPORT, UDP), (Type.EVEN_PORT, b"\0"), (Type.RESERVATION_TOKEN, b"8 bytes.")]),
    (508, [(Type.REQUESTED_TRANSPORT, UDP), (Type.RESERVATION_TOKEN, b"8 bytes.")]),
    (440, [(Type.REQUESTED_TRANSPORT, UDP), (Type.REQUESTED_ADDRESS_FAMILY, b"\x07\0\0\0")]),
    (400, [(Type.REQUESTED_TRANSPORT, UDP), (Type.REQUESTED_ADDRESS_FAMILY, FAMILIES[4]),
           (Type.ADDITIONAL_ADDRESS_FAMILY, FAMILIES[6])]),
    (400, [(Type.REQUESTED_TRANSPORT, UDP), (Type.ADDITIONAL_ADDRESS_FAMILY, FAMILIES[4])]),
    (420, [(Type.REQUESTED_TRANSPORT, UDP), (0x7FFF, b"what?")]),
])
def test_allocations_that_are_refused(client, code, attributes):
    response = client.request(Message(REQUEST, Method.ALLOCATE, attributes=attributes))
    assert response.error == code
    if code == 420:
        assert response.get(Type.UNKNOWN_ATTRIBUTES)[:2] == b"\x7f\xff"
    client.allocate()  # the client may still do it right


def test_peers_are_denied_by_default(start_relay):
    relay = start_relay(*CREDENTIALS, "--listen", "127.0.0.1:3478", "--relay-address", "127.0.0.1")
    denied = ["127.0.0.2", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
              "255.255.255.255"]
    with TurnClient(SERVER) as client:
        client.allocate()
        for host in denied:
            assert client.request(client.permission((host, 9))).error == 403, host
            assert client.request(client.binding(CHANNEL, (host, 9))).error == 403, host
        # A permission for the relay's own address covers the relayed addresses there; a channel names one port.
        assert client.request(client.permission(("127.0.0.1", 9))).error is None
        assert client.request(client.binding(CHANNEL, ("127.0.0.1", 9))).error == 403
        # One denied peer denies the whole request.
        assert client.request(client.permission(("8.8.8.8", 9), ("10.0.0.1", 9))).error == 403
    # The log is written a moment later.
    eventually(lambda: "10.0.0.0/8" in relay.log())


@pytest.mark.parametrize("host", ["::2", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "::10.0.0.1", "2002:a00:1::1",
                                  "64:ff9b::10.0.0.1", "ff02::1", "2001::1"])
def test_peers_in_disguise_are_denied(start_relay, host):
    start_relay(*CREDENTIALS, "--listen", "127.0.0.1:3478", "--relay-address", "::1")
    with TurnClient(SERVER) as client:
        client.allocate(6)
        assert client.request(client.binding(CHANNEL, (host, 9))).error == 403


def test_services_beside_the_relay_are_out_of_reach(start_relay):
    # Another client's relayed address may be a peer, so its host gets a permission; its other ports get nothing.
    start_relay(*CREDENTIALS, "--listen", "127.0.0.1:3478", "--relay-address", "127.0.0.1")
    with TurnClient(SERVER) as client, TurnClient(SERVER) as other, udp_socket(("127.0.0.1", 0)) as service:
        client.allocate()
        other.allocate()
        other.permit(client.relayed[0])
        client.permit(other.relayed[0])
        for address in (service.getsockname(), SERVER):
            assert client.request(client.binding(CHANNEL, address)).error == 403
            client.send_indication(address, b"to a service")
        client.send_indication(other.relayed[0], b"to a client")
        assert other.receive_data() == (client.relayed[0], b"to a client")
        client.exchange(Message(REQUEST, Method.BINDING).encode())
        service.setblocking(False)
        with pytest.raises(BlockingIOError):
            service.recv(2048)


def test_a_peer_of_the_other_family_is_a_mismatch(client):
    client.allocate(4)
    assert client.request(client.permission(("::1", 9))).error == 443
    assert client.request(client.binding(CHANNEL, ("::1", 9))).error == 443


def test_channel_bindings_that_are_refused(client):
    client.allocate()
    for number in (0x3FFF, 0x5000, 0x8000):
        assert client.request(client.binding(number, PEER)).error == 400, hex(number)
    client.bind_channel(CHANNEL, PEER)
    client.bind_channel(CHANNEL, PEER)  # the same again refreshes it
    assert client.request(client.binding(CHANNEL, ("127.0.0.9", 10))).error == 400
    assert client.request(client.binding(CHANNEL + 1, PEER)).error == 400


def test_a_family_without_relay_address_is_unsupported(start_relay):
    start_relay(*CREDENTIALS, "--listen", "127.0.0.1:3478", "--relay-address", "127.0.0.1")
    with TurnClient(SERVER) as client:
        assert client.request(client.allocation(6)).error == 440
        both = client.allocate(None, (Type.ADDITIONAL_ADDRESS_FAMILY, FAMILIES[6]))
        family, code = both.get(Type.ADDRESS_ERROR_CODE)[0], both.get(Type.ADDRESS_ERROR_CODE)[2:4]
        assert (family, code[0] * 100 + code[1], len(client.relayed)) == (2, 440, 1)


def test_quotas_and_ports_that_run_out(start_relay):
    start_relay(*CREDENTIALS, "--user", "bob:builder", *LOOPBACK, "--allocations-per-user", "2", "--workers", "1",
                "--permissions-per-allocation", "3", "--relay-ports", "50000-50002")
    clients = [TurnClient(SERVER, *who) for who in [("alice", "wonderland")] * 3 + [("bob", "builder")] * 2]
    for client in clients[:2]:
        client.allocate()
    assert clients[2].request(clients[2].allocation()).error == 486
    clients[3].allocate()
    assert clients[4].request(clients[4].allocation()).error == 508
    clients[0].refresh(0)
    clients[4].allocate()
    for last in range(1, 4):
        clients[1].permit((f"127.0.1.{last}", 9))
    assert clients[1].request(clients[1].permission(("127.0.1.4", 9))).error == 486
    clients[1].permit(("127.0.1.1", 9))  # one that exists is only refreshed
    for client in clients:
        client.close()


@pytest.mark.parametrize("asked,granted", [(0xFFFFFFFF, 3600), (3600, 3600), (1, 600), (601, 601)])
def test_lifetimes_are_kept_within_bounds(client, asked, granted):
    lifetime = struct.pack("!I", asked)
    response = client.allocate(None, (Type.LIFETIME, lifetime))
    assert response.number(Type.LIFETIME) == granted
    assert client.refresh(asked).number(Type.LIFETIME) == granted


def test_an_even_port_and_its_reserved_sibling(loopback_relay):
    with TurnClient(SERVER) as first, TurnClient(SERVER) as second, TurnClient(SERVER) as third:
        token = first.allocate(None, (Type.EVEN_PORT, b"\x80")).get(Type.RESERVATION_TOKEN)
        host, port = first.relayed[0]
        assert port % 2 == 0 and len(token) == 8
        # Another five-tuple takes the sibling, and another worker may serve it.
        second.allocate(None, (Type.RESERVATION_TOKEN, token))
        assert second.relayed[0] == (host, port + 1)
        assert third.request(third.allocation(None, (Type.RESERVATION_TOKEN, token))).error == 508
        with EchoPeer("127.0.0.1") as peer:
            second.bind_channel(CHANNEL, peer.address)
            second.send_channel(CHANNEL, b"rtcp")
            assert second.receive_channel() == (CHANNEL, b"rtcp")


def test_an_even_port_without_reservation(client):
    response = client.allocate(None, (Type.EVEN_PORT, b"\0"))
    assert client.relayed[0][1] % 2 == 0 and response.get(Type.RESERVATION_TOKEN) is None


def test_a_retransmission_gets_the_same_answer(client):
    client.learn(client.exchange(client.allocation().encode()))
    requests = [client.allocation(), client.permission(PEER), client.binding(CHANNEL, PEER),
                Message(REQUEST, Method.REFRESH).add(Type.LIFETIME, bytes(4))]
    for request in requests:
        datagram = client.sign(request)
        first = client.exchange(datagram)
        assert first.message_class == SUCCESS, first
        assert client.exchange(datagram).raw == first.raw


def test_a_wrong_signature_changes_nothing(client):
    client.allocate()
    forged = bytearray(client.sign(Message(REQUEST, Method.REFRESH).add(Type.LIFETIME, bytes(4))))
    forged[-1] ^= 1
    assert client.exchange(bytes(forged)).error == 401
    assert client.refresh(600).number(Type.LIFETIME) == 600


def test_attributes_after_the_signature_are_ignored(client):
    client.allocate()
    signed = client.sign(Message(REQUEST, Method.REFRESH))
    smuggled = signed + Message(REQUEST, 0).add(Type.LIFETIME, bytes(4)).encode()[20:]
    smuggled = smuggled[:2] + struct.pack("!H", len(smuggled) - 20) + smuggled[4:]
    client.exchange(smuggled)
    assert client.refresh(600).number(Type.LIFETIME) == 600


def test_a_fingerprint_is_accepted(client):
    assert client.exchange(Message(REQUEST, Method.BINDING).encode(fingerprint=True)).message_class == SUCCESS


def test_answers_without_credentials_are_small_and_rationed(start_relay):
    start_relay(*CREDENTIALS, *LOOPBACK, "--unauthenticated-rate", "10")
    with TurnClient(SERVER, bind="127.0.0.7") as client:
        binding = Message(REQUEST, Method.BINDING).encode()
        assert len(client.exchange(binding).raw) == 32
        assert len(client.exchange(client.allocation().encode()).raw) <= 120
        for _ in range(500):
            client.socket.sendto(binding, SERVER)
        client.socket.settimeout(0.3)
        answers = 0
        with pytest.raises(TimeoutError):
            while True:
                client.socket.recv(2048)
                answers += 1
        assert 0 < answers < 100, answers
    # It is counted by source: nobody else suffers.
    with TurnClient(SERVER, bind="127.0.0.8") as other:
        assert other.exchange(binding).message_class == SUCCESS
