"""Real-time traffic: how many calls a server carries before its delay shows."""

from dataclasses import asdict, dataclass

from .bench import Bench

CALLS_MAX = 16_000
P99_LIMIT_US = 5000.0
LOSS_LIMIT = 0.01           # what is lost is later than any limit
TRIALS = 2
PRECISION = 1.1


@dataclass(frozen=True)
class CallShape:
    """Each call sends `burst` datagrams each way and period, at a moment of its own."""

    name: str
    payload: int
    burst: int
    period_us: int
    first: int              # calls to begin with

    @property
    def datagrams_a_second(self) -> float:
        """Of one call, both ways."""
        return 2 * self.burst * 1e6 / self.period_us


# G.711 in frames of 20 ms with its RTP header; 2.3 Mbit/s at 30 frames a second.
SHAPES = {shape.name: shape for shape in (
    CallShape("voice", 172, 1, 20_000, 500), CallShape("video", 1200, 8, 33_333, 50))}


@dataclass(frozen=True)
class Calls:
    calls: int              # the most that held
    at_most_of_bench: bool  # all sessions that the generator has: the server may carry more
    rate: float             # datagrams a second, relayed
    latency_us: dict        # at that number
    cpu_ns: float           # all that the relay costs the machine, a datagram

    def as_json(self) -> dict:
        return asdict(self)


def _holds(bench: Bench, shape: CallShape, calls: int, seconds: float):
    for _ in range(TRIALS):
        measured = bench.attempt(lambda: bench.generator.calls(
            "both", calls, shape.payload, shape.burst, shape.period_us, seconds), shape.name)
        on_time = measured.trial.offered >= 0.95 * calls * shape.datagrams_a_second * seconds
        if on_time and measured.trial.loss < LOSS_LIMIT and measured.trial.latency_us["p99"] <= P99_LIMIT_US:
            return True, measured
    return False, measured


def most_calls(bench: Bench, shape: CallShape, seconds: float) -> Calls:
    """The largest number of calls, to a tenth, whose 99th percentile stays below 5 ms and whose loss below 1 %."""
    allocated = 0
    held, low, high, calls = None, 0, CALLS_MAX + 1, shape.first
    while low == 0 or (high / low > PRECISION and low < CALLS_MAX):
        if calls > allocated:
            bench.generator.allocate(calls)
            allocated = calls
        good, measured = _holds(bench, shape, calls, seconds)
        if good:
            low, held = calls, measured
        else:
            high = calls
            if high < 4:
                raise RuntimeError(f"{bench.server.name}, {shape.name}: no {high} calls hold: {measured.trial}")
        calls = _next(low, high)
    return Calls(low, low == CALLS_MAX, held.trial.received / held.trial.seconds, held.trial.latency_us,
                 held.cpu_ns_per_datagram)


def _next(low: int, high: int) -> int:
    if low == 0:
        return high // 2
    if high > CALLS_MAX:
        return min(low * 2, CALLS_MAX)
    return max(low + 1, int((low * high) ** 0.5))
