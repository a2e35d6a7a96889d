"""Samples of the CPU clock by `perf`, while something runs."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLES_A_SECOND = 4000
PERF_START_SECONDS = 0.5


@dataclass(frozen=True)
class Sample:
    task: int           # a thread
    in_kernel: bool
    binary: str         # without its folders
    symbol: str


def is_possible() -> bool:
    return shutil.which("perf") is not None


@contextmanager
def sampling(data: Path, seconds: float, *whom: str):
    """Samples for these seconds, from when the body begins; `whom` is perf's choice: ("-p", "1234") or ("-C", "0,1")."""
    # As urgent as what it watches, which leaves nothing to anybody else, and started before it.
    perf = subprocess.Popen(
        ["nice", "-n", "-20", "perf", "record", "-q", "-e", "cpu-clock", "-F", str(SAMPLES_A_SECOND), *whom, "-o", str(data),
         "--", "sleep", str(seconds + PERF_START_SECONDS)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(PERF_START_SECONDS)
        yield
        perf.wait(seconds + 20)
    finally:
        if perf.poll() is None:
            perf.kill()
            perf.wait()


def taken(data: Path) -> Iterator[Sample]:
    """What was sampled; the file is gone afterwards."""
    done = subprocess.run(["perf", "script", "-i", str(data), "-F", "tid,ip,sym,dso"], capture_output=True, text=True,
                          timeout=120)
    data.unlink(missing_ok=True)
    for line in done.stdout.splitlines():
        task, _, rest = line.strip().partition(" ")
        address, _, rest = rest.strip().partition(" ")
        symbol, _, binary = rest.rpartition(" (")
        if binary:
            in_kernel = "kernel" in binary or "bpf_prog" in symbol or int(address, 16) >> 47 != 0
            yield Sample(int(task), in_kernel, binary.rstrip(")").rpartition("/")[2], symbol)
