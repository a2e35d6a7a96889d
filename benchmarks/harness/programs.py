"""Where things are, and how the C programs are built."""

import hashlib
import subprocess
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
ROOT = BENCHMARKS.parent
OUT = BENCHMARKS / "out"


def pinned(*cpus: int) -> tuple[str, ...]:
    """A command's prefix: on these CPUs, and before whatever else the machine is busy with."""
    return ("nice", "-n", "-20", "taskset", "-c", ",".join(map(str, cpus)))


def digest(*files: Path) -> str:
    """Of the contents of files, in their order; those that are not there count as empty."""
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes() if file.is_file() else b"")
    return found.hexdigest()[:12]


def measuring() -> dict[str, str]:
    """What measures, by digest: a figure is of this as well as of the server."""
    return {"generator": digest(OUT / "generator", OUT / "frames.bpf.o"), "first-answer": digest(OUT / "first-answer"),
            "harness": digest(*sorted((BENCHMARKS / "harness").glob("*.py")))}


def build() -> None:
    """Builds the reference relay, the generator and the probe; raises with the compiler's words."""
    done = subprocess.run(["make", "-s", "-C", str(BENCHMARKS)], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"building the C programs failed:\n{done.stdout}{done.stderr}")
