"""`status --watch`: one screen of a running pipeline, drawn anew a few times a second; plain lines when piped."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.bus.listener import Heard, Listener
from pipeline.cli import running
from pipeline.supervisor.client import NoAnswer, ask
from pipeline.supervisor.latency import percentile

DRAW_S: Final = 0.5
"""A screen takes 5 to 15 ms of a core, so that four a second with the table of stages anew in each were 4 % of it."""
ASK_S: Final = 1.0
PIPED_S: Final = 2.0
NARROW: Final = 64
"""Columns below which a stage has one line, without its numbers."""
HOPS: Final = 500
CAPTIONS: Final = 6
PATTERNS: Final = ("event.caption", "event.level", "audio.voice", "audio.reply")
MARKS: Final = {"live": "green", "ended": "green", "muted": "yellow", "waiting": "yellow", "degraded": "yellow"}


class Board:
    """What the screen shows. Pure: messages and replies in."""

    def __init__(self) -> None:
        self.status: Mapping[str, Any] = {}
        self.trouble = ""
        """Why there is no fresh status."""
        self.level_dbfs: float | None = None
        self.captions: deque[tuple[str, str]] = deque(maxlen=CAPTIONS)
        self.partial: dict[str, str] = {}
        self._hops: dict[str, deque[float]] = {}
        self.table: tuple[Mapping[str, Any], int, Any] = ({}, 0, None)
        """The stages as they were drawn: of which status, for which width."""

    def hear(self, message: Heard) -> None:
        """A message of the bus."""
        fields = message.fields
        if message.topic.startswith("audio."):
            if fields.get("replay") is None and message.late_ms is not None:
                hop = f"{fields['src']}/{message.topic.removeprefix('audio.')}"
                self._hops.setdefault(hop, deque(maxlen=HOPS)).append(message.late_ms)
            return
        body = fields.get("body")
        if not isinstance(body, dict):
            return
        if message.topic == "event.level" and isinstance(body.get("rms_dbfs"), int | float):
            self.level_dbfs = float(body["rms_dbfs"])
        elif message.topic == "event.caption":
            who, text = str(body.get("who")), str(body.get("text", "")).strip()
            if not body.get("final"):
                self.partial[who] = text
                return
            self.partial.pop(who, None)
            if text:
                self.captions.append((who, text))

    def hops(self) -> list[tuple[str, float, float]]:
        """(edge, p50, p99) in ms, from being sent to being read here."""
        return [(name, percentile(list(times), 50), percentile(list(times), 99)) for name, times in self._hops.items()]

    def verdict(self) -> tuple[str, str]:
        """(code, line)."""
        verdict = self.status.get("verdict") or {}
        words = str(verdict.get("words", self.status.get("pipeline", {}).get("state", "unknown")))
        remedy = f"; {verdict['remedy']}" if verdict.get("remedy") else ""
        return str(verdict.get("code", "")), f"{words}{remedy}"


def watch(run_dir: Path) -> int:
    """Until Ctrl-C, or until the pipeline is gone."""
    running.look_on()
    board, listener = Board(), Listener(lambda: run_dir, PATTERNS)
    try:
        if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":  # else nothing can be drawn over
            return _on_screen(board, listener, run_dir)
        return _piped(board, listener, run_dir)
    except KeyboardInterrupt:
        return 0
    finally:
        listener.close()


def _refresh(board: Board, run_dir: Path) -> None:
    try:
        board.status, board.trouble = ask(run_dir, "status"), ""
    except NoAnswer as error:
        board.trouble = str(error)


def _piped(board: Board, listener: Listener, run_dir: Path) -> int:
    while True:
        _refresh(board, run_dir)
        _, line = board.verdict()
        level = f"{board.level_dbfs:.0f} dBFS" if board.level_dbfs is not None else "no level"
        print(f"{time.strftime('%H:%M:%S')} {board.trouble or line} ({level})", flush=True)
        _listen(board, listener, PIPED_S)


def _on_screen(board: Board, listener: Listener, run_dir: Path) -> int:
    from rich.live import Live

    asked = -ASK_S
    with Live(screen=True, auto_refresh=False, redirect_stderr=False) as live:
        while True:
            if time.monotonic() - asked >= ASK_S:
                asked = time.monotonic()
                _refresh(board, run_dir)
            live.update(draw(board), refresh=True)
            _listen(board, listener, DRAW_S)


def _listen(board: Board, listener: Listener, seconds: float) -> None:
    for message in listener.heard(seconds):
        board.hear(message)


def draw(board: Board) -> Any:
    """The screen as something that rich prints, at any size."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    code, line = board.verdict()
    colour = "green" if code == "ok" else "yellow" if code in ("simulator", "muted", "waiting_for_trigger") else "red"
    head = Text(board.trouble or line, style=f"bold {'red' if board.trouble else colour}")
    said = Text()
    for who, text in (*board.captions, *board.partial.items()):
        name, style = ("you", "cyan") if who == "person" else ("machine", "bold")
        said.append(f"{name:>8}  ", style="dim").append(f"{text}\n", style=style)
    name = str(board.status.get("pipeline", {}).get("name", ""))
    return Group(Panel(head, title=name), _Stages(board), Text(_figures(board), style="dim"), said)


class _Stages:
    """The table, laid out anew when the status or the width is another."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __rich_console__(self, console: Any, options: Any) -> Any:
        status, width, drawn = self._board.table
        if status is not self._board.status or width != options.max_width or drawn is None:
            drawn = list(console.render(_stages(self._board, options.max_width), options))
            self._board.table = self._board.status, options.max_width, drawn
        return drawn


def _stages(board: Board, width: int) -> Any:
    from rich.table import Table

    table = Table(box=None, expand=True, pad_edge=False)
    titles = ("stage", "state", "pid", "restarts", "reason") if width >= NARROW else ("stage", "state", "reason")
    for title in titles:
        # a reason in a column of two letters would push the stages below it off a small screen
        table.add_column(
            title,
            no_wrap=title != "reason" or width < NARROW,
            overflow="ellipsis",
            ratio=1 if title == "reason" else None,
        )
    for name, stage in board.status.get("stages", {}).items():
        colour = MARKS.get(stage["state"], "red" if stage["state"] == "failed" else "cyan")
        state = f"[{colour}]{stage['state']}[/]"
        numbers = (str(stage["pid"] or "-"), str(stage["restarts"])) if width >= NARROW else ()
        table.add_row(name, state, *numbers, stage["reason"].replace("[", r"\["))
    return table


def _figures(board: Board) -> str:
    parts = [f"mic {board.level_dbfs:.0f} dBFS"] if board.level_dbfs is not None else []
    parts += [f"{hop} p50 {p50:.1f} p99 {p99:.1f} ms" for hop, p50, p99 in board.hops()]
    latency = board.status.get("latency") or {}
    if latency:
        ours, total = latency["ours_ms"], latency["total_ms"]
        parts.append(f"answers p50 {total['p50']} ms, ours p50 {ours['p50']} p95 {ours['p95']} ms")
    usage = board.status.get("usage") or {}
    if isinstance(usage.get("day_usd"), int | float):
        parts.append(f"today {usage['day_usd']:.2f} USD")
    if incidents := board.status.get("incidents"):
        parts.append(f"{len(incidents)} incidents under way")
    return "  ·  ".join(parts)
