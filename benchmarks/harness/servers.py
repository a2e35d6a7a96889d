"""The servers that can be measured: how each is started so that all do the same work with the same means."""

import os
import resource
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from . import accounting, programs, topology
from .cells import DIRECTIONS
from .programs import OUT, ROOT

USER, PASSWORD, REALM = "bench", "bench-password", "bench"
PORT = 3478
RELAY_PORTS = (20000, 60000)
# Socket buffers where a server lets them be set: coturn asks for much and gets the system's limit.
BUFFER_BYTES = 4 << 20
# Of the XDP plane: more than the largest cell has.
ROUTES = 32_768


@dataclass(frozen=True)
class Server:
    name: str
    command: tuple[str, ...]
    version: str
    links: tuple[str, ...] = ("frames", "whole")
    directions: tuple[str, ...] = DIRECTIONS
    nics: int = 2
    echoes: bool = False        # sends back what it gets and knows no sessions
    drops: bool = False         # counts what arrives there: nothing comes back
    relays: bool = True         # a TURN server, with start, memory and setups to measure
    takes_all_cpus: bool = False    # but the generator's
    checks_options: bool = False    # its command has `check` beside `run`

    @property
    def available(self) -> bool:
        return shutil.which(self.command[0]) is not None


@cache
def version_of(binary: str) -> str:
    if not shutil.which(binary):
        return ""
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10)
    words = [line for line in done.stdout.splitlines() if line.strip()]
    return words[-1].split()[-1] if words else ""


@cache
def build_of(binary: str) -> str:
    """Version and build: two builds of one version are not the same server."""
    if not Path(binary).is_file():
        return ""
    return f"{version_of(binary)}, SHA-256 {programs.digest(Path(binary))}"


def made_here(*names: str) -> str:
    """The version of what is built from this folder."""
    return f"of this repository, SHA-256 {programs.digest(*(OUT / name for name in names))}"


def coturn(relay: str = topology.SERVER_ADDRESS, threads: int = 1) -> Server:
    binary = "turnserver"
    command = (
        binary, "-n", "--listening-ip", topology.SERVER_ADDRESS, "--relay-ip", relay, "--listening-port", str(PORT),
        "--relay-threads", str(threads), "--lt-cred-mech", "--user", f"{USER}:{PASSWORD}", "--realm", REALM,
        "--min-port", str(RELAY_PORTS[0]), "--max-port", str(RELAY_PORTS[1]),
        "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--no-tcp-relay", "--no-rfc5780", "--no-software-attribute",
        "--allow-loopback-peers", "--log-file", "/dev/null", "--no-stdout-log",
        "--db", str(OUT / "no-database"), "--pidfile", str(OUT / f"coturn-{os.getpid()}.pid"),
    )
    return Server(f"coturn-{threads}", command, build_of(shutil.which(binary) or ""), takes_all_cpus=threads > 1)


def reference(relay: str = topology.SERVER_ADDRESS, *options: str) -> Server:
    command = (
        str(OUT / "reference"), "--listen", f"{topology.SERVER_ADDRESS}:{PORT}", "--relay", relay,
        "--ports", "{}-{}".format(*RELAY_PORTS), "--buffer", str(BUFFER_BYTES), *options,
    )
    return Server("-".join(["reference", *(o.removeprefix("--") for o in options)]), command, made_here("reference"))


def swap(relay: str = topology.SERVER_ADDRESS, program: str = "swap_transmit") -> Server:
    command = (str(OUT / "reference-xdp"), str(OUT / "swap.bpf.o"), program, "relay0")
    return Server(f"reference-xdp-{program}", command, made_here("reference-xdp", "swap.bpf.o"), ("frames",), ("up",), nics=1, echoes=True,
                  drops=program == "drop", relays=False)


def named(name: str, text: str):
    """A function that makes any TURN server from its command line, in which words in braces stand for what it is told."""
    def made(relay: str = topology.SERVER_ADDRESS) -> Server:
        told = {"address": topology.SERVER_ADDRESS, "port": str(PORT), "relay": relay, "user": USER, "password": PASSWORD,
                "realm": REALM, "first-port": str(RELAY_PORTS[0]), "last-port": str(RELAY_PORTS[1])}
        words = shlex.split(text)
        for word, value in told.items():
            words = [one.replace("{" + word + "}", value) for one in words]
        digest = programs.digest(Path(shutil.which(words[0]) or ""))
        # Where it is not told of a second address, it is measured on one interface only.
        return Server(name, tuple(words), f"SHA-256 {digest}, `{text}`", nics=2 if "{relay}" in text else 1)
    return made


