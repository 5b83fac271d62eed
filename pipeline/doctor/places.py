"""Where the machine writes, and whether it can."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipeline import places
from pipeline.doctor.findings import Finding

SMALL_MB = 50


def check(name: str, environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """Run and state directory of the pipeline `name`."""
    findings = [_room("run directory", places.run_directory(name, environ))]
    states = places.state_directories(name, environ)
    if states:
        findings.append(_room("state directory", states[0]))
    else:
        findings.append(Finding("state directory", "warning", "none", "set STATE_DIRECTORY or HOME"))
    return findings


def _room(what: str, folder: Path) -> Finding:
    """Whether a file can be made there, by the nearest folder that is there: nothing is left behind."""
    near = next(path for path in (folder, *folder.parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=near) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        remedy = f"let this user write there, or mount it: {folder}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = f"make room there: du -xh {near} | sort -h"
        return Finding(what, "bad", f"{near}: {error.strerror}", remedy)
    free_mb = shutil.disk_usage(near).free // 10**6
    if free_mb < SMALL_MB:
        return Finding(what, "warning", f"{folder}: {free_mb} MB free", "make room: what is kept there will be lost")
    return Finding(what, "ok", f"{folder}, {free_mb} MB free")
