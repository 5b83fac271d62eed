"""The conversation with the Live API: voice goes up, answers come down. Wiring only; `pipeline.live` decides."""

from __future__ import annotations

import asyncio
import os
import random
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline import Audio, Event, Stage
from pipeline.config.options import OptionError
from pipeline.config.service import choose
from pipeline.live import effects as fx
from pipeline.live import service, setup
from pipeline.live.backoff import Backoff
from pipeline.live.conversation import Conversation
from pipeline.live.failures import RARE_S, Failure, LineFailed
from pipeline.live.store import Store
from pipeline.live.uplink import Chunk
from pipeline.live.visit import VisitOptions

if TYPE_CHECKING:
    from pipeline.live.gemini import Line

TICK_S = 0.1
OUTBOX = 64
"""Texts, contexts and results on their way to the service. Over it the oldest is dropped and counted."""
STUBBORN = 3
"""Attempts to resume that may fail by the service's own word, before the session is begun anew."""


class Session(Stage):
    """Owns the connection, the turns and the transcript."""

    reads: ClassVar[tuple[str, ...]] = ("voice",)
    emits: ClassVar[tuple[str, ...]] = ("reply",)

    service: Literal["auto", "gemini", "simulator"] = "auto"
    """auto: gemini when a key is set, else the simulator of this machine. gemini never falls back."""
    model: str = "gemini-3.8-live"
    voice: str = "Aoede"
    instruction: str = ""
    """Who the machine is and how it speaks."""
    instruction_file: Path | None = None
    """The same as a file, relative to the configuration."""
    greeting: str = ""
    """How to greet, said to the model once a visit; empty: not at all."""
    modalities: list[Literal["AUDIO", "TEXT"]] = ["AUDIO"]
    """TEXT: answers come as captions alone."""
    input_transcription: bool = True
    output_transcription: bool = True
    server_vad: setup.ServerVad = setup.ServerVad()
    visit: VisitOptions = VisitOptions()
    live: dict[str, Any] = {}
    """Any other field of the SDK's LiveConnectConfig, in its own words; over what the options above say."""

    def prime(self) -> None:
        """Imports the SDK and builds its types. Raises OptionError for fields that it refuses, naming the key."""
        from pipeline.live import gemini  # here, so that who only describes this stage does not wait for the SDK

        path = self.config_dir / self.instruction_file if self.instruction_file else None
        try:
            instruction = setup.instruction(self.instruction, path)
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"instruction_file: {path}: expected a readable UTF-8 text: {error}") from error
        self._wanted = setup.Wanted(
            model=self.model,
            voice=self.voice,
            instruction=instruction,
            language=self.brief.language,
            modalities=self.modalities,
            input_transcription=self.input_transcription,
            output_transcription=self.output_transcription,
            server_vad=self.server_vad,
            live=self.live,
        )
        fields = setup.config(self._wanted, handle="checked", history_first=True)
        try:
            gemini.check(fields)
        except gemini.BadField as error:
            raise OptionError(f"live: {error}") from error
        if not setup.leaves_turns_to_the_service(fields):
            key = "live: realtime_input_config.automatic_activity_detection.disabled"
            raise OptionError(f"{key}: expected false: turns are the service's to detect here; see `server_vad`")
        gemini.warm_up()
        self._gemini = gemini

    def start(self) -> None:
        """Take up what a session before this one left behind."""
        self._service = choose(self.service, os.environ) or "simulator"
        self._store = Store(self.state_dir)
        memory = self._store.load()
        memory.void_times(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        self._talk = Conversation(
            memory,
            greeting=self.greeting,
            ends_after_s=self.visit.ends_after_s,
            has_tools="tools" in self.brief.peers,
            line_for=f"{self._service} {self.model}",
        )
        self._backoff = Backoff(random.random)
        self._line: Line | None = None
        self._outbox: deque[fx.Send] = deque()
        self._outbox_dropped = 0
        self._wake = asyncio.Event()
        self._renewal: asyncio.Future[None] | None = None
        self._said_kind = self._said_fault = ""
        self._ear = ("", 0)
        self.state("waiting", f"connecting to {self._service}")
        self._say_store()
        self._do(self._talk.start(self.now_ns()))
        self._tick()

    # -- the bus

    def replay_place(self, stream: str) -> int | None:
        """Voice is wanted when a line is up: until then the frontend keeps it."""
        return self._talk.uplink.place() if self._line is not None else self.now_ns()

    def on_audio(self, audio: Audio) -> None:
        """Voice, live or replayed."""
        if audio.t is not None:
            self._talk.uplink.audio(audio.t, audio.pcm)
            self._wake.set()

    def on_speech_started(self, event: Event) -> None:
        """The person began to speak."""
        if (t := event.number("t")) is not None:
            self._ear = (event.src, event.inst)
            self._do(self._talk.speech_started(self.now_ns(), t))

    def on_speech_ended(self, event: Event) -> None:
        """The person ended."""
        if (t := event.number("t")) is not None:
            self._do(self._talk.speech_ended(self.now_ns(), t, event.number("start_t")))

    def on_state(self, event: Event) -> None:
        """Who heard speech begin was replaced: nobody will say that it ended."""
        if event.src == self._ear[0] and event.inst > self._ear[1]:
            self._ear = ("", 0)
            self._talk.speech_lost(self.now_ns())

    def on_heard(self, event: Event) -> None:
        """What playback truly played."""
        epoch, at = event.number("epoch"), event.number("at")
        if epoch is not None and at is not None:
            self._do(self._talk.heard(self.now_ns(), epoch, at))

    def on_visitor_left(self, _event: Event) -> None:
        """A sensor saw them go."""
        self._do(self._talk.visitor_left(self.now_ns()))

    def on_text_in(self, event: Event) -> None:
        """Somebody typed."""
        if text := str(event.body.get("text") or "").strip():
            self._do(self._talk.text_in(self.now_ns(), text))

    def on_visitor_arrived(self, _event: Event) -> None:
        """A sensor saw somebody."""
        self._do(self._talk.visitor_arrived(self.now_ns()))

    def on_tool_result(self, event: Event) -> None:
        """A function has answered."""
        response = event.body.get("response")
        given = response if isinstance(response, dict) else {"result": response}
        self._do(self._talk.tool_result(self.now_ns(), str(event.body.get("id")), given))

    def on_source_ended(self, _event: Event) -> None:
        """No more voice comes."""
        self._talk.uplink.source_over()
        self._wake.set()

    # -- effects

    def _do(self, effects: Sequence[fx.Effect]) -> None:
        for effect in effects:
            match effect:
                case fx.Speak(pcm, rate, epoch, at):
                    self.emit("reply", Audio("reply", pcm, rate, 1, epoch=epoch, at=at))
                case fx.Trim(epoch, at):
                    self.trim("reply", epoch, at)
                case fx.Tell(name, body, sticky, key, log):
                    self.tell(name, sticky, key, **body)
                    if log:
                        self._note(name.replace("_", " "), body)
                case fx.Unstick(name, key):
                    self.unstick(name, key)
                case fx.Note(words, fields, level):
                    self._note(words, fields, level)
                case fx.Save():
                    self._store.save(self._talk.memory)
                    self._say_store()
                case fx.Renew(reason):
                    self._renew(reason)
                case _:
                    self._send_soon(effect)

    def _send_soon(self, effect: fx.Send) -> None:
        if len(self._outbox) >= OUTBOX:
            self._outbox.popleft()
            self._outbox_dropped += 1
            self.log.warning("too much to send, the oldest dropped", so_far=self._outbox_dropped)
        self._outbox.append(effect)
        self._wake.set()

    def _note(self, words: str, fields: Any, level: str = "info") -> None:
        turn = self._talk.turns.turn
        bound = {"epoch": self._talk.downlink.epochs.epoch, "turn": turn.id if turn is not None else None}
        getattr(self.log, level)(words, **{**bound, **fields})

    def _tick(self) -> None:
        self._do(self._talk.tick(self.now_ns()))
        if self._talk.uplink.overfull:
            self._renew("it takes less voice than it is given")
        if self._talk.at_rest(self.now_ns()):
            self._note("the conversation is over", {})
            self._do(self._talk.visitor_left(self.now_ns()))
            self.ended()
            return
        self.after(TICK_S, self._tick)

    # -- one line after the other

    async def run(self) -> None:
        """Hold the conversation until stopped. A line that ends is followed by another, for ever."""
        try:
            while True:
                failure = await self._dial_and_serve()
                wait_s = self._backoff.next_s(failure.wait_cap_s) if failure is not None else 0.0
                if failure is not None:
                    self._say_down(failure, wait_s)
                await asyncio.sleep(wait_s)
        finally:
            self._store.save(self._talk.memory)
            self._store.close()

    async def _dial_and_serve(self) -> Failure | None:
        """One line, from dialling to its end. None: the next one is to follow at once."""
        handle, visit = self._talk.resumption.handle, self._talk.visit.id
        context = self._talk.context(handle)
        try:
            target = service.target(self._service, os.environ, self.run_dir)
            fields = setup.config(self._wanted, handle=handle, history_first=bool(context))
            line = await self._gemini.dial(target, self.model, fields)
        except LineFailed as failed:
            return self._could_not(failed.failure, handle)
        if visit is not None and visit != self._talk.visit.id:
            await line.close()  # it was dialled for a visitor who has left meanwhile: nobody else may hear of them
            return None
        began_ns, newest = self.now_ns(), self._talk.memory.answered_turn
        self._line = line
        try:
            failure = await self._serve(line, context, resumed=handle is not None)
        finally:
            self._line = None
            self._do(self._talk.line_down(self.now_ns()))
            self._outbox.clear()  # what still holds is sent anew to the next line, after what it must know first
            await line.close()
        self._backoff.worked((self.now_ns() - began_ns) / 1e9, self._talk.memory.answered_turn > newest)
        if failure is not None and failure.forget_handle:
            self._talk.memory.forget_handle()
        return failure

    def _could_not(self, failure: Failure, handle: str | None) -> Failure | None:
        if failure.fatal:
            raise OptionError(str(failure))
        by_the_service = failure.code is not None and failure.wait_cap_s < RARE_S
        if handle and (failure.forget_handle or (by_the_service and self._backoff.attempts >= STUBBORN)):
            self._note("handle refused, a fresh session follows", {"reason": str(failure)})
            self._talk.memory.forget_handle()
            return None
        return failure

    async def _serve(self, line: Line, context: tuple[tuple[str, str], ...], *, resumed: bool) -> Failure | None:
        renewal = self._renewal = asyncio.get_running_loop().create_future()
        self._do(self._talk.line_up(self.now_ns(), context, resumed=resumed))
        self.replay_from("voice", self._talk.uplink.line_up())
        self._say_up(resumed)
        work = {asyncio.create_task(self._receive(line)), asyncio.create_task(self._send(line))}
        try:
            await asyncio.wait({*work, renewal}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work)
        for task in work:
            if task.cancelled():
                continue
            if isinstance(error := task.exception(), LineFailed):
                return error.failure
            task.result()
        return None

    async def _receive(self, line: Line) -> None:
        async for values in line.receive():
            for value in values:
                self._do(self._talk.received(self.now_ns(), value))

    async def _send(self, line: Line) -> None:
        while True:
            while self._outbox:
                await line.send(self._outbox.popleft())
            piece = self._talk.uplink.take()
            if isinstance(piece, Chunk):
                await line.send_audio(piece.pcm)
            elif piece is not None:
                await line.send_stream_end()
            else:
                self._wake.clear()
                await self._wake.wait()

    def _renew(self, reason: str) -> None:
        if self._renewal is not None and not self._renewal.done():
            self._note("line renewed", {"reason": reason})
            self._renewal.set_result(None)

    # -- what is said of it

    def _say_up(self, resumed: bool) -> None:
        attempt, self._said_kind = self._backoff.attempts, ""
        self.tell("connection", sticky=True, up=True, reason="", attempt=attempt, service=self._service)
        self._note("connected", {"service": self._service, "resumed": resumed, "attempt": attempt})
        self._say_state()

    def _say_state(self) -> None:
        standing_in = service.standing_in(os.environ) if self._service == "simulator" else ""
        reason = "; ".join(part for part in (standing_in, self._store.fault) if part)
        self.state("degraded" if reason else "live", reason)

    def _say_down(self, failure: Failure, wait_s: float) -> None:
        attempt = self._backoff.attempts
        again = f"retrying in {wait_s:.0f} s" if wait_s >= 1 else "retrying"
        self.state("degraded", f"no connection to {self._service}: {failure}; {again}")
        if failure.kind == self._said_kind and attempt & (attempt - 1):
            return  # the same again: said at the attempts 1, 2, 4, 8, … so that a night offline is a few lines
        self._said_kind = failure.kind
        self.tell("connection", sticky=True, up=False, reason=str(failure), attempt=attempt, service=self._service)
        self._note("no connection", {"service": self._service, "reason": str(failure), "attempt": attempt}, "warning")

    def _say_store(self) -> None:
        if self._store.fault == self._said_fault:
            return
        self._said_fault = self._store.fault
        self.log.warning("memory is not kept" if self._said_fault else "memory is kept again", reason=self._said_fault)
        if self._line is not None:
            self._say_state()
