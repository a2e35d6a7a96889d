"""One server under load: started, given its sessions, driven, accounted."""

import os
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import accounting, servers, topology
from .cells import Cell
from .load import Generator, Trial
from .programs import pinned

SERVER_CPU = 1
# More than this stolen by the host or the neighbours, and a trial says nothing.
STEAL_LIMIT = 0.03
# The same for other programs on the server's CPU; interrupts that are charged to nobody stay well below.
FOREIGN_LIMIT = 0.25
# Below this share of its CPU a server's own threads do not matter: its packets are relayed elsewhere.
IDLE_SHARE = 0.1
ATTEMPTS = 4


class Misbehaviour(RuntimeError):
    """A server delivered what it should not have: its figures are worth nothing."""

    def __init__(self, server: str, what: str, trial: Trial):
        super().__init__(f"{server}, {what}: {trial.corrupted} datagrams corrupted, {trial.misdelivered} misdelivered")
        self.trial = trial


@dataclass(frozen=True)
class Measured:
    trial: Trial
    spent: accounting.Spent

    @property
    def task_ns_per_datagram(self) -> float:
        """Of the server's threads."""
        return self.spent.task_ns / max(1, self.trial.received)

    @property
    def receive_ns_per_datagram(self) -> float:
        """Of the kernel's threads that receive for it; 0 on the link "whole", where the sender carries that."""
        return self.spent.receive_ns / max(1, self.trial.received)

    @property
    def cpu_ns_per_datagram(self) -> float:
        """All that the relay costs the machine: on the link "frames" its threads and the receive path with its XDP
        program, on "whole" everything that the server's CPU did, softirq included."""
        if self.spent.receive_ns:
            return self.task_ns_per_datagram + self.receive_ns_per_datagram
        return self.spent.cpu_busy_ns / max(1, self.trial.received)

    @property
    def other_ns_per_datagram(self) -> float:
        """What all CPUs did besides, without the generator: to a tick's precision. 0 where nothing else ran."""
        return self.spent.other_ns / max(1, self.trial.received)


class Bench:
    """A server and a generator, both pinned; ended with the `with` block."""

    def __init__(self, net: topology.Topology, server: servers.Server):
        self.net, self.server = net, server
        self.stack = ExitStack()

    def __enter__(self) -> "Bench":
        prefix = ("ip", "netns", "exec", self.net.relay, *pinned(*self.cpus))
        with ExitStack() as stack:
            self.running = stack.enter_context(servers.Running(self.server, prefix))
            self.generator = stack.enter_context(Generator(self.net))
            self.stack = stack.pop_all()
        return self

    @property
    def cpus(self) -> tuple[int, ...]:
        """Where the server runs: one CPU, or all that the generator leaves, which of two is one as well."""
        return tuple(range(SERVER_CPU, os.cpu_count() or 2)) if self.server.takes_all_cpus else (SERVER_CPU,)

    def __exit__(self, *exception) -> None:
        self.stack.__exit__(*exception)

    def sample(self) -> accounting.Sample:
        self.running.check()
        return accounting.sample(self.running.pid, self.cpus, topology.LOAD_CPU, self.net.receivers,
                                 self.generator.process.pid)

    def prepare(self, cell: Cell) -> None:
        self.generator.prepare(self.server, cell)

    @accounting.again_when_tasks_end
    def make_urgent(self) -> None:
        """From now on the server runs before everything else on its CPU: else its delay is that of its neighbours."""
        for task in Path(f"/proc/{self.running.pid}/task").iterdir():
            # A polling thread of io_uring gives its CPU to nobody of lower priority, the generator included.
            if (task / "comm").read_text().startswith("iou-sqp"):
                continue
            os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(topology.RECEIVE_PRIORITY))

    def drive(self, cell: Cell, rate: float, seconds: float, stamps: bool = False) -> Measured:
        """One trial; again, a few times, while others take the CPU."""
        return self.attempt(lambda: self.generator.run(cell, rate, seconds, stamps, self.server.echoes), cell.name)

    def attempt(self, run: Callable[[], Trial], what: str) -> Measured:
        for _ in range(ATTEMPTS):
            self.generator.refresh()
            before = self.sample()
            trial = run()
            measured = Measured(trial, accounting.Spent.between(before, self.sample()))
            if trial.corrupted or trial.misdelivered:
                raise Misbehaviour(self.server.name, what, trial)
            if measured.spent.steal_share < STEAL_LIMIT and not is_disturbed(measured.spent):
                break
        return measured


def is_loaded(spent: accounting.Spent) -> bool:
    """Whether the server's own threads needed their CPU."""
    return spent.task_ns > IDLE_SHARE * spent.seconds * 1e9


def is_disturbed(spent: accounting.Spent) -> bool:
    """Whether other programs took much of a CPU that the server needed."""
    return is_loaded(spent) and spent.foreign_share >= FOREIGN_LIMIT


def median(values) -> float:
    return statistics.median(list(values))
