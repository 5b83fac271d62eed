"""`run CONFIG`: a pipeline in the foreground, from its file to its exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pipeline import exits

if TYPE_CHECKING:
    from pipeline.config.tables import Pipeline

IN_USE = 75
"""EX_TEMPFAIL: another one runs here; a service manager may try again later."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    parser.add_argument("config", metavar="CONFIG", help="a path, or a name in configs/")
    parser.add_argument(
        "--set", action="append", default=[], metavar="K=V", dest="sets", help="such as stages.capture.device=Jabra"
    )


def run(args: argparse.Namespace) -> int:
    """0 after an ordered stop or a finished conversation; 78 for an unfit configuration or place; see `app.run`."""
    from pipeline.supervisor import zygote_launch
    from pipeline.supervisor.recipe import MARK, new_mark

    mark = new_mark()
    # before all else: it loads while the configuration is read
    launched = zygote_launch.launch(f"{MARK}={mark}") if zygote_launch.possible() else []

    from pipeline import log, places
    from pipeline.bus.curve import Unfit

    # isort: split
    import structlog  # after log, which spares it what nobody needs

    from pipeline.config import known
    from pipeline.config.child import by_exec
    from pipeline.config.descriptions import describe_stages
    from pipeline.config.errors import ConfigErrors
    from pipeline.config.loading import load
    from pipeline.supervisor import app
    from pipeline.supervisor.zygote_spawner import ZygoteSpawner

    log.early()
    spawner = ZygoteSpawner(f"{MARK}={mark}", launched) if launched else None
    start = spawner.start if spawner is not None else by_exec
    describer = partial(describe_stages, start=start, known=known.Known(known.folder(os.environ)))
    try:
        pipeline = with_screen(load(args.config, args.sets, describer=describer))
        run_dir = places.run_directory(pipeline.name)
        places.make_run(run_dir)
        with places.RunLock(run_dir):
            state = places.make_state(pipeline.name, run_dir)
            shown = "warning" if sys.stdout.isatty() else "debug"  # the screen tells the rest there
            file = pipeline.log.path(state.path)
            written = log.for_supervisor(pipeline.log.level, file, pipeline.log.cap_mb, shown)
            if file is not None and (unfit := log.unfit(file)):
                structlog.get_logger().warning("log file unfit, lines are lost", file=str(file), reason=unfit)
            if state.degraded:
                structlog.get_logger().warning("state directory unfit", reason=state.degraded)
            code = app.run(pipeline, run_dir, state.path, spawner, mark)
        return anew(pipeline.name, written.flush) if code == app.ANEW else code
    except (ConfigErrors, places.PlaceError, Unfit) as error:
        print(error, file=sys.stderr)
        return IN_USE if isinstance(error, places.AlreadyRunning) else exits.CONFIG


def anew(name: str, flush: Callable[[], None]) -> int:
    """Start this program again, in the same process: what watches it, and whoever waits for it, go on. Returns only
    if that can't be: 70, for the service manager to do it, and to make what only it can make.
    """
    from pipeline import places

    try:
        places.make_run(places.run_directory(name))
        flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except (places.PlaceError, OSError) as error:
        print(error, file=sys.stderr)
        return exits.SOFTWARE


def with_screen(pipeline: Pipeline) -> Pipeline:
    """The pipeline and the stage that shows its conversation on this terminal, last to stop."""
    from pipeline.config.tables import StageTable

    if any(table.name == "screen" for table in pipeline.stages):
        return pipeline
    screen = StageTable("screen", use="pipeline.stages.screen:Screen", required=False)
    return replace(pipeline, stages=(*pipeline.stages, screen))
