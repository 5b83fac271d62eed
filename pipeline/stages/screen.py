"""The conversation on a terminal as it happens: stages, levels, captions of both sides, latency of each answer.

It reads the bus like any tap. Piped, it prints plain lines and no levels.
"""

from __future__ import annotations

import shutil
import sys
from typing import ClassVar, TextIO

from pipeline import Event, Stage

DIM, BOLD, CYAN, GREEN, YELLOW, RED, PLAIN = (f"\x1b[{code}m" for code in (2, 1, 36, 32, 33, 31, 0))
CLEAR_LINE = "\r\x1b[K"
PASSING = ("starting", "primed", "stopping")
BAR_CELLS, FLOOR_DBFS = 24, -60.0


def bar(dbfs: float) -> str:
    """A level as a bar of BAR_CELLS characters, empty at FLOOR_DBFS, full at 0 dBFS."""
    full = round((1 - max(FLOOR_DBFS, min(0.0, dbfs)) / FLOOR_DBFS) * BAR_CELLS)
    return "█" * full + "·" * (BAR_CELLS - full)


class Canvas:
    """Lines that stay, and on a terminal one line at the bottom that changes."""

    def __init__(self, out: TextIO, colour: bool) -> None:
        self._out, self._colour = out, colour
        self._bottom = ""

    def line(self, text: str, style: str = "") -> None:
        """Print a line that stays."""
        if self._colour:
            self._write(f"{CLEAR_LINE}{style}{text}{PLAIN if style else ''}\n{self._bottom}")
        else:
            self._write(text + "\n")

    def bottom(self, text: str) -> None:
        """Replace the changing line; nothing when piped."""
        if not self._colour:
            return
        self._bottom = text[: max(10, shutil.get_terminal_size().columns - 1)]
        self._write(f"{CLEAR_LINE}{DIM}{self._bottom}{PLAIN}")

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):  # the terminal was closed: the pipeline talks on
            self._out = open("/dev/null", "w")  # noqa: SIM115 - for the rest of the process


class Screen(Stage):
    """Prints what a person wants to see of a running pipeline."""

    reads: ClassVar[tuple[str, ...]] = ()
    emits: ClassVar[tuple[str, ...]] = ()

    def prime(self) -> None:
        """Colour and levels on a terminal only."""
        self._canvas = Canvas(sys.stdout, sys.stdout.isatty())
        self._since_end_ms: float | None = None
        self._audio_came_ns = 0
        self._partial = {"person": "", "machine": ""}
        self._level = ""

    def on_stage(self, event: Event) -> None:
        """A stage changed its state. What every start goes through is not worth a line."""
        body = event.body
        if body["state"] in PASSING:
            return
        style = {"live": GREEN, "degraded": YELLOW, "waiting": YELLOW, "muted": YELLOW}.get(body["state"], DIM)
        reason = f": {body['reason']}" if body.get("reason") else ""
        self._canvas.line(f"{body['stage']:>10}  {body['state']}{reason}", style)

    def on_level(self, event: Event) -> None:
        """The microphone, five times a second."""
        self._level = "" if (dbfs := event.body.get("rms_dbfs")) is None else bar(dbfs)
        self._show_bottom()

    def on_caption(self, event: Event) -> None:
        """What was said; each side's words stay when its sentence is complete."""
        who, text = ("person" if event.body["who"] == "person" else "machine"), str(event.body["text"])
        if event.body.get("final"):
            self._partial[who] = ""
            if text.strip():
                name, style = ("you", CYAN) if who == "person" else ("machine", BOLD)
                self._canvas.line(f"{name:>10}  {text.strip()}", style)
        else:
            self._partial[who] = text
        self._show_bottom()

    def on_first_audio(self, event: Event) -> None:
        """The service began to answer."""
        self._since_end_ms, self._audio_came_ns = event.body.get("since_speech_end_ms"), event.sent

    def on_audible(self, event: Event) -> None:
        """The answer reached the speaker."""
        if self._since_end_ms is None or not self._audio_came_ns:
            return
        ours_ms = max(0.0, (event.body["t"] - self._audio_came_ns) / 1e6)
        self._canvas.line(
            f"{'':>10}  answer audible {self._since_end_ms + ours_ms:.0f} ms after the end of speech"
            f" (service {self._since_end_ms:.0f}, here {ours_ms:.0f})",
            DIM,
        )
        self._since_end_ms = None

    def on_interrupted(self, event: Event) -> None:
        """The machine was spoken over."""
        self._canvas.line(f"{'':>10}  interrupted after {event.body.get('after_ms') or 0:.0f} ms", YELLOW)

    def on_connection(self, event: Event) -> None:
        """The line to the service went up or down."""
        body = event.body
        if body.get("up"):
            self._canvas.line(f"{'':>10}  connected to {body.get('service', 'the service')}", DIM)
        else:
            self._canvas.line(f"{'':>10}  no connection: {body.get('reason', '')}", RED)

    def on_recorded(self, event: Event) -> None:
        """A recording is complete."""
        self._canvas.line(f"{'':>10}  what the visitor heard is recorded in {event.body['file']}", BOLD)

    def stop(self) -> None:
        """Leave a clean line behind."""
        self._canvas.bottom("")

    def _show_bottom(self) -> None:
        words = self._partial["machine"] or self._partial["person"]
        self._canvas.bottom(f"{'mic':>10}  {self._level}  {words}")
