"""Who may administer a running relay, and how."""

import json
import os
import stat
import subprocess
import tempfile

import pytest

from admin import HTTP, connect, request
from privileges import NOBODY, as_nobody
from relay import BINARY, CREDENTIALS, LOOPBACK, environment, run_relayd
from waiting import eventually

LOCAL = [*CREDENTIALS, *LOOPBACK, "--data-plane", "socket"]
PLANE = {"plane": "socket"}


def test_health_and_metrics_are_for_everybody(start_relay):
    start_relay(*LOCAL, "--http", "127.0.0.1:9090")
    for path in ("/healthz", "/readyz", "/metrics"):
        assert request("GET", path, headers={"Host": "relay.example"})[0] == 200
        assert request("POST", path, {})[0] == 405
    assert request("GET", "/nothing")[0] == 404
    assert request("REPORT", "/" + "x" * 500)[0] == 404
    text = request("GET", "/metrics")[1]
    assert 'relayd_administration_requests_total{method="POST",path="/readyz",status="405"} 1\n' in text
    assert 'relayd_administration_requests_total{method="GET",path="other",status="404"} 1\n' in text
    assert 'relayd_administration_requests_total{method="other",path="other",status="404"} 1\n' in text


def test_without_a_token_only_this_host_administers(start_relay):
    start_relay(*LOCAL, "--http", "127.0.0.1:9090")
    assert request("GET", "/status")[0] == 200
    assert request("POST", "/plane", PLANE)[0] == 200
    assert request("GET", "/plane")[0] == 405
    # What a page in a browser of this host can send.
    assert request("GET", "/status", headers={"Host": "rebound.example:9090"})[0] == 403
    assert request("POST", "/plane", PLANE, headers={"Content-Type": "text/plain"})[0] == 415


def test_off_loopback_a_token_is_needed(start_relay, tmp_path):
    start_relay(*LOCAL, "--http", "0.0.0.0:9090")
    code, text = request("POST", "/plane", PLANE)
    assert code == 403 and "--http-token-file" in text
    assert request("GET", "/status")[0] == 403
    assert request("GET", "/healthz")[0] == 200


def test_with_a_token_nobody_administers_without_it(start_relay, tmp_path):
    token = tmp_path / "token"
    token.write_text("open-sesame\n")
    token.chmod(0o600)
    start_relay(*LOCAL, "--http", "0.0.0.0:9090", "--http-token-file", str(token))
    for headers in ({}, {"Authorization": "Bearer open-sesam"}, {"Authorization": "Bearer open-sesame2"},
                    {"Authorization": "Basic open-sesame"}):
        code, text = request("GET", "/status", headers=headers)
        assert code == 401 and "open-sesame" not in text
    assert request("GET", "/status", headers={"Authorization": "Bearer open-sesame"})[0] == 200
    run = run_relayd("status", "--http", "127.0.0.1:9090", "--http-token-file", str(token))
    assert run.returncode == 0 and "socket" in run.stdout, run


@pytest.mark.parametrize("body", ["", "{", "[]", '{"plane":7}', '{"plain":"socket"}'])
def test_a_body_that_is_no_request_is_told_so(start_relay, body):
    relay = start_relay(*LOCAL, "--http", "127.0.0.1:9090")
    connection = connect(HTTP)
    connection.request("POST", "/plane", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert (response.status, "io-uring" in response.read().decode()) == (400, True)
    connection.close()
    assert relay.is_running()


def test_the_unix_socket_is_for_its_user_and_group(start_relay, tmp_path):
    path = tmp_path / "admin.sock"
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    relay = start_relay(*LOCAL, "--admin-socket", str(path))
    assert json.loads(request("GET", "/status", at=str(path))[1])["plane"]["name"] == "socket"
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    run = run_relayd("plane", "io-uring", "--admin-socket", str(path))
    assert (run.returncode, run.stdout.split(":")[0]) == (0, "io-uring"), run
    shown = json.loads(run_relayd("status", "--json", "--admin-socket", str(path)).stdout)
    assert shown["plane"]["workers"] == {"io-uring": shown["workers"]}
    if os.geteuid() == 0:
        stranger = run_relayd("status", "--admin-socket", str(path), wrapper=as_nobody())
        assert stranger.returncode == 69 and "Permission denied" in stranger.stderr, stranger
    relay.stop()
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="being two users needs root")
def test_root_asks_the_relay_of_another_user(start_relay):
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        os.chmod(folder, 0o700)
        path = os.path.join(folder, "admin.sock")
        start_relay(*LOCAL, "--admin-socket", path, wrapper=as_nobody())
        eventually(lambda: os.path.exists(path))
        for command in ("status", "sessions", "log-level", "reload"):
            asked = run_relayd(command, "--admin-socket", path)
            assert asked.returncode == 0, asked.stderr


def test_a_socket_that_was_left_behind_is_taken_over_and_a_living_one_is_not(start_relay, tmp_path):
    path = tmp_path / "admin.sock"
    relay = start_relay(*LOCAL, "--admin-socket", str(path))
    assert request("GET", "/status", at=str(path))[0] == 200
    other = subprocess.run([str(BINARY), *CREDENTIALS, "--listen", "127.0.0.1:4000", "--relay-address", "127.0.0.1",
                            "--admin-socket", str(path)], capture_output=True, text=True, timeout=20, env=environment())
    assert other.returncode == 69 and "another relay answers there" in other.stderr, other
    assert request("GET", "/status", at=str(path))[0] == 200
    relay.process.kill()
    relay.process.wait()
    assert path.exists()
    start_relay(*LOCAL, "--admin-socket", str(path))
    assert request("GET", "/status", at=str(path))[0] == 200


def test_no_relay_is_said_with_its_mend(tmp_path):
    run = run_relayd("status", "--admin-socket", str(tmp_path / "nothing"))
    assert run.returncode == 69
    assert "no relay answers" in run.stderr and "--admin-socket" in run.stderr
