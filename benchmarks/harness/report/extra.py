"""What other programs measured: single operations, and the XDP program run by the kernel's own test."""

import json

from ..programs import OUT
from .figures import table

MICRO = OUT / "micro.json"
COSTS = OUT / "xdp-costs.txt"


def micro() -> str:
    if not MICRO.exists():
        return ""
    rows = [[one["name"], f"{one['nanoseconds']:.0f}", f"{one['allocations']:.2f}", f"{one['references']:.2f}"]
            for one in json.loads(MICRO.read_text())]
    return ("## Single operations\n\nCPU time of the fastest of ten rounds; heap allocations, retains and releases an "
            "operation.\n\n" + table(["case", "ns", "allocations", "retains and releases"], rows)
            + "\nRepeat: `make bench-micro`\n")


def costs() -> str:
    """The lines that the measurement prints as `cost: WHAT: FIGURE` or `cost: SENTENCE`."""
    if not COSTS.exists():
        return ""
    found = [line.partition("cost: ")[2].strip() for line in COSTS.read_text().splitlines() if "cost: " in line]
    if not found:
        return ""
    rows = [list(line.rpartition(": ")[::2]) if ": " in line else [line, ""] for line in found]
    return ("## The XDP program under `BPF_PROG_TEST_RUN`\n\nThe kernel's own test run, the least of many, its loop's 11 ns "
            "included.\n\n" + table(["what", "figure"], rows) + "\nRepeat: `sudo make bench-xdp`\n")
