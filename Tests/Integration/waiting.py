"""Waiting for what must come to hold by itself."""

import time


def eventually(holds, seconds=15.0) -> None:
    """Waits until a condition holds that must come to hold by itself."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


def wait_for_log(relay, text: str) -> None:
    """Waits for a line: what the program does is often seen before what it says of it."""
    try:
        eventually(lambda: text in relay.log())
    except AssertionError:
        raise AssertionError(f"{text!r} never stood in the log:\n{relay.log()}") from None
