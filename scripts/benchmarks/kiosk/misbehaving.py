"""Functions that do what they can to be heard; called by `make bench PART=tools`."""

import ctypes
import os
import time


def sleeps() -> None:
    """Sleep for 30 s."""
    time.sleep(30)


def spins() -> None:
    """Compute for ever."""
    while True:
        pass


def segfaults() -> None:
    """Read where nothing is."""
    ctypes.string_at(0)


def floods() -> None:
    """Write without end."""
    while True:
        os.write(1, b"nonsense\n" * 7_000)
