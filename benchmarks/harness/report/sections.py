"""The report's tables, each with the command that makes it again."""

from .. import features as ring
from ..bench import FOREIGN_LIMIT, median
from ..calls import SHAPES
from ..cells import BASE
from ..search import LOSS_LIMIT
from .figures import Figures, table

ONE = "; for one figure, name only its server and its cell."


def measured(f: Figures) -> list[str]:
    """The servers that cells were measured of."""
    return [name for name in f.servers if any(f.rounds(cell, name) for cell in f.cells)]


def goals(f: Figures) -> str:
    """What the XDP plane is held to."""
    rows = []
    for xdp in (name for name in f.servers if name.startswith("relayd-xdp")):
        for coturn in (name for name in f.servers if name.startswith("coturn")):
            found = f.cell_ratio(BASE.name, xdp, coturn, "cpu_ns")
            if found != "–":
                command = f.repeat("cells", [coturn, xdp], [BASE.name]).removeprefix("Repeat: ").strip()
                threads = f.ratio(f.rounds(BASE.name, xdp), f.rounds(BASE.name, coturn), "cpu_ns", "task_ns")
                rows += [[f"CPU a relayed datagram, {xdp} / {coturn}, both with their receive paths", found,
                          "0.083 (1/12)", command],
                         [f"the same, of {coturn} its own threads alone", threads, "", command]]
        found = f.ratio(f.good("chain", xdp), f.good("chain", "reference-xdp"), "ns")
        if found != "–":
            command = f.repeat("chain", ["reference-xdp", xdp]).removeprefix("Repeat: ").strip()
            rows.append([f"whole chain, generator to sink, {xdp} / bare swap and transmit", found, "1.4", command])
    if not rows:
        return ""
    return ("## What XDP is held to\n\n64 sessions, 172 bytes, client to peer. Ratios of one round; their median (smallest "
            "to largest).\n\n" + table(["figure", "measured", "at most", "repeat"], rows))


def ratios(f: Figures) -> str:
    """The last server beside those before it, and the io_uring plane where it is not the last."""
    names = measured(f)
    subjects = list(dict.fromkeys([*names[-1:], *(name for name in names if name == ring.BASE)]))
    tables = [made for made in (_beside(f, subject, names[:names.index(subject)]) for subject in subjects) if made]
    if not tables:
        return ""
    return ("## Ratios\n\nLargest rate; CPU a datagram. Paired by round, median (smallest to largest).\n\n" + "\n".join(tables) + "\n"
            + f.repeat("cells", names, f.cells, ONE))


def _beside(f: Figures, subject: str, before: list[str]) -> str:
    bases = [name for name in before if not name.startswith("reference-xdp")]
    rows = []
    for cell in f.cells:
        found = [(f.cell_ratio(cell, subject, base, "rate"), f.cell_ratio(cell, subject, base, "cpu_ns")) for base in bases]
        if any(rate != "–" for rate, _ in found):
            rows.append([cell, *("–" if rate == cost == "–" else f"{rate}; {cost}" for rate, cost in found)])
    return table([f"{subject} to", *bases], rows) if rows else ""


def _notes(found: list[dict]) -> str:
    limited = any(one["generator_limited"] and not one.get("server_loaded") for one in found)
    short = any(one["generator_limited"] and one.get("server_loaded") for one in found)
    loss = max(one.get("loss", 0.0) for one in found)
    steal, foreign = (max(one[field] for one in found) for field in ("steal", "foreign"))
    return "; ".join(filter(None, [
        "took all that the generator left of their CPU" if limited else "",
        "the generator could offer no more" if short else "",
        f"lost up to {loss:.1%} when its costs were taken" if loss >= LOSS_LIMIT else "",
        f"stolen up to {steal:.0%} of a CPU" if steal >= 0.005 else "",
        f"others took up to {foreign:.0%} of its CPU" if foreign >= FOREIGN_LIMIT else ""]))


def cells(f: Figures) -> str:
    head = ["cell", "server", "largest rate, kpps", "CPU a datagram, ns", "of it its threads", "of it receiving",
            "rest of the machine, ns", "1.5 times as much: offered, delivered", "latency at half, us: p50, p99, p99.9", "notes"]
    rows = []
    for cell in f.cells:
        for name in f.servers:
            found = list(f.rounds(cell, name).values())
            if not found:
                continue
            late = [one["half_latency_us"] for one in found if one["half_latency_us"]]
            rows.append([
                cell, name, f"{median(o['rate'] for o in found) / 1e3:.1f}",
                *(f"{median(o[field] for o in found):.0f}" for field in ("cpu_ns", "task_ns", "receive_ns", "other_ns")),
                ", ".join(f"{median(o[field] / o['rate'] for o in found):.2f}"
                          for field in ("overload_offered", "overload_delivered")),
                ", ".join(f"{median(one[p] for one in late):.0f}" for p in ("p50", "p99", "p999")) if late else "–",
                _notes(found)])
    if not rows:
        return ""
    return ("## Rates, CPU, latency\n\nLargest rate with less than 0.1 % loss; what the relay costs the machine at that rate, and what the machine did besides, the generator "
            "not counted; what becomes of 1.5 times as much (or what the generator can), as shares of the largest rate; one-way latency "
            "at half of it.\n\n" + table(head, rows) + "\n" + f.repeat("cells", measured(f), f.cells, ONE))


