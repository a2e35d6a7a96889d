"""What a server and its CPU spent: from /proc, in nanoseconds and clock ticks."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

ATTEMPTS = 9
STEAL_COLUMN = 7            # of a line of /proc/stat
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    wall_ns: int
    task_ns: int           # run time of all threads: exact
    receive_ns: int        # run time of the kernel threads that receive for the server: exact
    generator_ns: int      # run time of the generator: exact
    user_ticks: int        # utime and stime: sampled by the tick, good for their proportion only
    system_ticks: int
    machine_busy_ticks: int
    cpu_busy_ticks: int    # of the server's CPUs: everything that is neither idle nor stolen
    steal_ticks: tuple[int, ...]    # of each of the server's CPUs and of the generator's


def of_tasks(pid: int, act: Callable[[int], object]) -> list:
    """What `act` makes of each thread of a process; threads that end meanwhile are left out."""
    made = []
    try:
        tasks = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return made
    for task in tasks:
        try:
            made.append(act(task))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return made


def again_when_tasks_end(act: Callable) -> Callable:
    """Does over what goes through a process's threads, a few times, when one of them ends meanwhile."""
    @wraps(act)
    def persistent(*arguments):
        for _ in range(ATTEMPTS):
            try:
                return act(*arguments)
            except (FileNotFoundError, ProcessLookupError):
                continue
        return act(*arguments)
    return persistent


def run_time_ns(pid: int) -> int:
    return sum(of_tasks(pid, lambda task: int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])))


def sample(pid: int, server_cpus: tuple[int, ...], load_cpu: int, receivers: list[int], generator: int) -> Sample:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpus = {line.split()[0]: [int(v) for v in line.split()[1:]] for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith("cpu")}
    return Sample(time.monotonic_ns(), run_time_ns(pid), sum(map(run_time_ns, receivers)),
                  run_time_ns(generator), int(stat[11]), int(stat[12]), _busy(cpus["cpu"]),
                  sum(_busy(cpus[f"cpu{cpu}"]) for cpu in server_cpus),
                  tuple(cpus[f"cpu{cpu}"][STEAL_COLUMN] for cpu in (*server_cpus, load_cpu)))


def _busy(ticks: list[int]) -> int:
    """Ticks of a line of /proc/stat that are neither idle nor stolen."""
    user, nice, system, _idle, _iowait, irq, softirq = ticks[:STEAL_COLUMN]
    return user + nice + system + irq + softirq


@dataclass(frozen=True)
class Spent:
    """The difference of two samples."""

    seconds: float
    task_ns: int
    receive_ns: int
    other_ns: float         # of all CPUs, neither server nor receive path nor generator; to the tick
    user_share: float       # of the task's time; 0 when nothing was sampled
    cpu_busy_ns: int
    foreign_share: float    # of one CPU: the server's CPUs were neither idle nor busy with it; a little is softirq
    steal_share: float      # of the server's CPUs and the generator's, the largest

    @staticmethod
    def between(a: Sample, b: Sample) -> "Spent":
        wall = b.wall_ns - a.wall_ns
        user, system = b.user_ticks - a.user_ticks, b.system_ticks - a.system_ticks
        steal = max(after - before for before, after in zip(a.steal_ticks, b.steal_ticks))
        task, busy = b.task_ns - a.task_ns, (b.cpu_busy_ticks - a.cpu_busy_ticks) * TICK_NS
        receive = b.receive_ns - a.receive_ns
        accounted = task + receive + b.generator_ns - a.generator_ns
        other = max(0, (b.machine_busy_ticks - a.machine_busy_ticks) * TICK_NS - accounted)
        return Spent(wall / 1e9, task, receive, other, user / (user + system) if user + system else 0.0, busy,
                     max(0.0, (busy - task) / wall), steal * TICK_NS / wall)


def memory_bytes(pid: int) -> dict[str, int]:
    """Resident and private dirty memory of a process: user memory only, the kernel's sockets are not in it."""
    wanted = {"Rss": "resident", "Private_Dirty": "private_dirty", "Anonymous": "anonymous"}
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in wanted:
            found[wanted[name]] = int(rest.split()[0]) * 1024
    return found
