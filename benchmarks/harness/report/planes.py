"""What the io_uring plane is held to: beside the socket plane and beside coturn, cell by cell."""

from ..bench import median
from ..cells import Cell
from .figures import Figures, spread, table

RING, SOCKETS, COTURN = "relayd-io-uring", "relayd", "coturn"
# Of a cell's medians: at least, or at most.
RATE_TO_SOCKETS = 0.97
CPU_TO_SOCKETS = 0.92
# From so many active relay sockets on.
CPU_SESSIONS = 1000
P99_TO_SOCKETS = 1.0
# Of coturn's datagrams a second and a core: single datagrams of many flows, and bursts.
SINGLES_TO_COTURN, BURSTS_TO_COTURN = 1.35, 2.0
MANY_FLOWS = 64


def held(f: Figures) -> str:
    """One row a cell in which both planes were measured; what falls short of a goal is in bold."""
    rows, cells, short = [], [], 0
    for name in f.cells:
        row = _row(f, name)
        if row:
            cells.append(name)
            short += sum("**" in value for value in row)
            rows.append(row)
    if not rows:
        return ""
    head = ["cell", f"rate to sockets (>= {RATE_TO_SOCKETS})",
            f"CPU to sockets (<= {CPU_TO_SOCKETS} from {CPU_SESSIONS:,} sessions on)",
            f"p99 at half load to sockets (<= {P99_TO_SOCKETS:.2f})",
            f"rate to coturn (>= {SINGLES_TO_COTURN} singles, {BURSTS_TO_COTURN:g} bursts)",
            f"CPU to coturn (<= {1 / SINGLES_TO_COTURN:.2f} singles, {1 / BURSTS_TO_COTURN:.2f} bursts)"]
    turns = max(len(f.rounds(cell, RING)) for cell in cells)
    servers = [name for name in (COTURN, SOCKETS, RING) if any(f.rounds(cell, name) for cell in cells)]
    verdict = (f"{short} figures fall short of their goal" if short > 1 else "One figure falls short of its goal" if short
               else "No figure falls short of its goal")
    why = (", in bold: the section on the io_uring plane in "
           "[ARCHITECTURE.md](../ARCHITECTURE.md#the-io_uring-plane) says what is known of why") if short else ""
    return (f"## What io_uring is held to\n\n{RING} to {SOCKETS}, the same build on sockets, and to {COTURN}: largest rate, CPU "
            "a datagram with the receive path, 99th percentile of the latency, each at half of its own largest rate. Ratios of "
            "one round; their median, and from smallest to largest where there was more than one round. The goal beside "
            f"{COTURN} is of datagrams a second and a core, singles of {MANY_FLOWS} sessions and more.\n\n"
            f"{verdict}{why}.\n\n" + table(head, rows) + "\n"
            + f.repeat("cells", servers, cells, "; for one row, name only its cell.", rounds=turns))


def _row(f: Figures, name: str) -> list[str] | None:
    ring, sockets, coturn = (f.rounds(name, server) for server in (RING, SOCKETS, COTURN))
    rate, cpu = (f.pairs(ring, sockets, field) for field in ("rate", "cpu_ns"))
    if not rate:
        return None
    cell = Cell.parse(name)
    to_coturn = BURSTS_TO_COTURN if cell.burst > 1 else SINGLES_TO_COTURN if cell.sessions >= MANY_FLOWS else None
    return [name, _marked(rate, least=RATE_TO_SOCKETS),
            _marked(cpu, most=CPU_TO_SOCKETS if cell.sessions >= CPU_SESSIONS else None),
            _marked(f.pairs(_late(ring), _late(sockets), "p99"), most=P99_TO_SOCKETS),
            _marked(f.pairs(ring, coturn, "rate"), least=to_coturn),
            _marked(f.pairs(ring, coturn, "cpu_ns"), most=1 / to_coturn if to_coturn else None)]


def _late(rounds: dict[str, dict]) -> dict[str, dict]:
    return {turn: one["half_latency_us"] for turn, one in rounds.items() if one["half_latency_us"]}


def _marked(pairs: list[float], least: float | None = None, most: float | None = None) -> str:
    if not pairs:
        return "–"
    # As precisely as it is shown.
    middle = round(median(pairs), 2)
    short = (least is not None and middle < least) or (most is not None and middle > round(most, 2))
    return f"**{spread(pairs)}, short**" if short else spread(pairs)
