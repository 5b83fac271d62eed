"""A pipeline that runs: levels and states from its bus. No device is opened: it holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.bus.listener import Listener
from pipeline.doctor.findings import Finding
from pipeline.doctor.sound import QUIET_DBFS

LISTEN_S = 3.0
REMEDY = {"degraded": "", "failed": "see its last words in the log", "muted": "voice-pipeline unmute"}


def check(run_dir: Path, status: dict[str, Any]) -> list[Finding]:
    """One finding a stage, and the level of the microphone. `status` is the pipeline's own answer."""
    findings = []
    for name, stage in status["stages"].items():
        state, reason = stage["state"], stage["reason"]
        grade = "bad" if state == "failed" else "warning" if state in ("degraded", "muted", "restarting") else "ok"
        words = f"{state}: {reason}" if reason else state
        findings.append(Finding(name, grade, words, REMEDY.get(state, "")))  # type: ignore[arg-type]
    listener = Listener(lambda: run_dir, ["event.level"])
    try:
        heard = [message.fields.get("body", {}) for message in listener.heard(LISTEN_S)]
    finally:
        listener.close()
    levels = [body["rms_dbfs"] for body in heard if isinstance(body.get("rms_dbfs"), int | float)]
    if not levels:
        words = f"no level within {LISTEN_S:g} s"
        return [*findings, Finding("microphone", "warning", words, "see the states of capture and frontend")]
    loudest = max(levels)
    words = f"{min(levels):.0f} to {loudest:.0f} dBFS on the bus"
    if loudest < QUIET_DBFS:
        return [*findings, Finding("microphone", "warning", words, "speak while this runs; see that it is switched on")]
    return [*findings, Finding("microphone", "ok", words)]
