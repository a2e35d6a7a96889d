"""One server under load: started, given its sessions, driven, accounted."""

import statistics
from contextlib import ExitStack
from dataclasses import dataclass

from . import accounting, servers, topology
from .load import Cell, Generator, Trial
from .programs import pinned

SERVER_CPU = 1
# More than this stolen by the host or the neighbours, and a trial says nothing.
STEAL_LIMIT = 0.03
# The same for other programs on the server's CPU; interrupts that are charged to nobody stay well below.
FOREIGN_LIMIT = 0.25
ATTEMPTS = 4


@dataclass(frozen=True)
class Measured:
    trial: Trial
    spent: accounting.Spent

    @property
    def task_ns_per_datagram(self) -> float:
        return self.spent.task_ns / max(1, self.trial.received)

    @property
    def cpu_ns_per_datagram(self) -> float:
        """The server's whole CPU, softirq included."""
        return self.spent.cpu_busy_ns / max(1, self.trial.received)


class Bench:
    """A server and a generator, both pinned; ended with the `with` block."""

    def __init__(self, net: topology.Topology, server: servers.Server):
        self.net, self.server = net, server
        self.stack = ExitStack()

    def __enter__(self) -> "Bench":
        prefix = ("ip", "netns", "exec", self.net.relay, *pinned(SERVER_CPU))
        with ExitStack() as stack:
            self.running = stack.enter_context(servers.Running(self.server, prefix))
            self.generator = stack.enter_context(Generator(self.net))
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exception) -> None:
        self.stack.__exit__(*exception)

    def sample(self) -> accounting.Sample:
        self.running.check()
        return accounting.sample(self.running.pid, SERVER_CPU)

    def drive(self, cell: Cell, rate: float, seconds: float) -> Measured:
        """One trial; again, a few times, while others take the CPU."""
        for _ in range(ATTEMPTS):
            before = self.sample()
            trial = self.generator.run(cell, rate, seconds)
            measured = Measured(trial, accounting.Spent.between(before, self.sample()))
            if trial.corrupted or trial.misdelivered:
                raise RuntimeError(f"{self.server.name}, {cell.name}: {trial.corrupted} datagrams corrupted,"
                                   f" {trial.misdelivered} misdelivered")
            if measured.spent.steal_share < STEAL_LIMIT and measured.spent.foreign_share < FOREIGN_LIMIT:
                break
        return measured


def median(values) -> float:
    return statistics.median(list(values))
