"""The whole chain on one CPU, generator to sink, nothing in between that sleeps: what XDP relays are compared by."""

from dataclasses import asdict, dataclass

from . import topology
from .bench import Bench
from .cells import BASE


@dataclass(frozen=True)
class Chain:
    rate: float         # datagrams a second, received
    loss: float
    ns: float           # of one CPU, a datagram: 1e9 / rate

    def as_json(self) -> dict:
        return asdict(self)


def chain(server_of, seconds: float) -> Chain:
    """A saturated relay whose frames are generated, relayed and counted on one CPU."""
    with topology.Topology("frames", threaded=False) as net:
        with Bench(net, server_of(net.relay_address)) as bench:
            bench.prepare(BASE)
            bench.drive(BASE, 0, 0.2)
            measured = bench.drive(BASE, 0, seconds)
    rate = measured.trial.delivered_rate
    return Chain(rate, measured.trial.loss, 1e9 / rate)
