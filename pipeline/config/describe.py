"""`python -m pipeline.config.describe`: what stage classes say of themselves, asked in a process of its own.

Reads a JSON list of `{"name", "use", "config_dir"}` from stdin; for each writes one JSON line as soon as it is known:
`{"name", "use", "doc", "options", "reads", "emits"}` or `{"name", "problem", "nearest", "remedy"}`. The supervisor and
the commands learn a pipeline from this without importing a person's code, numpy, an audio library or an SDK; and a
module that crashes or hangs on import takes this process only.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from pipeline.config.stage_class import UnusableStage, describe, find_class


def main() -> None:
    """Answer what stdin asks."""
    asked: list[dict[str, Any]] = json.loads(sys.stdin.buffer.read())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a module prints must not stand between the answers
    for folder in dict.fromkeys(request["config_dir"] for request in asked):
        sys.path.insert(0, folder)
    for request in asked:
        answers.write(json.dumps(_answer(request)) + "\n")
        answers.flush()
    os._exit(0)  # threads and exit hooks of what was imported are nobody's business


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        described = describe(find_class(request["name"], request["use"], Path(request["config_dir"])))
    except UnusableStage as error:
        return {"name": request["name"], "problem": error.problem, "nearest": error.nearest, "remedy": error.remedy}
    return {"name": request["name"], **described}


if __name__ == "__main__":
    main()
