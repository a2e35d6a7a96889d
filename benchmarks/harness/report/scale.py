"""Scale on paper: what the measured costs predict for larger machines, and which wall comes first."""

from ..cells import BASE, Cell
from .figures import Figures, table

CORES = (8, 32, 96)
GIGABITS = (25, 100)
# Of a frame on the wire beside its IP packet: Ethernet header, checksum, preamble and gap.
WIRE_BYTES = 14 + 4 + 20
VOICE_RATE = 100        # datagrams a second of a call, both ways
DEFAULT_PORTS = 65_535 - 49_152 + 1
ALL_PORTS = 65_535 - 1024 + 1


def line_rate(gigabits: float, payload: int) -> float:
    """Datagrams a second that fill a link one way, as channel data over IPv4."""
    return gigabits * 1e9 / 8 / (WIRE_BYTES + 20 + 8 + 4 + payload)


def stage_cells(f: Figures) -> list[str]:
    """The cells that stages were sampled in."""
    return [cell for cell in dict.fromkeys(key[1] for key in f.of if key[0] == "stages" and len(key) == 3)
            if f.good("stages", cell)]


def stages(f: Figures) -> str:
    cells = stage_cells(f)
    if not cells:
        return ""
    tables = "\n".join(f"`{cell}`:\n\n{_stage_table(f.good('stages', cell))}" for cell in cells)
    names = [name for name in f.servers if any(name in f.good("stages", cell) for cell in cells)]
    return ("## What a datagram costs, by stage\n\nNanoseconds of the relay's threads and of its receive path, shared out by "
            "samples of the CPU clock, near the rate that it can just take. Functions are put into stages by name.\n\n"
            f"![stages](plots/stages.svg)\n\n{tables}\n" + f.repeat("stages", names))


def _stage_table(found: dict[str, dict]) -> str:
    names = sorted({stage for one in found.values() for stage in one["stages"]},
                   key=lambda stage: -sum(one["stages"].get(stage, 0) for one in found.values()))
    rows = [[stage, *(f"{one['stages'].get(stage, 0):.0f}" for one in found.values())] for stage in names]
    rows.append(["all", *(f"{one['total_ns']:.0f}" for one in found.values())])
    rows.append(["at, kpps", *(f"{one['rate'] / 1e3:.0f}" for one in found.values())])
    rows.append(["samples", *(str(one["samples"]) for one in found.values())])
    return table(["stage", *found], rows)


def prediction(f: Figures) -> str:
    costs = {name: f.median(BASE.name, name, "cpu_ns") for name in f.servers if not name.startswith("reference-xdp")}
    costs = {name: cost for name, cost in costs.items() if cost}
    if not costs:
        return ""
    walls = {g: line_rate(g, BASE.payload) for g in GIGABITS}
    head = ["server", "measured: CPU a datagram, ns", "a core, Mpps", *(f"{cores} cores, Mpps" for cores in CORES),
            *(f"cores to fill {g} Gbit/s" for g in GIGABITS)]
    rows = []
    for name, cost in costs.items():
        core = 1e9 / cost
        rows.append([name, f"{cost:.0f}", f"{core / 1e6:.2f}", *(f"{core * cores / 1e6:.1f}" for cores in CORES),
                     *(f"{wall / core:.1f}" for wall in walls.values())])
    wall_text = ", ".join(f"{g} Gbit/s is {rate / 1e6:.1f} Mpps" for g, rate in walls.items())
    return ("## Scale on paper\n\nFrom the CPU that a datagram costs in cell "
            f"{BASE.name}, all of it: threads and receive path. A core's rate is its reciprocal; more cores are multiples, "
            "because workers share no state and XDP routes are only read. Nobody has measured that here, on two cores: it is "
            f"the upper bound. One way, {BASE.payload} bytes of payload as channel data: {wall_text}.\n\n"
            + table(head, rows) + "\n" + _walls(f, costs, walls))


def _walls(f: Figures, costs: dict[str, float], walls: dict[int, float]) -> str:
    best = min(costs, key=costs.get)
    core = 1e9 / costs[best]
    met = [(count * VOICE_RATE, f"**Relay ports.** {count:,} of one relay address, {which}, at {VOICE_RATE} datagrams a "
            "second of a voice call, which holds one. More relay addresses move it.")
           for count, which in ((DEFAULT_PORTS, "the default range"), (ALL_PORTS, "all above 1023"))]
    met += [(rate, f"**The link.** {gigabits} Gbit/s are full. On one interface what comes in must go out, and each way has "
             "its own capacity.") for gigabits, rate in walls.items()]
    lines = [f"Walls by the rate at which they are met, and with how many cores of {best}:", ""]
    lines += [f"{number}. {rate / 1e6:.2f} Mpps, {rate / core:.1f} cores: {text}"
              for number, (rate, text) in enumerate(sorted(met), 1)]
    # These have no rate at which they begin.
    others = [f"- **{name}.** {text}" for name, text in (("Memory", _cold(f, best)), ("Setting up", _control(f, best)))
              if text]
    return "\n".join([*lines, *(["", "Besides:", "", *others] if others else [])]) + "\n"


def _cold(f: Figures, name: str) -> str:
    few, many = (f.median(Cell("up", 172, 1, n).name, name, "cpu_ns") for n in (64, 10_000))
    if not few or not many:
        return ""
    return (f"With 10,000 sessions {name} costs {many:.0f} ns a datagram instead of {few:.0f} with 64: {many / few:.2f} "
            "times, which is what cold lines of the tables add. Cores that share a memory controller share that.")


def _control(f: Figures, name: str) -> str:
    found = f.good("means").get(name)
    if not found:
        return ""
    each = found["setups_a_second_a_core"]
    return (f"{each:.0f} setups a second a core, measured: {CORES[-1]} cores set up {each * CORES[-1] / 1e6:.2f} million a "
            "second, far above what a change of all calls in a minute asks for.")
