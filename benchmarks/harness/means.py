"""Figures beside traffic: start, idle memory, memory an allocation, allocations a second, stop."""

import subprocess
import time
from dataclasses import asdict, dataclass

from . import accounting, servers, topology
from .bench import Bench, median
from .programs import OUT

SETTLE_SECONDS = 0.5
WARM_SESSIONS = 32


def first_answers(net: topology.Topology, server_ofs: dict, count: int) -> dict[str, float]:
    """Milliseconds from exec to the first Binding answer: medians of `count` starts by server name, taking turns.

    server_ofs: functions that make a Server.
    """
    times: dict[str, list[float]] = {}
    for _ in range(count):
        for name, server_of in server_ofs.items():
            server = server_of()
            command = ["ip", "netns", "exec", net.relay, str(OUT / "first-answer"),
                       f"{topology.SERVER_ADDRESS}:{servers.PORT}",
                       *server.command]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            if done.returncode != 0:
                raise RuntimeError(f"{name}: {done.stderr.strip()}")
            times.setdefault(name, []).append(float(done.stdout.split()[-1]))
    return {name: median(values) for name, values in times.items()}


@dataclass(frozen=True)
class Means:
    idle_resident_bytes: int
    idle_private_dirty_bytes: int
    sessions: int
    private_dirty_bytes_an_allocation: float
    resident_bytes_an_allocation: float
    setups_a_second: float
    setup_cpu_us: float         # of the server's threads, kernel work for its sockets included
    setups_a_second_a_core: float
    retransmissions: int
    authenticated: bool
    stop_ms: float              # from SIGTERM to the end of the process, with all sessions alive

    def as_json(self) -> dict:
        return asdict(self)


def means(net: topology.Topology, server: servers.Server, sessions: int) -> Means:
    """One fresh server: idle memory, then `sessions` authenticated Allocate and ChannelBind, many under way at once.

    A setup is Allocate without credentials (401), Allocate with them, and ChannelBind.
    """
    with Bench(net, server) as bench:
        time.sleep(SETTLE_SECONDS)
        pid = bench.running.pid
        idle = accounting.memory_bytes(pid)
        # The first sessions fault in code and tables that all later ones share.
        bench.generator.allocate(WARM_SESSIONS)
        warm = accounting.memory_bytes(pid)
        before = bench.sample()
        answer = bench.generator.allocate(WARM_SESSIONS + sessions)
        spent = accounting.Spent.between(before, bench.sample())
        time.sleep(SETTLE_SECONDS)
        full = accounting.memory_bytes(pid)
        asked = time.monotonic()
        bench.running.end()
        stop_ms = (time.monotonic() - asked) * 1000
        grown = {name: (full[name] - warm[name]) / sessions for name in full}
    return Means(idle["resident"], idle["private_dirty"], sessions, grown["private_dirty"], grown["resident"],
                 sessions / answer["seconds"], spent.task_ns / sessions / 1000, 1e9 * sessions / spent.task_ns,
                 answer["retransmissions"], answer["authenticated"],
                 stop_ms)
