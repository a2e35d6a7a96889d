"""Whether the generator sees what a relay does wrong: relays that do it on purpose must be caught."""

from . import servers, topology
from .bench import Bench, Misbehaviour
from .cells import BASE

WRONG = {"swap_corrupt": "corrupted", "swap_misdeliver": "misdelivered", "swap_misstate": "corrupted"}


def check() -> dict:
    """Raises when a wrong relay passes; else says how many datagrams gave each away."""
    seen = {}
    for program, fault in WRONG.items():
        with topology.Topology("frames") as net, Bench(net, servers.swap(program=program)) as bench:
            bench.prepare(BASE)
            try:
                trial = bench.drive(BASE, 20_000, 0.2).trial
            except Misbehaviour as caught:
                trial = caught.trial
                # One datagram of sixteen is compared to its last byte.
                if getattr(trial, fault) >= trial.offered / 20:
                    seen[program] = {"fault": fault, "offered": trial.offered, "caught": getattr(trial, fault)}
                    continue
            raise RuntimeError(f"{program}: the generator did not notice: {trial}")
    return seen
