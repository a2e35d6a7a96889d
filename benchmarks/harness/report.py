"""The results as Markdown: ratios first, then the figures that they come from."""

from .bench import FOREIGN_LIMIT, median


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def _servers(results: dict) -> list[str]:
    return results["servers"]


def _ratio(rounds: list[dict], subject: str, base: str, field: str) -> str:
    """The median of the ratios of single rounds: what two servers did within seconds of each other."""
    pairs = [r[subject][field] / r[base][field] for r in rounds if subject in r and base in r and r[base][field]]
    if not pairs:
        return "–"
    spread = f" ({min(pairs):.2f} to {max(pairs):.2f})" if len(pairs) > 1 else ""
    return f"{median(pairs):.2f}{spread}"


def ratios(results: dict) -> str:
    names = _servers(results)
    subject, bases = names[-1], names[:-1]
    if not bases:
        return ""
    head = ["cell"]
    for base in bases:
        head += [f"rate: {subject} / {base}", f"CPU a datagram: {subject} / {base}"]
    rows = []
    for cell, rounds in results["cells"].items():
        row = [cell]
        for base in bases:
            row += [_ratio(rounds, subject, base, "rate"), _ratio(rounds, subject, base, "task_ns")]
        rows.append(row)
    return "## Ratios\n\nPaired by round, median (smallest to largest).\n\n" + table(head, rows)


def rates(results: dict) -> str:
    head = ["cell", "server", "largest rate, kpps", "server's CPU, ns a datagram", "its core's CPU, ns",
            "overloaded: offered, delivered, of the largest", "notes"]
    rows = []
    for cell, rounds in results["cells"].items():
        for name in _servers(results):
            found = [r[name] for r in rounds if name in r]
            if not found:
                continue
            limited = any(f["generator_limited"] for f in found)
            stolen = max(f["steal"] for f in found)
            foreign = max(f["foreign"] for f in found)
            notes = "; ".join(filter(None, ["at least: the generator's limit" if limited else "",
                                            f"{stolen:.0%} of the CPU stolen" if stolen >= 0.01 else "",
                                            f"others took {foreign:.0%} of it" if foreign >= FOREIGN_LIMIT else ""]))
            rows.append([
                cell, name, f"{median(f['rate'] for f in found) / 1e3:.1f}",
                f"{median(f['task_ns'] for f in found):.0f}", f"{median(f['cpu_ns'] for f in found):.0f}",
                f"{median(f['overload_offered'] / f['rate'] for f in found):.2f}, "
                f"{median(f['overload_delivered'] / f['rate'] for f in found):.2f}", notes])
    return ("## Rates\n\nLargest rate with less than 0.1 % loss, then 1.5 times as much offered, or what the generator "
            "can.\n\n" + table(head, rows))


def means(results: dict) -> str:
    head = ["server", "first answer, ms", "idle resident, MB", "private dirty an allocation, bytes",
            "setups a second", "server's CPU a setup, us", "setups a second a core", "stop with them alive, ms"]
    rows = []
    for name in _servers(results):
        one = results["means"].get(name)
        start = results["first_answer_ms"].get(name)
        if one is None:
            continue
        note = "" if one["authenticated"] else " (no authentication)"
        rows.append([name + note, f"{start:.1f}" if start else "–", f"{one['idle_resident_bytes'] / 1e6:.1f}",
                     f"{one['private_dirty_bytes_an_allocation']:.0f}", f"{one['setups_a_second']:.0f}",
                     f"{one['setup_cpu_us']:.0f}", f"{one['setups_a_second_a_core']:.0f}", f"{one['stop_ms']:.0f}"])
    if not rows:
        return ""
    return ("## Start, memory, setups, stop\n\nA setup: Allocate (401), Allocate, ChannelBind, all authenticated, many under "
            "way at once.\n\n" + table(head, rows))


def growth(results: dict) -> str:
    head = ["server", "direction", "load", "sessions", "user code, ns a datagram", "kernel, ns a datagram", "by"]
    rows = [[g["server"], g["direction"], g["load"], str(g["sessions"]), f"{g['user_ns']:.0f}",
             f"{g['kernel_ns']:.0f}", g["source"]] for g in results["growth"]]
    return "## Growth with sessions\n\n" + table(head, rows) if rows else ""


def markdown(results: dict) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name}: {version}" for name, version in results["versions"].items())
    head = (f"# Results\n\n{results['date']}. {machine['cpus']} x {machine['cpu']}, Linux {machine['kernel']}, "
            f"{machine['system']}, revision {machine['revision']}. {versions}. "
            f"Server on one CPU, generator on the other, joined by a veth pair; GSO packets cross it "
            f"{'whole' if results['segmentation'] == 'whole' else 'cut in software'}. "
            f"{results['rounds']} interleaved rounds of {results['seconds']} s a trial. "
            f"Load of the machine at the start: {machine['load_average']:.1f}.\n")
    return "\n".join(filter(None, [head, ratios(results), rates(results), means(results), growth(results)]))
