"""Where things are, and how the C programs are built."""

import subprocess
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
ROOT = BENCHMARKS.parent
OUT = BENCHMARKS / "out"


def pinned(*cpus: int) -> tuple[str, ...]:
    """A command's prefix: on these CPUs, and before whatever else the machine is busy with."""
    return ("nice", "-n", "-20", "taskset", "-c", ",".join(map(str, cpus)))


def build() -> None:
    """Builds the reference relay, the generator and the probe; raises with the compiler's words."""
    done = subprocess.run(["make", "-s", "-C", str(BENCHMARKS)], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"building the C programs failed:\n{done.stdout}{done.stderr}")