def relayd(relay: str = topology.SERVER_ADDRESS, *options: str, plane: str = "socket", workers: int = 1,
           variable: str = "RELAYD_BINARY", name: str = "") -> Server:
    binary = os.environ.get(variable, str(ROOT / ".build/release/relayd"))
    command = (
        binary, "run", "--data-plane", plane, "--workers", str(workers),
        "--listen", f"{topology.SERVER_ADDRESS}:{PORT}", "--relay-address", relay,
        "--relay-ports", "{}-{}".format(*RELAY_PORTS), "--realm", REALM,
        "--user", f"{USER}:{PASSWORD}", "--allow-peer", topology.BENCHMARK_RANGE, "--allocations-per-user", "0",
        "--unauthenticated-rate", "0", "--receive-buffer", str(BUFFER_BYTES), "--send-buffer", str(BUFFER_BYTES),
        "--log-level", "error", *options,
    )
    return Server(name or f"relayd-{plane}", command, build_of(binary),
                  ("frames",) if plane == "xdp" else ("frames", "whole"), checks_options=True)


def relayd_xdp(relay: str, slow_path: str, name: str) -> Server:
    return relayd(relay, "--xdp-routes", str(ROUTES), "--xdp-slow-path", slow_path, plane="xdp", name=name)


def relayd_ring(relay: str, feature: str) -> Server:
    """The io_uring plane with one of its optional features."""
    return relayd(relay, "--io-uring-features", feature, plane="io-uring", name=f"relayd-io-uring-{feature}")


# Functions from the relay's address towards peers to a Server.
BY_NAME = {
    "coturn": coturn,
    # As many threads as cores, and never the same as `coturn`.
    "coturn-cores": lambda relay=topology.SERVER_ADDRESS: coturn(relay, max(2, os.cpu_count() or 2)),
    "reference": reference,
    "reference-no-gso": lambda relay=topology.SERVER_ADDRESS: reference(relay, "--no-gro", "--no-gso"),
    "reference-connected": lambda relay=topology.SERVER_ADDRESS: reference(relay, "--connected"),
    "reference-xdp": swap,
    "reference-xdp-drop": lambda relay=topology.SERVER_ADDRESS: swap(relay, "drop"),
    "reference-xdp-redirect": lambda relay=topology.SERVER_ADDRESS: swap(relay, "swap_redirect"),
    "relayd-before": lambda relay=topology.SERVER_ADDRESS: relayd(
        relay, variable="RELAYD_BEFORE", name="relayd-before"),
    "relayd": relayd,
    "relayd-io-uring": lambda relay=topology.SERVER_ADDRESS: relayd(relay, plane="io-uring"),
    "relayd-io-uring-no-gso": lambda relay=topology.SERVER_ADDRESS: relayd(
        relay, "--offloads", "gro", "--offloads", "raw", plane="io-uring", name="relayd-io-uring-no-gso"),
    "relayd-io-uring-no-raw": lambda relay=topology.SERVER_ADDRESS: relayd(
        relay, "--offloads", "gro", "--offloads", "gso", plane="io-uring", name="relayd-io-uring-no-raw"),
    "relayd-io-uring-sqpoll": lambda relay=topology.SERVER_ADDRESS: relayd_ring(relay, "sqpoll"),
    "relayd-io-uring-napi": lambda relay=topology.SERVER_ADDRESS: relayd_ring(relay, "napi"),
    "relayd-io-uring-zero-copy": lambda relay=topology.SERVER_ADDRESS: relayd_ring(relay, "zero-copy"),
    "relayd-xdp": lambda relay=topology.SERVER_ADDRESS: relayd_xdp(relay, "socket", "relayd-xdp"),
    "relayd-xdp-io-uring": lambda relay=topology.SERVER_ADDRESS: relayd_xdp(relay, "io-uring", "relayd-xdp-io-uring"),
}


def refusal(server: Server) -> str:
    """Why a server cannot be measured here; empty when it can."""
    if not server.available:
        return f"{server.command[0]} is not there"
    if server.checks_options:
        # relayd's own check names an option that this version lacks.
        done = subprocess.run([server.command[0], "check", *server.command[2:]], capture_output=True, text=True,
                              timeout=10)
        if done.returncode != 0:
            return " ".join((done.stderr or done.stdout).split())[:300]
    return ""


class Running:
    """A started server, ended with the `with` block, by its own pid."""

    STOP_SECONDS = 3.0

    def __init__(self, server: Server, prefix: tuple[str, ...] = ()):
        self.server = server
        log = Path(OUT / "logs" / f"{server.name}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [*prefix, *server.command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                preexec_fn=_raise_file_limit)
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def check(self) -> None:
        """Raises when the server has ended by itself."""
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
            raise RuntimeError(f"{self.server.name} ended with {self.process.returncode}:\n{tail}")

    def __enter__(self) -> "Running":
        try:
            time.sleep(0.3)
            self.check()
            # Some runtimes give their threads a niceness of their own; all servers shall have the one of the process.
            niceness = os.getpriority(os.PRIO_PROCESS, self.pid)
            accounting.of_tasks(self.pid, lambda task: os.setpriority(os.PRIO_PROCESS, task, niceness))
        except BaseException:
            # Without this block being entered nobody leaves it.
            self.end()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.end()

    def end(self) -> None:
        """SIGTERM, and what it takes after that; once ended, nothing."""
        self.process.terminate()
        try:
            self.process.wait(self.STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _raise_file_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
