"""What other programs measured: single operations, and the XDP program run by the kernel's own test."""

import json

from ..programs import OUT
from .figures import table

MICRO = OUT / "micro.json"
COSTS = OUT / "xdp-costs.json"


def micro() -> str:
    if not MICRO.exists():
        return ""
    rows = [[one["name"], f"{one['nanoseconds']:.0f}", f"{one['allocations']:.2f}", f"{one['references']:.2f}"]
            for one in json.loads(MICRO.read_text())]
    return ("## Single operations\n\nCPU time of the fastest of ten rounds; heap allocations, retains and releases an "
            "operation.\n\n" + table(["case", "ns", "allocations", "retains and releases"], rows)
            + "\nRepeat: `make bench-micro`\n")


def costs() -> str:
    """The file's rows say what was measured, the value, its unit and, if there is one, its limit."""
    if not COSTS.exists():
        return ""
    rows = [[one["what"], f"{one['value']:g} {one['unit']}", f"{one['limit']:g}" if one.get("limit") else ""]
            for one in json.loads(COSTS.read_text())]
    return ("## The XDP program under `BPF_PROG_TEST_RUN`, and its routes\n\n"
            + table(["what", "measured", "limit"], rows) + "\nRepeat: `sudo make bench-xdp`\n")
