"""The servers that can be measured: how each is started so that all do the same work with the same means."""

import os
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import topology
from .programs import OUT, ROOT

USER, PASSWORD, REALM = "bench", "bench-password", "bench"
PORT = 3478
RELAY_PORTS = (20000, 60000)
# Socket buffers where a server lets them be set: coturn asks for much and gets the system's limit.
BUFFER_BYTES = 4 << 20


@dataclass(frozen=True)
class Server:
    name: str
    command: tuple[str, ...]
    version: str
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def available(self) -> bool:
        return shutil.which(self.command[0]) is not None


def coturn(address: str = topology.SERVER_ADDRESS, threads: int = 1) -> Server:
    binary = "turnserver"
    version = ""
    if shutil.which(binary):
        version = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10).stdout.split()[-1]
    command = (
        binary, "-n", "--listening-ip", address, "--relay-ip", address, "--listening-port", str(PORT),
        "--relay-threads", str(threads), "--lt-cred-mech", "--user", f"{USER}:{PASSWORD}", "--realm", REALM,
        "--min-port", str(RELAY_PORTS[0]), "--max-port", str(RELAY_PORTS[1]),
        "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--no-tcp-relay", "--no-rfc5780", "--no-software-attribute",
        "--allow-loopback-peers", "--log-file", "/dev/null", "--no-stdout-log",
        "--db", str(OUT / "no-database"), "--pidfile", str(OUT / f"coturn-{os.getpid()}.pid"),
    )
    return Server(f"coturn-{threads}", command, version)


def reference(address: str = topology.SERVER_ADDRESS, *options: str) -> Server:
    command = (
        str(OUT / "reference"), "--listen", f"{address}:{PORT}", "--relay", address,
        "--ports", "{}-{}".format(*RELAY_PORTS), "--buffer", str(BUFFER_BYTES), *options,
    )
    return Server("-".join(["reference", *(o.removeprefix("--") for o in options)]), command, "of this repository")


def relayd(address: str = topology.SERVER_ADDRESS, plane: str = "socket", workers: int = 1,
           variable: str = "RELAYD_BINARY", name: str = "") -> Server:
    binary = os.environ.get(variable, str(ROOT / ".build/release/relayd"))
    version = ""
    if shutil.which(binary):
        version = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10).stdout.strip()
    command = (
        binary, "run", "--data-plane", plane, "--workers", str(workers), "--listen", f"{address}:{PORT}",
        "--relay-address", address, "--relay-ports", "{}-{}".format(*RELAY_PORTS), "--realm", REALM,
        "--user", f"{USER}:{PASSWORD}", "--allow-peer", topology.BENCHMARK_RANGE, "--allocations-per-user", "0",
        "--unauthenticated-rate", "0", "--receive-buffer", str(BUFFER_BYTES), "--send-buffer", str(BUFFER_BYTES),
        "--log-level", "error",
    )
    return Server(name or f"relayd-{plane}", command, version.splitlines()[0] if version else "")


BY_NAME = {
    "coturn": coturn,
    "coturn-2": lambda: coturn(threads=2),
    "reference": reference,
    "reference-no-gso": lambda: reference(topology.SERVER_ADDRESS, "--no-gro", "--no-gso"),
    "reference-connected": lambda: reference(topology.SERVER_ADDRESS, "--connected"),
    "relayd-before": lambda: relayd(variable="RELAYD_BEFORE", name="relayd-before"),
    "relayd": relayd,
    "relayd-io-uring": lambda: relayd(plane="io-uring"),
}


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
                env={**os.environ, **dict(server.environment)}, preexec_fn=_raise_file_limit)
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
        time.sleep(0.3)
        self.check()
        # Some runtimes give their threads a niceness of their own; all servers shall have the one of the process.
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), os.getpriority(os.PRIO_PROCESS, self.pid))
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
