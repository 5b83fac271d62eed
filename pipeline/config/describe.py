"""`python -m pipeline.config.describe`: what stage classes say of themselves, asked in a process of its own.

Reads a JSON list of `{"name", "use", "config_dir"}` from stdin; for each writes one JSON line as soon as it is known:
`{"name", "use", "options", "reads", "emits", "tells"}` or `{"name", "problem", "nearest", "remedy"}`. The supervisor
and the commands learn a pipeline from this without importing a person's code, numpy, an audio library or an SDK; and a
module that crashes or hangs on import takes this process only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config.answering import answer_all
from pipeline.config.stage_class import UnusableStage, describe, find_class


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """One description, or why there is none."""
    try:
        return describe(find_class(request["name"], request["use"], Path(request["config_dir"])))
    except UnusableStage as error:
        return {"problem": error.problem, "nearest": error.nearest, "remedy": error.remedy}


if __name__ == "__main__":
    answer_all(answer)
