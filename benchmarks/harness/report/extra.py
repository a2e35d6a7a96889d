"""What other programs measured: single operations, and the XDP program run by the kernel's own test."""

import json
import time
from pathlib import Path

from ..programs import OUT
from .figures import table

MICRO = OUT / "micro.json"
COSTS = OUT / "xdp-costs.json"


def _when(file: Path) -> str:
    """These are measured apart from the rest, perhaps of another build."""
    return f"Measured {time.strftime('%Y-%m-%d %H:%M %Z', time.localtime(file.stat().st_mtime))}."


def micro() -> str:
    if not MICRO.exists():
        return ""
    # What a plane's case takes of its thread is the sending client's time, not the relay's.
    rows = [[one["name"], "–" if one["name"].startswith("plane/") else f"{one['nanoseconds']:.0f}", f"{one['allocations']:.2f}", f"{one['references']:.2f}"]
            for one in json.loads(MICRO.read_text())]
    return (f"## Single operations\n\n{_when(MICRO)} CPU time of the fastest of ten rounds; heap allocations, retains and releases "
            "an operation. Whole workers (`plane/`) are here for their counts; what they cost is above.\n\n" + table(["case", "ns", "allocations", "retains and releases"], rows)
            + "\nRepeat: `make bench-micro`\n")


def costs() -> str:
    """The file's rows say what was measured, the value, its unit and, if there is one, its limit."""
    if not COSTS.exists():
        return ""
    rows = [[one["what"], f"{one['value']:g} {one['unit']}", f"{one['limit']:g}" if one.get("limit") else ""]
            for one in json.loads(COSTS.read_text())]
    return ("## The XDP program under `BPF_PROG_TEST_RUN`, and its routes\n\n"
            f"{_when(COSTS)} The least of many runs.\n\n"
            + table(["what", "measured", "limit"], rows) + "\nRepeat: `sudo make bench-xdp`\n")
