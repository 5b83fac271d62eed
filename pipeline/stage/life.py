"""From process start to exit: prime, go, the loop, the ordered stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Container
from typing import NoReturn

from pipeline import exits, log
from pipeline.bus.producer import NameTaken
from pipeline.config.options import OptionError, build_options
from pipeline.stage.brief import Brief, NotStarted
from pipeline.stage.guard import die_with_parent, show_stacks
from pipeline.stage.link import Link
from pipeline.stage.memory import settle
from pipeline.stage.stage import Stage
from pipeline.stage.waits import Waits


class WorldError(Exception):
    """A device or a server outside went away: the stage exits 69 and is replaced at once, which is no crash."""


def main(cls: type[Stage]) -> None:
    """Run a stage in this process until it is stopped; never returns."""
    try:
        brief = Brief.from_environment()
    except NotStarted as error:
        print(f"{cls.__name__}: {error}", file=sys.stderr)
        sys.exit(exits.CONFIG)
    run(cls, brief)


def run(cls: type[Stage], brief: Brief) -> None:
    """The life of one stage. Ends the process: `os._exit`, because tearing down an interpreter takes 150-260 ms."""
    die_with_parent(lifeline=brief.lifeline)
    show_stacks()
    stage = cls()
    stage.name, stage.inst, stage.brief = brief.name, brief.inst, brief
    stage.log = log.for_stage(brief.log_level, stage=brief.name, inst=brief.inst)
    link = stage.link = Link(stage, brief)
    code = exits.OK
    try:
        _live(stage, link)
    except OptionError as error:
        stage.log.error("configuration refused", error=str(error))
        link.closing_reason = str(error)
        code = exits.CONFIG
    except (WorldError, NameTaken) as error:
        give_way(stage, str(error))
    except Exception as error:
        stage.log.exception("stage crashed")
        link.closing_reason = f"crashed: {type(error).__name__}: {error}"
        code = exits.CRASH
    _leave(link, code)


def give_way(stage: Stage, reason: str) -> NoReturn:
    """Exit 69 with `reason` as the last word. From any thread that makes sure no other one runs the stage any more."""
    stage.log.warning("stage gives way", reason=reason)
    stage.link.closing_reason = reason
    _leave(stage.link, exits.WORLD)


def _leave(link: Link, code: int) -> NoReturn:
    link.control.say("bye", reason=link.closing_reason)
    link.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _live(stage: Stage, link: Link) -> None:
    link.control.say("hello", pid=os.getpid())
    for name, value in build_options(type(stage), link.brief.options).items():
        setattr(stage, name, value)
    stage.prime()
    settle()
    link.control.say("primed")
    link.state_name = "primed"
    link.beat()
    waits = Waits(link)
    while True:
        again_s = link.turn()
        if link.going or link.stopping:
            break
        waits.wait(again_s)
    if link.stopping:
        return
    link.open()
    waits.add(link.descriptors()[1:])
    stage.start()
    link.hear_settings()
    link.control.say("live")
    if link.state_name == "primed":
        link.state("live")
    if hasattr(stage, "run"):
        from pipeline.stage import aio  # with asyncio and TLS, 25 ms: the others do without

        aio.run(stage, link)
    else:
        _loop(stage, link, waits)
    stage.stop()


def _loop(stage: Stage, link: Link, waits: Waits) -> None:
    ready: Container[int] | None = None
    while True:
        again_s = link.turn(ready)
        if link.stopping:
            return
        wanted_s = stage.step()
        ready = waits.wait(min((wait for wait in (again_s, wanted_s) if wait is not None), default=None))
