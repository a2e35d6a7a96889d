"""Which steps a run has, in which order."""

from collections.abc import Callable

from . import calls, chain, check, duel, features, growth, means, search, servers, stages, topology
from .bench import SERVER_CPU, Bench
from .cells import BASE, Cell
from .progress import Step

PARTS = ("check", "chain", "start", "means", "cells", "duels", "features", "calls", "stages", "growth")
# What `make bench` does not take the time for.
ONLY_ON_DEMAND = ("growth", "duels")
# Userspace planes of relayd, which differ by a few per cent.
PLANES_COMPARED = ("relayd", "relayd-io-uring")
MANY_SOCKETS = Cell.parse("down/172/1/4000")
# Beside the base cell: what more threads do shows in few cells. Whoever names servers or cells gets all of them.
FEW_CELLS = {"coturn-cores": [Cell.parse(name) for name in ("up/172/1/1000", "up/1200/16/64")]}
CHAIN_SERVERS = ("reference-xdp-drop", "reference-xdp", "reference-xdp-redirect", "relayd-xdp", "relayd-xdp-io-uring")
GROWTH_SESSIONS = (10, 10_000)
# With few sessions a full batch holds several datagrams of each: sizes that differ keep them apart, or GSO would make
# few sessions cheaper than the code is.
GROWTH_SPREAD = 16
# Below every server's limit, and above: there the batches are full.
GROWTH_LOADS = {"half": 60_000, "full": 400_000}


def measure_cell(server_of: Callable, cell: Cell, given) -> dict:
    with topology.Topology(cell.link, cell.nics, given.segmentation) as net:
        with Bench(net, server_of(net.relay_address)) as bench:
            bench.prepare(cell)
            found = search.largest_rate(bench, cell, given.seconds, given.precision)
    if found.generator_limited and not found.server_loaded and cell.link == "frames":
        # The generator can only offer more than an XDP relay takes where they do not share a CPU. A server with threads
        # of its own needs the other CPU itself.
        with topology.Topology(cell.link, cell.nics, receive_cpu=SERVER_CPU) as net:
            with Bench(net, server_of(net.relay_address)) as bench:
                bench.prepare(cell)
                found = search.overloaded(bench, cell, found, given.seconds)
    return found.as_json()


def measure_calls(server_of: Callable, shape: calls.CallShape, given) -> dict:
    with topology.Topology("frames") as net, Bench(net, server_of(net.relay_address)) as bench:
        return calls.most_calls(bench, shape, max(1.0, given.seconds)).as_json()


def measure_means(server_of: Callable, given) -> dict:
    with topology.Topology("frames") as net:
        return means.means(net, server_of(), given.sessions).as_json()


def measure_starts(subjects: dict, given) -> dict:
    with topology.Topology("frames") as net:
        return means.first_answers(net, subjects, 5 if given.quick else 20)


def measure_growth(server_of: Callable, direction: str, rate: float, sessions: int, given) -> dict:
    cell = Cell(direction, 172, 1, sessions, "whole", spread=GROWTH_SPREAD)
    with topology.Topology("whole") as net:
        return growth.cost(net, server_of(), cell, rate, 2.0 if given.quick else 10.0).as_json()


def _cell_seconds(cell: Cell, server, given) -> float:
    """About: a search where the server has a limit of its own; with thousands of sessions queues take time to drain."""
    trials = 7 if server.links == ("frames",) else 16
    return trials * given.seconds + 2 + (6 if cell.sessions >= 1000 else 0)


def _cells(subjects: dict, given) -> list[Step]:
    steps = []
    if not subjects:
        return steps
    for turn in range(max(given.rounds, given.base_rounds)):
        for cell in given.cells:
            # Most is concluded from the base cell.
            rounds = given.base_rounds if cell == BASE else given.rounds
            # The order turns from round to round: nobody is always first after a pause.
            order = list(subjects.items())
            order = order[turn % len(order):] + order[:turn % len(order)]
            for name, server_of in order:
                server = server_of()
                if turn >= rounds or not cell.suits(server) or server.drops:
                    continue
                few = FEW_CELLS.get(name) if given.usual else None
                if cell == BASE or (server.relays and (few is None or cell in few)):
                    steps.append(Step(("cell", cell.name, name, str(turn)),
                                      lambda s=server_of, c=cell: measure_cell(s, c, given),
                                      _cell_seconds(cell, server, given)))
    return steps


