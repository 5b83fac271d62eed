"""The Live API server of this machine as a stage, for a pipeline without a key. The session finds it by a file."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline import Stage
from pipeline.config.options import OptionError
from pipeline.live.service import SIMULATOR_FILE
from pipeline.stage.life import WorldError

if TYPE_CHECKING:
    from pipeline.simulator import Server


class Simulator(Stage):
    """Serves on a free port of 127.0.0.1 and writes where it is to the run directory."""

    reads: ClassVar[tuple[str, ...]] = ()
    emits: ClassVar[tuple[str, ...]] = ()

    script: Path | None = None
    """What it answers, as YAML, relative to the file that names it; without one it is a museum guide."""
    journal: str | None = None
    """Every message as JSON lines, relative to the run directory."""
    audio: str | None = None
    """A folder for the sound that each connection sent, relative to the run directory."""
    sessions: str | None = None
    """A file in which its sessions outlive it, relative to the run directory: it is resumed after a restart."""
    notice: bool = True
    """Its first spoken answer says that it is no real service."""

    def prime(self) -> None:
        """Reads the script. Raises OptionError naming its file, line and key."""
        from pipeline.simulator import ScriptError

        try:
            try:
                self._server = self._served(self.state_dir)
            except OSError as error:
                self.log.warning(
                    "certificate not kept", reason=f"{self.state_dir}: {error.strerror}", instead="run dir"
                )
                self._server = self._served(self.run_dir)
        except ScriptError as error:
            raise OptionError(f"script: {error}") from error
        except OSError as error:
            raise WorldError(
                f"simulator: {error.filename or self.run_dir}: {error.strerror}; make room there"
            ) from error

    def _served(self, folder: Path) -> Server:
        """With its certificate in `folder`. Raises ScriptError, OSError."""
        from pipeline.simulator import Server

        return Server(
            self.config_dir / self.script if self.script else None,
            self.run_dir / self.journal if self.journal else None,
            certs=folder / "simulator",
            audio=self.run_dir / self.audio if self.audio else None,
            notice=self.notice,
            state=self.run_dir / self.sessions if self.sessions else None,
        )

    def start(self) -> None:
        """Nobody is served before the file says where."""
        self.state("waiting", "the simulator is starting")

    async def run(self) -> None:
        """Serve until stopped."""
        url = await self._server.start()
        path = self.run_dir / SIMULATOR_FILE
        part = path.with_suffix(f".{os.getpid()}")
        try:
            part.write_text(json.dumps({"url": url, "cert": str(self._server.cert.resolve())}))
            part.replace(path)  # whole: the session reads it at any moment
        except OSError as error:
            raise WorldError(f"simulator: {path}: {error.strerror}; make room there") from error
        self.state("live")
        self.log.info("simulator serves", url=url)
        try:
            await asyncio.Event().wait()
        finally:
            await self._server.stop()
