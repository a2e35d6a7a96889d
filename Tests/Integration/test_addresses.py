"""Listeners and relay addresses that come and go by a reload, under living calls, on every plane."""

import random
import re
import signal
import subprocess
import time

from admin import status
from peer import EchoPeer
from serving import (
    LISTENERS,
    NEW_HOST,
    NEW_LISTENER,
    NEW_PORT,
    NEW_RELAY,
    RELAYS,
    WORKERS,
    Served,
    allocate_on,
    expect_relaying,
)
from test_changing_planes import Traffic, sockets_of
from test_clients import BOUNDED, MESSAGES, WITH_PASSWORD, expect_no_loss, uclient
from waiting import eventually, wait_for_log
from xdp import CHANNEL, echo, echo_until_in_kernel, metrics

# Where frames are redirected to a veth, it must not lose what waits for it.
GRO_AT_RELAY = True


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
    run = uclient(served.network, "-y", "-c", "-m", "4", *BOUNDED, *WITH_PASSWORD, "-p", str(NEW_PORT), NEW_HOST)
    expect_no_loss(run, 4 * MESSAGES)
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


# Going


def test_what_is_removed_takes_none_and_keeps_the_living(served):
    served.reload([*LISTENERS, NEW_LISTENER], [*RELAYS, NEW_RELAY])
    client = allocate_on(served, NEW_RELAY, (NEW_HOST, NEW_PORT))
    # Allocations that landed on another address are gone by their answer, their sockets a moment later.
    eventually(lambda: len(sockets_of(served.relay)) == WORKERS * (len(LISTENERS) + 1) + 1)
    full = sockets_of(served.relay)
    with client, EchoPeer("10.71.2.2", served.network.peers) as peer:
        expect_relaying(served, client, peer)
        log = served.reload(LISTENERS, RELAYS, "alternate-server: [192.0.2.7:3479]")
        assert f"listener leaves address={NEW_LISTENER}" in log and f"relay address leaves address={NEW_RELAY}" in log, log
        assert served.listeners()[NEW_LISTENER] == "leaving" and served.relays()[NEW_RELAY] == "leaving"
        # The published figures come a little after what they tell of.
        eventually(lambda: [each["allocations"] for each in status(served.relay)["listeners"]
                            if each["state"] == "leaving"] == [1])
        eventually(lambda: metrics(served.relay)['relayd_listeners{state="leaving"}'] == 1)
        eventually(lambda: metrics(served.relay)['relayd_relay_addresses{state="leaving"}'] == 1)
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
        client.refresh(600)
        assert full <= sockets_of(served.relay)
        client.refresh(0)
        eventually(lambda: f"listener closed address={NEW_LISTENER}" in served.relay.log())
        eventually(lambda: f"relay address left address={NEW_RELAY}" in served.relay.log())
    # The log may be ahead of the worker that closes last, and of what is published.
    eventually(lambda: len(sockets_of(served.relay)) == WORKERS * len(LISTENERS))
    eventually(lambda: set(served.listeners()) == set(LISTENERS) and set(served.relays()) == set(RELAYS))
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


def test_a_wildcard_listener_leaves_with_its_last_client(served):
    for _ in range(2):
        served.reload([*LISTENERS, "0.0.0.0:3481"])
        with served.client((NEW_HOST, 3481)) as client, served.client(("10.71.1.1", 3481), number=8) as other:
            client.allocate()
            other.allocate()
            served.reload(LISTENERS)
            other.refresh(0)
            assert other.request(other.allocation()).error == 508
            client.refresh(600)
            client.refresh(0)
            eventually(lambda: "0.0.0.0:3481" not in served.listeners())
        wait_for_log(served.relay, "listener closed address=0.0.0.0:3481")


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
            eventually(lambda: set(served.listeners()) == set(LISTENERS) and set(served.relays()) == set(RELAYS))
            eventually(lambda: sockets_of(served.relay) == sockets)
            time.sleep(0.5)
    assert traffic.lost == 0 and not traffic.complaints, (traffic.where(), traffic.complaints[:5])
    # The allocations of the traffic live on, and a worker keeps a raw socket for each relay address that it has used.
    now = served.kinds()
    kinds["socket"] += len(traffic.flows) + WORKERS * len([*RELAYS, NEW_RELAY])
    assert now.pop("socket") <= kinds.pop("socket") and now == kinds
    served.end()