def _duels(relays: dict, given) -> list[Step]:
    """The last server that is named against each of the others; io_uring against coturn and sockets where none is."""
    # XDP relays share their CPU with the generator, which could not offer them too much.
    subjects = {name: of for name, of in relays.items() if "whole" in of().links}
    if not given.names_servers:
        subjects = {name: of for name, of in subjects.items() if name in ("coturn", *PLANES_COMPARED)}
    if len(subjects) < 2:
        return []
    *others, last = subjects
    # What coturn makes of a single flow is nobody's goal.
    spared = set() if given.names_servers else {("coturn", 1)}
    return [Step(("duel", cell.name, last, other, str(turn)),
                 lambda o=subjects[other], c=cell, w=duel.windows(other, last): duel.duel(
                     subjects[last], o, c, w, given.segmentation),
                 duel.seconds(cell, duel.windows(other, last)))
            for turn in range(given.rounds) for cell in given.duel_cells for other in others
            if (other, cell.sessions) not in spared and cell.suits(subjects[last]()) and cell.suits(subjects[other]())
            and cell.nics == 1]


def _stages(subjects: dict, given) -> list[Step]:
    """The base cell, and for the userspace planes the one in which many relay sockets receive."""
    wanted = [(BASE, name) for name in subjects]
    wanted += [] if given.quick else [(MANY_SOCKETS, name) for name in PLANES_COMPARED if name in subjects]
    return [Step(("stages", cell.name, name),
                 lambda s=subjects[name], c=cell: stages.stages(s, c, given.seconds).as_json(), 11.5)
            for cell, name in wanted]


def _growth(subjects: dict, given) -> list[Step]:
    steps = []
    for direction in ("up",) if given.quick else ("up", "down"):
        for load, rate in GROWTH_LOADS.items():
            for name, server_of in subjects.items():
                if "whole" in server_of().links:
                    steps += [Step(("growth", name, direction, load, str(n)), lambda s=server_of, d=direction, r=rate,
                                   n=n: measure_growth(s, d, r, n, given), 14) for n in GROWTH_SESSIONS]
    return steps


def _features(subjects: dict, given) -> list[Step]:
    # A quick run has no time for them.
    if given.quick or features.BASE not in subjects:
        return []
    steps = []
    for turn in range(features.ROUNDS):
        for load in features.LOADS:
            order = features.SERVERS[turn % len(features.SERVERS):] + features.SERVERS[:turn % len(features.SERVERS)]
            steps += [Step(("feature", load.cell.name, name, str(turn)),
                           lambda s=servers.BY_NAME[name], l=load: features.compare(s, l, given.seconds).as_json(),
                           4 * given.seconds + 2) for name in order]
    return steps


def steps(subjects: dict, given) -> list[Step]:
    """All steps of a run. subjects: functions that make a Server, by name."""
    relays = {name: of for name, of in subjects.items() if of().relays}
    # A quick run spends its time on the first and the last: the base and the one that is compared.
    ends = {name: relays[name] for name in (list(relays)[0], list(relays)[-1])} if given.quick and relays else relays
    made = {
        "check": [Step(("check",), check.check, 3)],
        "chain": [Step(("chain", name, str(turn)), lambda s=of: chain.chain(s, given.seconds).as_json(),
                       given.seconds + 1)
                  for turn in range(3)
                  for name, of in subjects.items() if name in CHAIN_SERVERS],
        "start": [Step(("start",), lambda: measure_starts(relays, given), len(relays) * (0.5 if given.quick else 2))],
        "means": [Step(("means", name), lambda s=of: measure_means(s, given), 2 + given.sessions / 5000)
                  for name, of in relays.items()],
        "cells": _cells(subjects, given),
        "duels": _duels(relays, given),
        "features": _features(subjects, given),
        "calls": [Step(("calls", shape.name, name), lambda s=of, shape=shape: measure_calls(s, shape, given), 20)
                  for shape in given.shapes for name, of in ends.items()],
        "stages": _stages(ends, given),
        "growth": _growth(relays, given),
    }
    return [step for part in PARTS if part in given.parts for step in made[part]]
