"""The whole chain on one CPU, generator to sink, nothing in between that sleeps: what XDP relays are compared by."""

from dataclasses import asdict, dataclass

from . import topology
from .bench import Bench
from .cells import BASE


@dataclass(frozen=True)
class Chain:
    rate: float         # datagrams a second, received; by a server that drops, as many as it got
    loss: float
    ns: float           # of one CPU, a datagram: 1e9 / rate

    def as_json(self) -> dict:
        return asdict(self)


def chain(server_of, seconds: float) -> Chain:
    """A saturated relay whose frames are generated, relayed and counted on one CPU."""
    with topology.Topology("frames", threaded=False) as net:
        server = server_of(net.relay_address)
        with Bench(net, server) as bench:
            bench.prepare(BASE)
            bench.drive(BASE, 0, 0.2)
            trial = bench.drive(BASE, 0, seconds).trial
    rate = trial.offered_rate if server.drops else trial.delivered_rate
    return Chain(rate, 0.0 if server.drops else trial.loss, 1e9 / rate)
