"""The same private sound server as `PulseServer`, but PipeWire: its core, its session manager, its PulseAudio face."""

from __future__ import annotations

import shutil
import subprocess

from tests.rig.pulse import PROGRAMS, PulseServer, wait_until

DAEMONS = ("dbus-daemon", "pipewire", "wireplumber", "pipewire-pulse")
MISSING = "PipeWire is missing here: sudo apt-get install -y pipewire wireplumber pipewire-pulse"


def available() -> bool:
    """Whether its programs and PulseAudio's clients are installed."""
    return all(shutil.which(program) for program in (*DAEMONS, *PROGRAMS[1:]))


class PipeWireServer(PulseServer):
    """`with PipeWireServer() as pulse:` in place of `PulseServer`."""

    @property
    def env(self) -> dict[str, str]:
        return super().env | {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.dir}/run/dbus", "DISABLE_RTKIT": "1"}

    def answers(self) -> bool:
        """Its session manager has begun, too: it is that which knows of a default."""
        info = subprocess.run(["pactl", "info"], env=self.env, capture_output=True, text=True, timeout=5, check=False)
        return info.returncode == 0 and "@DEFAULT" not in info.stdout

    def _launch(self) -> None:
        """WirePlumber ends at once without a session bus; the others do with less than they complain of."""
        run = self.dir / "run"
        for name in ("dbus", "pipewire-0", "pipewire-0-manager"):  # of those who were killed
            (run / name).unlink(missing_ok=True)
        self._daemon("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address=unix:path={run}/dbus")
        wait_until((run / "dbus").exists, 5.0, "a session bus")
        self._daemon("pipewire")
        wait_until((run / "pipewire-0").exists, 5.0, "PipeWire's socket")
        self._daemon("wireplumber")
        self._daemon("pipewire-pulse")
