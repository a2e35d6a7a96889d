"""The plots of a report."""

from ..bench import median
from ..cells import BASE, SESSIONS, Cell
from ..calls import SHAPES
from . import scale, svg
from .figures import Figures


def _base(f: Figures) -> dict[str, list[dict]]:
    found = {name: list(f.rounds(BASE.name, name).values()) for name in f.servers}
    return {name: rounds for name, rounds in found.items() if rounds}


def _colours(f: Figures) -> dict[str, int]:
    return {name: number for number, name in enumerate(f.servers)}


def rates(f: Figures) -> str | None:
    found = _base(f)
    rows = [svg.Bar(name, median(o["rate"] for o in rounds) / 1e3, f"{median(o['rate'] for o in rounds) / 1e3:,.0f}",
                    f.servers.index(name))
            for name, rounds in found.items()]
    return svg.bars(f"Largest rate with < 0.1 % loss, thousand datagrams a second ({BASE.name})", rows, True) if rows else None


def costs(f: Figures) -> str | None:
    found = _base(f)
    rows = [svg.Bar(name, median(o["cpu_ns"] for o in rounds), f"{median(o['cpu_ns'] for o in rounds):,.0f}",
                    f.servers.index(name))
            for name, rounds in found.items()]
    return svg.bars(f"CPU a datagram, ns, receive path included ({BASE.name})", rows, True) if rows else None


def latency(f: Figures) -> str | None:
    rows = []
    for name, rounds in _base(f).items():
        late = [o["half_latency_us"] for o in rounds if o["half_latency_us"]]
        rows += [svg.Bar(f"{name} {label}", median(one[p] for one in late), f"{median(one[p] for one in late):,.0f}",
                          f.servers.index(name))
                 for label, p in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999")) if late]
    return svg.bars("One-way latency at half of the largest rate, microseconds", rows, True) if rows else None


def sessions(f: Figures) -> str | None:
    series = {}
    for name in f.servers:
        line = [(n, f.median(Cell("up", 172, 1, n).name, name, "cpu_ns")) for n in SESSIONS]
        line = [(n, cost) for n, cost in line if cost]
        if len(line) > 1:
            series[name] = line
    return svg.lines("CPU a datagram, ns, by sessions", "sessions", series, _colours(f)) if series else None


def payloads(f: Figures) -> str | None:
    series = {}
    for name in f.servers:
        line = [(n, f.median(Cell("up", n, 1, 64).name, name, "rate")) for n in (64, 172, 1200)]
        line = [(n, rate * n * 8 / 1e6) for n, rate in line if rate]
        if len(line) > 1:
            series[name] = line
    return svg.lines("Payload relayed, Mbit/s, by its size", "bytes of payload", series, _colours(f)) if series else None


def calls(f: Figures) -> str | None:
    rows = [svg.Bar(f"{shape} {server}", one["calls"], ("≥ " if one["generator_limited"] else "") + f"{one['calls']:,}",
                    f.servers.index(server))
            for shape in SHAPES for server, one in f.good("calls", shape).items()]
    return svg.bars("Calls at once with p99 at most 5 ms", rows, True) if rows else None


def stages(f: Figures) -> str | None:
    found = {f"{server}{'' if cell == BASE.name else ', ' + cell}": one
             for cell in scale.stage_cells(f) for server, one in f.good("stages", cell).items()}
    if not found:
        return None
    names = sorted({stage for one in found.values() for stage in one["stages"]},
                   key=lambda stage: -sum(one["stages"].get(stage, 0) for one in found.values()))
    rows = [(label, [one["stages"].get(stage, 0) for stage in names], f"{one['total_ns']:,.0f} ns")
            for label, one in found.items()]
    return svg.stacks(f"Where a datagram's time goes, shares ({BASE.name}, or as named)", names, rows)


ALL = {"rates": rates, "costs": costs, "latency": latency, "sessions": sessions, "payloads": payloads, "calls": calls,
       "stages": stages}