def features(f: Figures) -> str:
    base = ring.BASE
    rows = []
    for load in ring.LOADS:
        cell = load.cell.name
        without = f.good("feature", cell, base)
        for name in ring.SERVERS[1:]:
            found = f.good("feature", cell, name)
            if found and without:
                rows.append([name.removeprefix(f"{base}-"), cell, f.ratio(found, without, "rate"),
                             f.ratio(found, without, "full_cpu_ns"), f"{load.rate / 1e3:.0f}",
                             f.ratio(found, without, "cpu_ns"), f.ratio(found, without, "p99_us"),
                             f"{max(one['loss'] for one in found.values()):.2%}"])
    if not rows:
        return ""
    head = ["feature", "cell", "rate, overloaded", "CPU then", "kpps below saturation", "CPU there", "p99 there", "loss there"]
    return (f"## What io_uring offers besides\n\n`--io-uring-features` and `--offloads`: {base} with the feature, or without one that is on by "
            f"default, to {base} as it is, {ring.ROUNDS} rounds in turn; median (smallest to largest). CPU is that of all threads, the polling thread of sqpoll included, "
            "which runs on whichever CPU is free, and of the receive path. GSO is by control message. Bundles are "
            "not offered: a bundle of receives names no sender, and a bundle of sends leaves as one datagram.\n\n"
            + table(head, rows) + "\n" + f.repeat("features", [base]))


def chain(f: Figures) -> str:
    rows = []
    for name in f.servers:
        found = list(f.good("chain", name).values())
        if found:
            rows.append([name, f"{median(o['rate'] for o in found) / 1e3:.0f}", f"{median(o['ns'] for o in found):.0f}",
                         f.ratio(f.good("chain", name), f.good("chain", "reference-xdp"), "ns"),
                         f"{max(o['loss'] for o in found):.2%}"])
    if not rows:
        return ""
    return ("## The whole chain on one CPU\n\nGenerate, receive, relay, transmit, check and count, one after the other, "
            "saturated, 64 sessions of 172 bytes. `reference-xdp-drop` is what generating and receiving cost by themselves.\n\n"
            + table(["relay", "kpps", "ns a datagram, all of it", "of swap and transmit", "loss"], rows) + "\n"
            + f.repeat("chain", [name for name in f.servers if f.good("chain", name)]))


def means(f: Figures) -> str:
    head = ["server", "first answer, ms", "idle resident, MB", "private dirty an allocation, bytes",
            "setups a second", "server's CPU a setup, us", "setups a second a core", "stop with them alive, ms"]
    starts = f.one("start") or {}
    rows = []
    for name, one in f.good("means").items():
        note = "" if one["authenticated"] else " (no authentication)"
        start = starts.get(name)
        rows.append([name + note, f"{start:.1f}" if start else "–", f"{one['idle_resident_bytes'] / 1e6:.1f}",
                     f"{one['private_dirty_bytes_an_allocation']:.0f}", f"{one['setups_a_second']:.0f}",
                     f"{one['setup_cpu_us']:.0f}", f"{one['setups_a_second_a_core']:.0f}", f"{one['stop_ms']:.0f}"])
    if not rows:
        return ""
    return ("## Start, memory, setups, stop\n\nFirst answer: from exec to the answer to a Binding request, median. A setup: "
            f"Allocate (401), Allocate, ChannelBind, all authenticated, 64 under way at once, {f.header['sessions']} of "
            "them.\n\n" + table(head, rows) + "\n" + f.repeat("start,means", list(f.good("means"))))


def calls(f: Figures) -> str:
    head = ["shape", "server", "calls", "kpps relayed", "latency then, us: p50, p99, p99.9", "CPU a datagram, ns"]
    rows = []
    for name, shape in SHAPES.items():
        for server, one in f.good("calls", name).items():
            late = one["latency_us"]
            rows.append([name, server, f"{'at least ' if one['generator_limited'] else ''}{one['calls']:,}",
                         f"{one['rate'] / 1e3:.0f}", ", ".join("lost" if late[p] is None else f"{late[p]:.0f}" for p in ("p50", "p99", "p999")),
                         f"{one['cpu_ns']:.0f}"])
    if not rows:
        return ""
    words = "; ".join(f"{s.name}: {s.burst} x {s.payload} bytes each way every {s.period_us / 1000:g} ms"
                      for s in SHAPES.values())
    return ("## Calls\n\nThe most calls at once, to a tenth, with the 99th percentile of the one-way latency at 5 ms or less "
            f"and less than 1 % lost. Every call sends at moments of its own. {words}.\n\n" + table(head, rows) + "\n"
            + f.repeat("calls", [name for name in f.servers if any(name in f.good("calls", shape) for shape in SHAPES)]))


def growth(f: Figures) -> str:
    head = ["server", "direction", "load", "sessions", "user code, ns a datagram", "kernel, ns a datagram", "by"]
    rows = [[key[1], key[2], key[3], key[4], f"{one['user_ns']:.0f}", f"{one['kernel_ns']:.0f}", one["source"]]
            for key, one in f.of.items() if key[0] == "growth" and "error" not in one]
    if not rows:
        return ""
    return "## Growth with sessions\n\n" + table(head, rows) + "\n" + f.repeat("growth")


def check(f: Figures) -> str:
    found = f.one("check")
    if not found:
        return ""
    lines = [f"- {name}: {one['caught']:,} of {one['offered']:,} datagrams were {one['fault']}"
             for name, one in found.items()]
    return ("## Whether wrong relays are noticed\n\nRelays that do wrong on purpose, before all else: every head of a "
            "payload is checked, and one payload of sixteen to its last byte.\n\n" + "\n".join(lines) + "\n\n"
            + f.repeat("check"))


def errors(f: Figures) -> str:
    if not f.errors:
        return ""
    lines = [f"- {name}: {' '.join(text.split())[:300]}" for name, text in f.errors.items()]
    return "## What could not be measured\n\n" + "\n".join(lines) + "\n"
