"""A pipeline that runs: levels and states from its bus. No device is opened: it holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.bus.listener import Listener
from pipeline.doctor.findings import Finding, Grade
from pipeline.doctor.sound import QUIET_DBFS

LISTEN_S = 3.0
FIT = ("ok", "starting", "stopping", "simulator", "waiting_for_trigger", "muted")
"""Verdicts of a machine that talks, or will when somebody wants it to."""
ENDS = ("capture", "playback")
"""Stages that are degraded when their device is gone: nobody is heard, or nobody hears."""
REMEDY = {"degraded": "", "failed": "see its last words in the log", "muted": "voice-pipeline unmute"}


def check(run_dir: Path, status: dict[str, Any]) -> list[Finding]:
    """The verdict, one finding a stage, and the level of the microphone. `status` is the pipeline's own answer."""
    findings = [_verdict(status.get("verdict") or {})]
    for name, stage in status["stages"].items():
        words = f"{stage['state']}: {stage['reason']}" if stage["reason"] else stage["state"]
        findings.append(Finding(name, _grade(name, stage["state"]), words, REMEDY.get(stage["state"], "")))
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


def _verdict(verdict: dict[str, Any]) -> Finding:
    """The pipeline's own, which names what is to be mended first."""
    code, words, remedy = (str(verdict.get(key) or "") for key in ("code", "words", "remedy"))
    grade: Grade = "ok" if code == "ok" else "warning" if code in FIT else "bad"
    return Finding("verdict", grade, words or "none", remedy)


def _grade(name: str, state: str) -> Grade:
    if state == "failed" or (state == "degraded" and name in ENDS):
        return "bad"
    return "warning" if state in ("degraded", "muted", "restarting") else "ok"
