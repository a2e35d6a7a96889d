"""Metrics sent to an OpenTelemetry collector: a small one of our own."""

import dataclasses
import http.server
import json
import pathlib
import shutil
import ssl
import subprocess
import threading
import time

import pytest

from admin import request
from relay import CREDENTIALS, LOOPBACK, run_relayd
from turn_client import TurnClient, udp_socket
from waiting import wait_for_log

FLAGS = [*CREDENTIALS, *LOOPBACK, "--data-plane", "socket", "--http", "127.0.0.1:9090", "--otlp-interval", "1"]
SECONDS = 20


class Collector:
    """Takes `ExportMetricsServiceRequest`s in JSON, and keeps them."""

    def __init__(self, port: int = 4318, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, dict, dict]] = []
        self.status = 200
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(collector.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            def finish_request(self, connection, address) -> None:
                try:
                    super().finish_request(tls.wrap_socket(connection, server_side=True) if tls else connection, address)
                except (ssl.SSLError, ConnectionError) as error:
                    collector.refusals.append(str(error))

        self.refusals: list[str] = []
        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait(self, holds) -> None:
        deadline = time.monotonic() + SECONDS
        while not (self.requests and holds(self.requests[-1][2])):
            assert time.monotonic() < deadline, f"{len(self.requests)} requests, the last {self.requests[-1:]}"
            time.sleep(0.05)


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.stop()


def metrics(body: dict) -> dict[str, dict]:
    (resource,) = body["resourceMetrics"]
    (scope,) = resource["scopeMetrics"]
    return {metric["name"]: metric for metric in scope["metrics"]}


def points(metric: dict) -> list[dict]:
    return (metric.get("sum") or metric["gauge"])["dataPoints"]


def value(body: dict, name: str, **labels: str) -> int:
    wanted = set(labels.items())
    for point in points(metrics(body)[name]):
        if {(one["key"], one["value"]["stringValue"]) for one in point["attributes"]} == wanted:
            return int(point["asInt"])
    raise AssertionError(f"no {name} with {labels}")


def test_a_collector_gets_what_prometheus_reads(start_relay, collector):
    start_relay(*FLAGS, "--otlp-endpoint", "http://127.0.0.1")
    with TurnClient(("127.0.0.1", 3478)) as client, udp_socket(("127.0.0.1", 0)) as peer:
        client.allocate()
        client.bind_channel(0x4000, peer.getsockname())
        for _ in range(3):
            client.send_channel(0x4000, b"12345")
            peer.recv(100)
        labels = {"plane": "socket", "path": "channel", "direction": "to_peer"}
        collector.wait(lambda body: value(body, "relayd_relayed_bytes_total", **labels) == 15)
    path, headers, body = collector.requests[-1]
    assert path == "/v1/metrics" and headers["Content-Type"] == "application/json"
    page = request("GET", "/metrics")[1]
    kinds = {line.split()[2]: line.split()[3] for line in page.splitlines() if line.startswith("# TYPE ")}
    sent = metrics(body)
    assert {name: "counter" if "sum" in metric else "gauge" for name, metric in sent.items()} == kinds
    helps = {line.split(maxsplit=3)[2]: line.split(maxsplit=3)[3] for line in page.splitlines()
             if line.startswith("# HELP ")}
    assert {name: metric["description"] for name, metric in sent.items()} == helps
    assert value(body, "relayd_allocations") == 1
    attributes = {one["key"]: one["value"]["stringValue"] for one in body["resourceMetrics"][0]["resource"]["attributes"]}
    assert attributes["service.name"] == "relayd" and attributes["service.instance.id"]
    for metric in sent.values():
        for point in points(metric):
            assert abs(int(point["timeUnixNano"]) / 1e9 - time.time()) < 60
            if "sum" in metric:
                assert int(point["startTimeUnixNano"]) <= int(point["timeUnixNano"])


def test_a_collector_that_is_away_is_told_of_once(start_relay):
    relay = start_relay(*FLAGS, "--otlp-endpoint", "http://127.0.0.1:4318")
    wait_for_log(relay, "metrics not delivered")
    time.sleep(2.5)
    assert relay.log().count("metrics not delivered") == 1, relay.log()
    collector = Collector()
    try:
        collector.wait(lambda body: value(body, "relayd_workers") >= 1)
        wait_for_log(relay, "metrics delivered again")
        collector.status = 404
        wait_for_log(relay, "answered 404")
        assert relay.log().count("metrics not delivered") == 2
    finally:
        collector.stop()


# https


@dataclasses.dataclass(frozen=True)
class Authority:
    """Certificates of an authority of our own."""

    folder: pathlib.Path

    @property
    def file(self) -> pathlib.Path:
        return self.folder / "ca.pem"

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr

    def make(self) -> "Authority":
        self.folder.mkdir()
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                      "/CN=relayd test authority", "-keyout", "ca.key", "-out", "ca.pem")
        return self

    def context(self, *, names: str, days: int = 2) -> ssl.SSLContext:
        """A server's, with a certificate for these (`IP:127.0.0.1,DNS:localhost`)."""
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=collector",
                      "-keyout", "server.key", "-out", "server.csr")
        (self.folder / "names").write_text(f"subjectAltName={names}\n")
        self._openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                      str(days), "-extfile", "names", "-out", "server.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context


