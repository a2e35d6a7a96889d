"""What is to be done, what has been done, and how long the rest will take."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


# Of the header: by what else a figure is made. Rounds are figures of their own.
SETTINGS = ("measuring", "seconds", "precision", "sessions", "segmentation", "quick")
ROUNDS = ("rounds", "base_rounds", "given_rounds")


@dataclass(frozen=True)
class Step:
    """One measurement; its key says which, its figure is JSON.

    key: part, then what it measures, such as ("cell", "up/172/1/64", "coturn", "0").
    """

    key: tuple[str, ...]
    run: Callable[[], dict]
    seconds: float              # about

    @property
    def name(self) -> str:
        return "|".join(self.key)


class Records:
    """Figures by key, kept in a file after every step, so that a run can go on where another ended."""

    def __init__(self, path: Path, header: dict):
        self.path, self.header = path, header
        self.figures: dict[str, dict] = {}

    @staticmethod
    def read(path: Path) -> "Records":
        if not path.exists():
            sys.exit(f"benchmarks/run: there is no {path}: measure first")
        found = json.loads(path.read_text())
        records = Records(path, found["header"])
        records.figures = found["figures"]
        return records

    def resume(self) -> None:
        """Takes over what an earlier run left; refuses figures of another machine or program, or by other settings."""
        if not self.path.exists():
            return
        before = json.loads(self.path.read_text())
        for field in ("machine", "versions", *SETTINGS):
            if before["header"].get(field) != self.header[field]:
                sys.exit(f"benchmarks/run: {self.path} is of another {field}; measure anew without --resume, or give"
                         f" another --out.\n  there: {before['header'].get(field)}\n  here:  {self.header[field]}")
        self.figures = before["figures"]
        self.header = {**before["header"], **{field: self.header[field] for field in ROUNDS}}

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"header": self.header, "figures": self.figures}, indent=1) + "\n"
        part = self.path.with_suffix(".part")
        part.write_text(text)
        part.replace(self.path)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def take(steps: list[Step], records: Records, stop_after: float) -> bool:
    """Runs the steps that have no figure yet, or one that is an error. Returns whether all were run.

    stop_after: seconds after which no step begins; 0: never.
    """
    begun = time.monotonic()
    left = [step for step in steps if "error" in records.figures.get(step.name, {"error": "never run"})]
    say(f"{len(left)} of {len(steps)} steps to do, about {sum(s.seconds for s in left) / 60:.0f} min")
    pace = 1.0
    for number, step in enumerate(left):
        if stop_after and time.monotonic() - begun + step.seconds * pace > stop_after:
            say(f"stopped with {len(left) - number} steps to do; --resume does them")
            return False
        started = time.monotonic()
        try:
            records.figures[step.name] = step.run()
        except (RuntimeError, OSError, ValueError, ArithmeticError, subprocess.SubprocessError) as error:
            # One server's failure is a result, too; the others go on. A process that has gone is an OSError.
            records.figures[step.name] = {"error": str(error) or type(error).__name__}
            say(f"{step.name}: {error}")
        records.save()
        took = time.monotonic() - started
        pace = 0.8 * pace + 0.2 * took / step.seconds
        rest = sum(s.seconds for s in left[number + 1:]) * pace
        say(f"{_bar(number + 1, len(left))} {step.name}, {took:.0f} s; {rest / 60:.0f} min left")
    return True


def _bar(done: int, total: int) -> str:
    width = 20
    full = width * done // total
    return f"[{'#' * full}{'.' * (width - full)}] {done}/{total}"
