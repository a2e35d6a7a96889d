"""relayd as a process: started with flags, awaited, watched and stopped."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext

from namespaces import Namespace
from stun import REQUEST, SUCCESS, Message, Method, decode, type_of_address

BINARY = pathlib.Path(os.environ.get("RELAYD_BINARY", ".build/release/relayd")).resolve()
USER, PASSWORD = "alice", "wonderland"
CREDENTIALS = ["--realm", "relayd.test", "--user", f"{USER}:{PASSWORD}"]
LOOPBACK = ["--listen", "127.0.0.1:3478", "--listen", "[::1]:3478", "--relay-address", "127.0.0.1",
            "--relay-address", "::1", "--allow-peer", "127.0.0.0/8",
            # Its own addresses are open to peers only where they are named.
            "--allow-peer", "127.0.0.1", "--allow-peer", "::1"]
START_SECONDS = 10


def environment() -> dict[str, str]:
    """This process's environment without options for relayd."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RELAYD_")}


def run_relayd(*arguments: str, seconds: float = START_SECONDS, **more) -> subprocess.CompletedProcess:
    """Runs a command of relayd that ends by itself; `wrapper` as for a relay."""
    return subprocess.run([*(more.pop("wrapper", ()) or [str(BINARY)]), *arguments], capture_output=True, text=True, timeout=seconds,
                          env=environment() | more.pop("env", {}), **more)


class Relay:
    """A running relayd. The flags say everything: nothing is added to them.

    `prepare` is run in the new process before it becomes relayd; `wrapper` is a command that becomes relayd, which it
    names last.
    """

    def __init__(self, *flags: str, namespace: Namespace | None = None, ready_at: type_of_address | None = None,
                 prepare: Callable[[], None] | None = None, wrapper=()) -> None:
        self.namespace = namespace
        self.address = ready_at or ("127.0.0.1", 3478)
        self._log = tempfile.NamedTemporaryFile(prefix="relayd-", suffix=".log")
        self._output = tempfile.NamedTemporaryFile(prefix="relayd-", suffix=".out")
        with namespace or nullcontext():
            self.process = subprocess.Popen([*(wrapper or [str(BINARY)]), *flags], stdout=self._output, stderr=self._log,
                                            env=environment(), preexec_fn=prepare)
        self.pid = self.process.pid
        try:
            self._await_binding_answer()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _await_binding_answer(self) -> None:
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        deadline = time.monotonic() + START_SECONDS
        with self.namespace or nullcontext():
            probe = socket.socket(family, socket.SOCK_DGRAM)
        with probe:
            probe.settimeout(0.002)
            while time.monotonic() < deadline:
                assert self.process.poll() is None, f"relayd ended with {self.process.returncode}:\n{self.log()}"
                try:
                    probe.sendto(Message(REQUEST, Method.BINDING).encode(), self.address)
                    if decode(probe.recv(2048)).message_class == SUCCESS:
                        return
                except (TimeoutError, ConnectionRefusedError):
                    continue
        raise AssertionError(f"no answer to a Binding request in {START_SECONDS} s:\n{self.log()}")

    # What can be seen from outside

    def log(self) -> str:
        return pathlib.Path(self._log.name).read_text(errors="replace")

    def output(self) -> str:
        return pathlib.Path(self._output.name).read_text(errors="replace")

    def resident_kib(self) -> int:
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # The end

    def stop(self) -> float:
        """Asks it to stop, and returns how many seconds it took. A bad end or an error in its log is a failure."""
        asked = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"relayd did not stop:\n{self.log()}") from None
        seconds = time.monotonic() - asked
        assert status == 0, f"relayd ended with {status}:\n{self.log()[-4000:]}"
        errors = [line for line in self.log().splitlines() if is_error(line)]
        assert not errors, "relayd logged errors:\n" + "\n".join(errors[:20])
        return seconds

    def is_running(self) -> bool:
        return self.process.poll() is None


def is_error(line: str) -> bool:
    """Whether a line of the log, text (`time level event fields...`) or JSON, tells of an error; any other text does."""
    harmless = ("trace", "debug", "info", "notice", "warning")
    if line.startswith("{"):
        return json.loads(line)["level"] not in harmless
    words = line.split(maxsplit=2)
    return len(words) < 2 or words[1] not in harmless
