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
    """The file's own names and units: an object, or a list of objects that name themselves."""
    if not COSTS.exists():
        return ""
    rows = [[name, value] for name, value in _flat(json.loads(COSTS.read_text()))]
    return ("## The XDP program under `BPF_PROG_TEST_RUN`\n\n" + table(["figure", "value"], rows)
            + "\nRepeat: `make bench-xdp`\n")


def _flat(found, path: str = "") -> list[tuple[str, str]]:
    if isinstance(found, dict) and isinstance(found.get("name"), str):
        rest = {key: value for key, value in found.items() if key != "name"}
        return _flat(rest, f"{path} {found['name']}".strip())
    if isinstance(found, dict):
        return [row for key, value in found.items() for row in _flat(value, f"{path} {key}".strip())]
    if isinstance(found, list):
        return [row for value in found for row in _flat(value, path)]
    return [(path, f"{found:.1f}" if isinstance(found, float) else str(found))]
