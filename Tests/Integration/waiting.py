"""Waiting for what must come to hold by itself."""

import time


def eventually(holds, seconds=5.0) -> None:
    """Waits until a condition holds that must come to hold by itself."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)
