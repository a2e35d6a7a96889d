"""Servers against each other, window by window; and with it what the io_uring plane is held to."""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

from ..bench import median
from ..cells import Cell
from ..duel import HALF_WINDOWS
from ..search import OVERLOAD
from .figures import Figures, short, table

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
# Of an interval: how sure it is to hold the median of ever more windows.
CONFIDENCE = 0.95

FIELDS = {"rate": "rate, overloaded", "over_cpu_ns": "CPU, overloaded", "cpu_ns": "CPU, half load",
          "p50_us": "p50, half load", "p99_us": "p99, half load"}
OVERLOADED = ("rate", "over_cpu_ns")
# A side that loses less of what it is offered is not overloaded: the generator was the limit.
LOST_LEAST = 0.05
# So few windows say nothing for certain.
FEWEST_WINDOWS = 6


@dataclass(frozen=True)
class Goal:
    text: str
    of: Callable[[Cell], tuple[float | None, float | None]]     # what is asked of a cell: at least, at most


def _to_coturn(cell: Cell) -> float | None:
    return BURSTS_TO_COTURN if cell.burst > 1 else SINGLES_TO_COTURN if cell.sessions >= MANY_FLOWS else None


def _cpu_to_coturn(cell: Cell) -> float | None:
    rate = _to_coturn(cell)
    return round(1 / rate, 2) if rate else None


CPU_GOAL = Goal(f"<= {CPU_TO_SOCKETS} from {CPU_SESSIONS:,} sessions on",
                lambda cell: (None, CPU_TO_SOCKETS if cell.sessions >= CPU_SESSIONS else None))
# By pair and field.
GOALS = {
    (RING, SOCKETS): {
        "rate": Goal(f">= {RATE_TO_SOCKETS}", lambda cell: (RATE_TO_SOCKETS, None)), "over_cpu_ns": CPU_GOAL, "cpu_ns": CPU_GOAL,
        "p99_us": Goal(f"<= {P99_TO_SOCKETS:.2f}", lambda cell: (None, P99_TO_SOCKETS))},
    (RING, COTURN): {
        "rate": Goal(f">= {SINGLES_TO_COTURN} singles of {MANY_FLOWS} sessions and more, {BURSTS_TO_COTURN:g} bursts",
                     lambda cell: (_to_coturn(cell), None)),
        "over_cpu_ns": Goal(f"<= {1 / SINGLES_TO_COTURN:.2f}, {1 / BURSTS_TO_COTURN:.2f}",
                            lambda cell: (None, _cpu_to_coturn(cell)))},
}


def pairs(f: Figures) -> list[tuple[str, str]]:
    """Who met whom."""
    return list(dict.fromkeys(key[2:4] for key in _met(f)))


def _met(f: Figures) -> list[tuple[str, ...]]:
    """The keys of the duels that ended well."""
    return [key for key, one in f.of.items() if key[0] == "duel" and "error" not in one]


def held(f: Figures) -> str:
    """The section of each pair that met, with its goals where there are any; what falls short of one is in bold."""
    return "\n".join(_section(f, subject, other) for subject, other in pairs(f))


def _section(f: Figures, subject: str, other: str) -> str:
    cells = list(dict.fromkeys(key[1] for key in _met(f) if key[2:4] == (subject, other)))
    goals = GOALS.get((subject, other), {})
    rows = [_row(f, cell, subject, other, goals) for cell in cells]
    turns = max(len(f.good("duel", cell, subject, other)) for cell in cells)
    head = ["cell", *(f"{text} ({goals[field].text})" if field in goals else text for field, text in FIELDS.items()), "delivered, kpps, of each", "half load, kpps"]
    verdict = _verdict(sum("**" in value for row in rows for value in row)) if goals else ""
    return (f"## {subject} beside {other}\n\nBoth up at once, in turn, window by window: {_windows(f, cells, subject, other)} each of "
            f"overload ({OVERLOAD} times what a flood leaves of each), and {HALF_WINDOWS} times as many short ones at half of what the "
            f"weaker one delivered, of servers started {'once' if turns == 1 else f'{turns} times'}. CPU a datagram is with the receive "
            "path. Ratios of neighbouring windows: their median, and the interval that holds it with "
            f"{CONFIDENCE:.0%} confidence for these processes.\n\n{verdict}" + table(head, rows) + "\n"
            + f.repeat("duels", [other, subject], cells, "; for one row, name only its cell.", rounds=turns if turns > 1 else 0))


def _windows(f: Figures, cells: list[str], subject: str, other: str) -> str:
    counts = {sum(len(one["subject"]["rate"]) for one in f.good("duel", cell, subject, other).values()) for cell in cells}
    return " or ".join(str(count) for count in sorted(counts))


def _verdict(fallen: int) -> str:
    said = (f"{fallen} figures fall short of their goal" if fallen > 1 else "One figure falls short of its goal" if fallen
            else "No figure falls short of its goal")
    why = (", in bold: the section on the io_uring plane in [ARCHITECTURE.md](../ARCHITECTURE.md#the-io_uring-plane) says why"
           if fallen else "")
    return (f"{said}{why}. A figure is short if its whole interval is beyond the goal, and open if only its median is. Where either "
            f"lost less than {LOST_LEAST:.0%} the generator was the limit, and nothing is concluded from the overload.\n\n")


def _row(f: Figures, name: str, subject: str, other: str, goals: dict[str, Goal]) -> list[str]:
    rounds = f.good("duel", name, subject, other).values()
    sides = ("subject", "other")
    ratios = {field: sorted(mine / theirs for one in rounds
                            for mine, theirs in zip(one["subject"][field], one["other"][field]) if mine and theirs)
              for field in FIELDS}
    limited = min(median(lost for one in rounds for lost in one[side]["lost"]) for side in sides) < LOST_LEAST
    values = []
    for field in FIELDS:
        if limited and field in OVERLOADED:
            values.append(f"{_text(ratios[field])}, generator's limit")
        else:
            values.append(_marked(ratios[field], *(goals[field].of(Cell.parse(name)) if field in goals else (None, None))))
    delivered = (f"{median(rate for one in rounds for rate in one[side]['rate']) / 1e3:.0f}" for side in sides)
    return [name, *values, ", ".join(delivered), f"{median(one['load'] for one in rounds) / 1e3:.0f}"]


def _text(ratios: list[float]) -> str:
    if not ratios:
        return "–"
    low, high = interval(ratios)
    return f"{short(median(ratios))} ({short(low)} to {short(high)})"


def _marked(ratios: list[float], least: float | None, most: float | None) -> str:
    if not ratios:
        return _text(ratios)
    # As precisely as they are shown.
    middle, low, high = (round(value, 2) for value in (median(ratios), *interval(ratios)))
    misses = (least is not None and middle < least) or (most is not None and middle > most)
    certainly = (least is not None and high < least) or (most is not None and low > most)
    if certainly and len(ratios) >= FEWEST_WINDOWS:
        return f"**{_text(ratios)}, short**"
    return f"{_text(ratios)}, open" if misses else _text(ratios)


def interval(ordered: list[float]) -> tuple[float, float]:
    """Between which two of some ordered values their distribution's median lies, by the binomial distribution; the
    outermost where they are too few for that confidence."""
    count, beyond, rank = len(ordered), 0.0, 0
    while rank < (count - 1) // 2:
        beyond += comb(count, rank) / 2 ** count
        if 2 * beyond > 1 - CONFIDENCE:
            break
        rank += 1
    rank = max(0, rank - 1)
    return ordered[rank], ordered[count - 1 - rank]
