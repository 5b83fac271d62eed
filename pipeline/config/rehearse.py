"""`python -m pipeline.config.rehearse`: whether stages can be primed with their options.

`prime` takes no lock, socket, device or connection, so it can be tried anywhere; and it is where a stage refuses what
fits its types and yet can't be: a file that is absent, a field that an SDK does not know. Reads a JSON list of
`{"name", "use", "config_dir", "scratch_dir", "language", "options", "env"}` and answers `{"name", "refused"}`, with an
empty text for a stage that is content.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

from pipeline.config.answering import answer_all
from pipeline.config.options import OptionError, build_options
from pipeline.config.stage_class import find_class


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What the stage has against its options."""
    os.environ.update(request["env"])
    try:
        prime(request)
    except OptionError as error:
        return {"refused": str(error)}
    except ImportError as error:
        return {"refused": f"prime failed: {traceback.format_exception_only(error)[-1].strip()}"}
    except Exception:  # no word against the options: `run`, with devices and servers, finds out what it is
        return {"refused": ""}
    return {"refused": ""}


def prime(request: dict[str, Any]) -> None:
    """Make the stage and prime it, as its process would. Raises what `prime` raises."""
    import structlog

    from pipeline.stage.brief import Brief

    config_dir, scratch = Path(request["config_dir"]), Path(request["scratch_dir"])
    cls: Any = find_class(request["name"], request["use"], config_dir)
    stage = cls()
    stage.name, stage.inst, stage.log = request["name"], 0, structlog.get_logger()
    stage.brief = Brief(
        name=request["name"],
        inst=0,
        run_dir=scratch,
        state_dir=scratch,
        config_dir=config_dir,
        bind="",
        control="",
        peers={},
        inputs={},
        use=request["use"],
        options=request["options"],
        language=request["language"],
    )
    for name, value in build_options(cls, request["options"]).items():
        setattr(stage, name, value)
    stage.prime()


if __name__ == "__main__":
    answer_all(answer)
