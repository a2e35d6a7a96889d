"""Metrics sent to an OpenTelemetry collector: a small one of our own."""

import http.server
import json
import threading
import time

import pytest

from admin import request
from relay import CREDENTIALS, LOOPBACK, run_relayd
from turn_client import TurnClient, udp_socket

FLAGS = [*CREDENTIALS, *LOOPBACK, "--data-plane", "socket", "--http", "127.0.0.1:9090", "--otlp-interval", "1"]
SECONDS = 20


class Collector:
    """Takes `ExportMetricsServiceRequest`s in JSON, and keeps them."""

    def __init__(self, port: int = 4318) -> None:
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

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
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
    deadline = time.monotonic() + SECONDS
    while "metrics not delivered" not in relay.log() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2.5)
    assert relay.log().count("metrics not delivered") == 1, relay.log()
    collector = Collector()
    try:
        collector.wait(lambda body: value(body, "relayd_workers") >= 1)
        deadline = time.monotonic() + SECONDS
        while "metrics delivered again" not in relay.log() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "metrics delivered again" in relay.log()
        collector.status = 404
        while relay.log().count("metrics not delivered") == 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "answered 404" in relay.log()
    finally:
        collector.stop()


def test_https_is_refused_with_its_mend(tmp_path):
    run = run_relayd(*CREDENTIALS, *LOOPBACK, "--otlp-endpoint", "https://collector.example")
    assert run.returncode == 78 and "collector on this host" in run.stderr, run
