"""The figures of a run, found by what they are of; medians over rounds, ratios within them."""

import shlex

from ..bench import median
from ..progress import Records
from ..settings import Defaults


class Figures:
    def __init__(self, records: Records):
        self.header = records.header
        self.of: dict[tuple[str, ...], dict] = {tuple(key.split("|")): figure for key, figure in records.figures.items()}

    @property
    def servers(self) -> list[str]:
        return self.header["servers"]

    def repeat(self, parts: str, servers: list[str] = (), cells: list[str] = (), text: str = "", rounds: int = 0) -> str:
        """The one command that measures these again, as this run did. rounds: where it is not what the run's were."""
        words = ["sudo benchmarks/run", *self._settings(rounds), f"--parts {parts}"]
        words += [f"--servers {','.join(servers)}"] if servers else []
        words += [f"--cells {','.join(cells)}"] if cells else []
        return f"Repeat: `{' '.join(words)}`{text}\n"

    def _settings(self, rounds: int) -> list[str]:
        """The run's settings as options, as far as they are not what a run has without them."""
        h = self.header
        usual = Defaults.of(h["quick"])
        rounds = rounds or h.get("given_rounds", 0)
        return [*(["--quick"] if h["quick"] else []),
                *([f"--rounds {rounds}"] if rounds > (1 if h["quick"] else 0) else []),
                *(f"--command {shlex.quote(f'{name}={command}')}" for name, command in h.get("commands", {}).items()),
                *([f"--seconds {h['seconds']:g}"] if h["seconds"] != usual.seconds else []),
                *([f"--precision {h['precision']:g}"] if h["precision"] != usual.precision else []),
                *([f"--sessions {h['sessions']}"] if h["sessions"] != usual.sessions else []),
                *([f"--segmentation {h['segmentation']}"] if h["segmentation"] != "whole" else [])]

    @property
    def errors(self) -> dict[str, str]:
        return {" ".join(key): figure["error"] for key, figure in self.of.items() if "error" in figure}

    def good(self, *key: str) -> dict[str, dict]:
        """Figures whose key begins so and goes on with one more word, by that word."""
        return {found[-1]: figure for found, figure in self.of.items()
                if found[:-1] == key and "error" not in figure}

    def one(self, *key: str) -> dict | None:
        figure = self.of.get(key)
        return figure if figure and "error" not in figure else None

    @property
    def cells(self) -> list[str]:
        return list(dict.fromkeys(key[1] for key in self.of if key[0] == "cell"))

    def rounds(self, cell: str, server: str) -> dict[str, dict]:
        return self.good("cell", cell, server)

    def median(self, cell: str, server: str, field: str) -> float | None:
        values = [figure[field] for figure in self.rounds(cell, server).values()]
        return median(values) if values else None

    def pairs(self, first: dict[str, dict], second: dict[str, dict], field: str, second_field: str = "") -> list[float]:
        """Ratios of single rounds: what two servers did within minutes of each other."""
        below = second_field or field
        return [first[turn][field] / second[turn][below] for turn in first
                if turn in second and second[turn][below] and first[turn][field] is not None]

    def ratio(self, first: dict[str, dict], second: dict[str, dict], field: str, second_field: str = "") -> str:
        return spread(self.pairs(first, second, field, second_field))

    def cell_ratio(self, cell: str, first: str, second: str, field: str) -> str:
        return self.ratio(self.rounds(cell, first), self.rounds(cell, second), field)


def spread(pairs: list[float]) -> str:
    """The median, and the extremes where there are more than one."""
    if not pairs:
        return "–"
    extremes = f" ({short(min(pairs))} to {short(max(pairs))})" if len(pairs) > 1 else ""
    return f"{short(median(pairs))}{extremes}"


def short(value: float) -> str:
    return f"{value:.3f}" if value < 0.3 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"
