"""Two machines on one: a network namespace each, and between them a cable that loses packets and can be cut."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import select
import struct
import subprocess
import threading
from typing import Self

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


class Cable:
    """Packets of `ends`, names of network namespaces, carried by hand. Needs root; OSError where it can't be made."""

    def __init__(self, ends: dict[str, str], loss: float = 0.0) -> None:
        """`ends`: name of a namespace to its address. `loss`: share of the packets that are lost."""
        self.ends, self._loss = ends, loss
        self.cut = False
        self._dice = random.Random(7)
        self._fds: list[int] = []
        self._over = threading.Event()

    def __enter__(self) -> Self:
        try:
            for number, (name, address) in enumerate(self.ends.items()):
                _ip("netns", "add", name)
                fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
                self._fds.append(fd)
                device = f"vp{number}{os.getpid() % 100_000}"
                fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
                _ip("link", "set", device, "netns", name)
                _ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
                _ip("-n", name, "link", "set", device, "up")
                _ip("-n", name, "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__()
            raise OSError(f"no namespaces to be had: {error}") from error
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if hasattr(self, "_thread"):
            self._thread.join()
        for fd in self._fds:
            os.close(fd)
        for name in self.ends:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)

    def _carry(self) -> None:
        other = dict(zip(self._fds, reversed(self._fds), strict=True))
        while not self._over.is_set():
            for fd in select.select(self._fds, [], [], 0.1)[0]:
                packet = os.read(fd, 65_536)
                if not self.cut and self._dice.random() >= self._loss:
                    with contextlib.suppress(OSError):
                        os.write(other[fd], packet)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
