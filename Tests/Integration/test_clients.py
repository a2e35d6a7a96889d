"""Clients that others wrote: coturn's turnutils_uclient and aioice."""

import asyncio
import re
import subprocess
import time

import aioice
import pytest

from conftest import relay_flags
from relay import PASSWORD, USER, Relay
from turn_client import udp_socket

pytestmark = pytest.mark.every_plane

MESSAGES = 50
PAYLOAD_BYTES = 172
SECRET = "a secret that both sides know"


@pytest.fixture
def uclient_relay(network, start_relay) -> Relay:
    """uclient of coturn 4.6 draws channel numbers from 0x4000 to 0x7FFF, as RFC 5766 had it."""
    return start_relay(*relay_flags(network), "--rfc5766-channel-numbers", "--auth-secret", SECRET,
                       namespace=network.relay, ready_at=(network.RELAY_LISTENERS[4], 3478))


@pytest.fixture(scope="module", params=[4, 6], ids=["peer4", "peer6"])
def peer(request, network):
    """The address of a turnutils_peer, which sends back what it gets on port 3480."""
    address = network.PEERS[request.param]
    with network.peers:
        process = subprocess.Popen(["turnutils_peer", "-L", address], stdout=subprocess.DEVNULL)
    probe = udp_socket((address, 0), network.peers)
    probe.settimeout(0.1)
    for _ in range(100):
        try:
            probe.sendto(b"ready?", (address, 3480))
            probe.recv(16)
            break
        except (TimeoutError, ConnectionRefusedError):
            time.sleep(0.02)
    probe.close()
    yield address
    process.terminate()
    process.wait()


def uclient(network, *arguments: str) -> subprocess.CompletedProcess:
    """Runs coturn's client; once more where it drew the same channel number twice.

    Before its own peer it binds another one, each to a number drawn from 16,384. When they are equal, 400 is the
    answer that RFC 8656 section 12.2 asks for, and the client gives up: some sixty sessions in this suite meet that
    once in a few hundred runs.
    """
    for _ in range(2):
        with network.clients:
            run = subprocess.run(["turnutils_uclient", *arguments], capture_output=True, text=True, timeout=60)
        if "channel bind: error 400" not in run.stdout:
            break
    return run


def expect_no_loss(run: subprocess.CompletedProcess, messages: int) -> None:
    text = run.stdout + run.stderr
    assert run.returncode == 0, text
    # The last such line is the total; those before it are progress.
    sent, received = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)\n", text)[-1]
    assert (int(sent), int(received)) == (messages, messages), text
    assert "Total lost packets 0 (0.000000%), total send dropped 0 (0.000000%)" in text, text


BOUNDED = ["-n", str(MESSAGES), "-l", str(PAYLOAD_BYTES)]
WITH_PASSWORD = ["-u", USER, "-w", PASSWORD]


@pytest.mark.parametrize("server_family", [4, 6])
@pytest.mark.parametrize("flags,sessions", [
    (["-c", "-m", "8"], 8),
    (["-c", "-s", "-m", "4"], 4),
    ([], 2),  # with RTCP: an even port and its reserved sibling
], ids=["channels", "indications", "rtcp"])
def test_uclient_talks_to_a_peer(network, uclient_relay, peer, server_family, flags, sessions):
    family = "-x" if ":" in peer else "-X"
    run = uclient(network, *WITH_PASSWORD, *BOUNDED, *flags, family, "-e", peer, network.RELAY_LISTENERS[server_family])
    expect_no_loss(run, MESSAGES * sessions)


@pytest.mark.parametrize("flags", [["-c"], ["-c", "-s"], [], ["-c", "-x"], ["-c", "-g"]],
                         ids=["channels", "indications", "rtcp", "ipv6", "dont-fragment"])
def test_uclients_talk_to_each_other(network, uclient_relay, flags):
    server = network.RELAY_LISTENERS[6 if "-x" in flags else 4]
    expect_no_loss(uclient(network, *WITH_PASSWORD, *BOUNDED, "-y", "-m", "4", *flags, server), MESSAGES * 4)


def test_uclient_with_time_limited_credentials(network, uclient_relay):
    server = network.RELAY_LISTENERS[4]
    run = uclient(network, "-u", "carol", "-W", SECRET, *BOUNDED, "-c", "-y", "-m", "2", server)
    expect_no_loss(run, MESSAGES * 2)


@pytest.mark.parametrize("credentials", [["-u", USER, "-w", "guess"], ["-u", "carol", "-W", "another secret"]])
def test_uclient_with_wrong_credentials_is_refused(network, uclient_relay, credentials):
    run = uclient(network, *credentials, *BOUNDED, "-c", "-y", network.RELAY_LISTENERS[4])
    assert run.returncode != 0
    assert "Cannot complete Allocation" in run.stdout + run.stderr
    assert "tot_recv_msgs" not in run.stdout


@pytest.mark.parametrize("server_family", [4, 6])
def test_aioice_session_over_relayed_candidates_only(network, relay, server_family):
    with network.clients:
        asyncio.run(ice_session((network.RELAY_LISTENERS[server_family], 3478), network.RELAYS[4]))


async def ice_session(server: tuple[str, int], relay_host: str) -> None:
    """Two agents that may use nothing but the relay send each other datagrams."""
    agents = [
        aioice.Connection(ice_controlling=controlling, turn_server=server, turn_username=USER, turn_password=PASSWORD,
                          transport_policy=aioice.TransportPolicy.RELAY)
        for controlling in (True, False)
    ]
    for agent in agents:
        await agent.gather_candidates()
        assert [(c.type, c.host) for c in agent.local_candidates] == [("relay", relay_host)]
    for agent, other in (agents, agents[::-1]):
        for candidate in other.local_candidates:
            await agent.add_remote_candidate(candidate)
        await agent.add_remote_candidate(None)
        agent.remote_username, agent.remote_password = other.local_username, other.local_password
    async with asyncio.timeout(30):
        await asyncio.gather(*(agent.connect() for agent in agents))
        await asyncio.gather(exchange(*agents), exchange(*agents[::-1]))
        for agent in agents:
            await agent.close()


async def exchange(sender: aioice.Connection, receiver: aioice.Connection) -> None:
    for number in range(200):
        payload = b"%d" % number * (1 + number % 97)
        await sender.send(payload)
        assert await receiver.recv() == payload
