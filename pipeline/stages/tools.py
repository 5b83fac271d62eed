"""A person's own functions for the model to call. Wiring only; `pipeline.tools` decides, and runs them elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pipeline import Event, Stage
from pipeline.config.kinds import Range
from pipeline.config.options import OptionError
from pipeline.tools import desk, staffing
from pipeline.tools.begun import Begun
from pipeline.tools.catalogue import Catalogue, Tool
from pipeline.tools.filler import Filler
from pipeline.tools.options import Deadline, Function, Server
from pipeline.tools.pool import Servers, Workers

TICK_S = 0.05
OFFERS_S = 2.0
"""How long the session's first line waits for what MCP servers offer."""
KEPT_S = 60.0
"""A result that nobody takes is said again for so long to a session that comes new."""
KEPT = 16
"""Results kept so; the oldest goes first."""


class Tools(Stage):
    """Declares functions, runs each call in a process that can be killed, answers every one."""

    reads: ClassVar[tuple[str, ...]] = ()
    emits: ClassVar[tuple[str, ...]] = ()

    functions: list[str | Function] = []
    """`module:function`, or a table with `use` and how it is to be called; modules lie beside the configuration."""
    mcp: dict[str, Server] = {}
    """Programs that offer functions by the Model Context Protocol."""
    deadline_s: Deadline = 8
    """From a call to its answer; then the function is killed and the model told so."""
    filler: str = "thinking"
    """What is played while the person waits: a prompt or an earcon; none: nothing."""
    filler_after_ms: Annotated[float, Range(0)] = 900
    workers: Annotated[int, Range(1, 16)] = 4
    """Functions that run at the same time, each in a process."""
    memory_mb: Annotated[float, Range(32)] = 512
    """Of each of these processes; a function that wants more fails."""
    result_bytes: Annotated[int, Range(100, 1_000_000)] = 20_000
    """Of one result: a longer text is cut, anything else refused, and the model told so."""

    def prime(self) -> None:
        """Has the functions imported and declared, in a worker. Raises OptionError with what is wrong with each."""
        self._staffing = staffing.Staffing(
            functions=[Function(use=each) if isinstance(each, str) else each for each in self.functions],
            servers=self.mcp,
            folder=self.config_dir,
            state_dir=self.state_dir,
            most_bytes=self.result_bytes,
            memory_mb=self.memory_mb,
            on_line=lambda line: self.log.info("a function says", line=line),
        )
        if problems := list(self._staffing.problems()):
            raise OptionError("\n".join(problems))
        self._catalogue = Catalogue(self._staffing.functions, self.mcp)
        self._warm = self._staffing.worker() if self.functions else None
        if self._warm is not None:
            loaded, problems = staffing.load(self._warm)
            if problems:
                self._warm.close()
                raise OptionError("\n".join(problems))
            self._catalogue.loaded(loaded)

    def start(self) -> None:
        """Say what there is, and take up what a stage before this one left unanswered."""
        self._begun = Begun(self.run_dir, fresh=self.brief.restarts == 0)
        self._desk = desk.Desk(self.deadline_s, self._begun.before)
        self._filler = Filler(self.filler_after_ms)
        self._workers: Workers | None = None
        self._servers: Servers | None = None
        self._kept: dict[str, int] = {}
        self._declared: list[dict[str, Any]] | None = None
        self._began_ns: dict[str, int] = {}
        self._asked_by: dict[str, int] = {}
        self._ticking = False
        if self.brief.restarts and self.filler != "none":  # the one before may have died while it was played
            self.tell("play_stop", sticky=True, key="restarted", name=self.filler)
            self.after(KEPT_S, lambda: self.unstick("play_stop", "restarted"))
        if not self._catalogue.complete:
            self.state("waiting", f"asking {', '.join(self.mcp)} what they offer")
            self.after(OFFERS_S, lambda: self._changed(late=True))
        self._changed()

    async def run(self) -> None:
        """Work until stopped; then no process is left."""
        workers, servers = self._staff()
        try:
            await asyncio.Event().wait()
        finally:
            for crew in (workers, servers):
                if crew is not None:
                    crew.close()

    # -- the bus

    def on_tool_call(self, event: Event) -> None:
        """The model calls a function."""
        args = event.body.get("args")
        call_id, name = str(event.body.get("id")), str(event.body.get("name"))
        self._began_ns.setdefault(call_id, self.now_ns())
        self._asked_by[call_id] = event.inst
        self._do(self._desk.called(self.now_ns(), call_id, name, args if isinstance(args, Mapping) else {}))

    def on_tool_cancelled(self, event: Event) -> None:
        """Nobody waits for the answer any more."""
        call_id = str(event.body.get("id"))
        self._forget(call_id)
        self._do(self._desk.cancelled(call_id))

    def on_state(self, event: Event) -> None:
        """A new session asks its questions anew: nobody waits for what the one before has called."""
        if event.src == "session":
            for call_id in [each for each, inst in self._asked_by.items() if inst < event.inst]:
                self._forget(call_id)
                self._do(self._desk.cancelled(call_id))

    def on_tool_taken(self, event: Event) -> None:
        """The session has given the result to the model."""
        self._forget(str(event.body.get("id")))

    def on_visit(self, event: Event) -> None:
        """A visitor has left: nobody else hears what was found out for them."""
        if event.body.get("open") is False:
            for call_id in list(self._kept):
                self._forget(call_id)
            self._do(self._desk.left())
            self._filler.nobody_waits()
            self._tick()

    def on_connection(self, event: Event) -> None:
        """Without a line there is no answer to wait for."""
        if event.body.get("up") is False:
            self._filler.nobody_waits()
            self._tick()

    def on_first_audio(self, _event: Event) -> None:
        """The answer begins."""
        self._filler.machine(self.now_ns(), sounding=True)
        self._tick()

    on_audible = on_first_audio

    def on_heard(self, event: Event) -> None:
        """What playback plays."""
        at, until = event.number("at"), event.number("buffered_to")
        if at is not None and until is not None:
            self._filler.machine(self.now_ns(), sounding=until > at)

    def on_speech_started(self, _event: Event) -> None:
        """The person speaks."""
        self._filler.person(self.now_ns(), speaking=True)
        self._tick()

    def on_speech_ended(self, _event: Event) -> None:
        """The person waits."""
        self._filler.person(self.now_ns(), speaking=False)

    # -- what is there

    def _staff(self) -> tuple[Workers | None, Servers | None]:
        """The processes; made when the loop runs, which may bring a call before `run` is."""
        if self._workers is None and self._staffing.functions:
            self._workers = Workers(self._staffing.worker, self.workers, self._came, self._warm)
        if self._servers is None and self.mcp:
            self._servers = Servers(self._staffing.client, self._came, self._offered)
        return self._workers, self._servers

    def _offered(self, message: Mapping[str, Any]) -> None:
        server, wrong = str(message["offers"]), str(message.get("wrong", ""))
        if wrong:
            self.log.warning("an MCP server is away", server=server, reason=wrong)
        self._catalogue.offered(server, message.get("tools"), wrong)
        self._changed()

    def _changed(self, *, late: bool = False) -> None:
        """Declare what there is now. `late`: whoever has not spoken yet is not waited for any longer."""
        catalogue = self._catalogue
        if self._declared is not None or catalogue.complete or late:
            declarations = catalogue.declarations
            if declarations != self._declared:
                self._declared = declarations
                self.tell("tools", sticky=True, declarations=declarations)
                self.log.info("functions declared", names=[each["name"] for each in declarations])
            reason = "; ".join(catalogue.problems)
            self.state("degraded" if reason else "live", reason)
        self._do(self._desk.changed(self.now_ns(), catalogue.tools, catalogue.complete))

    # -- what is to be done

    def _came(self, call_id: str, message: Mapping[str, Any]) -> None:
        if message.get("traceback"):
            self.log.error("function failed", id=call_id, traceback=message["traceback"])
        self._do(self._desk.came(self.now_ns(), call_id, message))

    def _do(self, effects: Sequence[desk.Effect]) -> None:
        for effect in effects:
            match effect:
                case desk.Run(call_id, tool, args):
                    self._begun.add(call_id)
                    if not tool.how.announce and tool.how.scheduling != "silent":
                        self._filler.began(self.now_ns(), call_id)
                    self._run(call_id, tool, args)
                case desk.Drop(call_id, tool, late):
                    crew = self._staff()[0 if isinstance(tool.place, int) else 1]
                    if crew is not None:
                        crew.drop(call_id, late=late)
                    self._settled(call_id, answer_follows=late)
                case desk.Answer():
                    self._answer(effect)
        self._tick()

    def _run(self, call_id: str, tool: Tool, args: Mapping[str, Any]) -> None:
        workers, servers = self._staff()
        if isinstance(tool.place, int):
            assert workers is not None
            workers.run(call_id, tool.place, args)
        else:
            assert servers is not None
            servers.run(call_id, *tool.place, args)

    def _answer(self, answer: desk.Answer) -> None:
        how = answer.tool.how if answer.tool is not None else None
        scheduling = how.scheduling if how is not None and not how.blocking else None
        body: dict[str, Any] = {"id": answer.id, "name": answer.name, "response": dict(answer.response)}
        if scheduling is not None:
            body |= {"scheduling": scheduling, "silent": scheduling == "silent"}
        self._settled(answer.id, answer_follows=scheduling != "silent")
        took_ms = (self.now_ns() - self._began_ns.pop(answer.id, self.now_ns())) // 1_000_000
        error = {} if answer.ok else {"error": answer.response.get("error")}
        say = self.log.info if answer.ok else self.log.warning
        say("function answered", id=answer.id, name=answer.name, took_ms=took_ms, **error)
        self.tell("tool_result", sticky=True, key=answer.id, **body)
        self._keep(answer.id)
        if answer.ok and not answer.again and how is not None and how.tells:
            self.tell(how.tells, by=answer.name, id=answer.id, result=answer.response["result"])

    def _settled(self, call_id: str, *, answer_follows: bool) -> None:
        self._begun.discard(call_id)
        self._filler.ended(self.now_ns(), call_id, answer_follows=answer_follows)

    def _keep(self, call_id: str) -> None:
        now_ns = self._kept[call_id] = self.now_ns()
        if len(self._kept) > KEPT:
            self._forget(next(iter(self._kept)))
        self.after(KEPT_S, lambda: self._forget(call_id) if self._kept.get(call_id) == now_ns else None)

    def _forget(self, call_id: str) -> None:
        self._began_ns.pop(call_id, None)
        self._asked_by.pop(call_id, None)
        if self._kept.pop(call_id, None) is not None:
            self.unstick("tool_result", call_id)

    # -- time

    def _tick(self) -> None:
        """Deadlines and filler, while there is anything to decide."""
        match self._filler.tick(self.now_ns()) if self.filler != "none" else None:
            case "play":
                self.tell("play", name=self.filler, cause="tool", loop=True)
            case "stop":
                self.tell("play_stop", name=self.filler)
        if not self._ticking and (self._desk.open or self._filler.waiting):
            self._ticking = True
            self.after(TICK_S, self._again)

    def _again(self) -> None:
        self._ticking = False
        self._do(self._desk.tick(self.now_ns()))