@pytest.fixture
def authority(tmp_path) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates: install Debian's package")
    return Authority(tmp_path / "authority").make()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_collector_behind_tls_is_believed_by_its_certificate(start_relay, authority, host):
    collector = Collector(tls=authority.context(names="IP:127.0.0.1,DNS:localhost"))
    try:
        relay = start_relay(*FLAGS, "--otlp-endpoint", f"https://{host}", "--otlp-ca-file", str(authority.file))
        collector.wait(lambda body: value(body, "relayd_workers") >= 1)
        assert collector.requests[-1][1]["Host"] == f"{host}:4318"
        assert not collector.refusals and "not delivered" not in relay.log()
    finally:
        collector.stop()


@pytest.mark.parametrize("names, days, authorities, reason", [
    ("IP:127.0.0.1", 2, "none", "no authority that is trusted here vouches for its certificate"),
    ("IP:127.0.0.1", 2, "another", "no authority that is trusted here vouches for its certificate"),
    ("IP:127.0.0.1", -1, "its own", "or that has run out"),
    ("IP:127.0.0.2", 2, "its own", "its certificate is for another name"),
    ("DNS:localhost", 2, "its own", "its certificate is for another name"),
])
def test_a_collector_that_cannot_be_believed_gets_nothing(
        start_relay, authority, tmp_path, names, days, authorities, reason):
    collector = Collector(tls=authority.context(names=names, days=days))
    try:
        file = {"its own": authority, "another": Authority(tmp_path / "another").make() if authorities == "another" else None}
        flags = ["--otlp-ca-file", str(file[authorities].file)] if authorities != "none" else []
        relay = start_relay(*FLAGS, "--otlp-endpoint", "https://127.0.0.1", *flags)
        wait_for_log(relay, "metrics not delivered")
        assert reason in relay.log(), relay.log()
        assert not collector.requests
    finally:
        collector.stop()


def test_a_collector_without_tls_gets_nothing_by_https(start_relay, collector):
    relay = start_relay(*FLAGS, "--otlp-endpoint", "https://127.0.0.1")
    wait_for_log(relay, "metrics not delivered")
    assert "it does not speak TLS" in relay.log() and not collector.requests, relay.log()


def test_a_file_without_certificates_is_told_of(tmp_path):
    file = tmp_path / "ca.pem"
    for text, reason in (("nothing", "has no certificate in it"),
                         ("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n", "give certificates in PEM")):
        file.write_text(text)
        run = run_relayd(*CREDENTIALS, *LOOPBACK, "--otlp-endpoint", "https://c.example", "--otlp-ca-file", str(file))
        assert run.returncode == 78 and "otlp-ca-file: " in run.stderr and reason in run.stderr, run
    run = run_relayd(*CREDENTIALS, *LOOPBACK, "--otlp-endpoint", "https://c.example", "--otlp-ca-file", "/nonexistent")
    assert run.returncode == 78 and "/nonexistent cannot be read" in run.stderr, run
