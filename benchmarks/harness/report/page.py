"""The report as one page with its plots beside it."""

from pathlib import Path

from ..cells import BASE
from ..progress import Records
from . import duels, extra, plots, scale, sections
from .figures import Figures


def write(path: Path, records: Records) -> None:
    """Writes `path` and, in the folder `plots` beside it, what it shows."""
    f = Figures(records)
    if f.of and all(key[0] == "duel" for key in f.of):
        return path.write_text("\n".join(part for part in (head_of_duels(f), duels.held(f), sections.errors(f)) if part))
    folder = path.parent / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name, draw in plots.ALL.items():
        picture = draw(f)
        file = folder / f"{name}.svg"
        file.unlink(missing_ok=True)
        if picture:
            file.write_text(picture)
            drawn[name] = f"![{name}](plots/{name}.svg)\n"
    shown = "\n".join(drawn[name] for name in ("rates", "costs", "latency", "sessions", "payloads") if name in drawn)
    calls = sections.calls(f)
    parts = [head(f), sections.goals(f), sections.ratios(f), shown, sections.cells(f), sections.features(f), sections.chain(f), calls,
             drawn.get("calls", "") if calls else "", sections.means(f), scale.stages(f), scale.prediction(f),
             sections.growth(f), sections.check(f), extra.costs(), extra.micro(), sections.errors(f), method(f)]
    # After what XDP is held to.
    parts.insert(2, duels.held(f))
    path.write_text("\n".join(part for part in parts if part))


def head(f: Figures) -> str:
    h = f.header
    command = "make bench BENCH_ARGS=--quick" if h["quick"] else "make bench"
    length = "A quick run: one round, short trials, few cells. " if h["quick"] else ""
    how = f"{_rounds(h)}, trials of {h['seconds']:g} s, rates to {h['precision']:.0%}. "
    return (f"# Results\n\n{length}{_made(f, command)}{how}{_load(f)}\n\nAbsolute figures of a virtual machine drift by a fifth and more; "
            f"ratios within a round hold better. {CELL}\n\n{_versions(f, f.servers)}\n")


def head_of_duels(f: Figures) -> str:
    met = {name for pair in duels.pairs(f) for name in pair}
    return (f"# Servers beside each other\n\n{_made(f, 'make bench-planes')}{_load(f)}\n\n{CELL} [README.md](README.md) says how duels are "
            f"measured.\n\n{_versions(f, [name for name in f.servers if name in met])}\n")


CELL = "A cell is DIRECTION/PAYLOAD/BURST/SESSIONS."


def _made(f: Figures, command: str) -> str:
    h, machine = f.header, f.header["machine"]
    return (f"{h['date']}, revision {h['revision']}, by `{command}`. {machine['cpus']} x {machine['cpu']}, "
            f"{machine['memory_bytes'] / 2**30:.0f} GB, Linux {machine['kernel']}, {machine['system']}, {machine['compiler']}. ")


def _load(f: Figures) -> str:
    return f"Load of the machine at the start: {f.header['load_average']:.1f}."


def _versions(f: Figures, names: list[str]) -> str:
    return "\n".join(f"- {name}: {f.header['versions'].get(name) or 'version unknown'}" for name in names)


def _rounds(h: dict) -> str:
    text = f"{h['rounds']} interleaved round{'s' if h['rounds'] > 1 else ''}"
    if h["base_rounds"] > h["rounds"]:
        text += f" ({h['base_rounds']} of {BASE.name})"
    return text


def method(f: Figures) -> str:
    whole = "whole" if f.header["segmentation"] == "whole" else "cut in software"
    return ("## How it was measured\n\n[README.md](README.md) says it in full. In short: generator and receive path of "
            "the relay on CPU 0, the server's threads on CPU 1; the counting program runs where the relay sends: for userspace "
            "relays on CPU 1, in their threads, for XDP on CPU 0. A rate holds when all but 0.1 % arrives until 20 ms after "
            "the last is sent. Every datagram is a frame of its own, checked "
            "on arrival, and one of sixteen to its last byte. A relay's CPU is the run time of its threads and of the thread "
            "that receives for it, in which XDP programs run; the far end's counting program is in it, for all alike. "
            f"Cells with /whole hand GSO packets over {whole} and count with sockets.\n")
