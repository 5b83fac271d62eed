"""The conversation with the Live API: voice goes up, answers come down. Wiring only; `pipeline.live` decides."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pipeline import Audio, Event, Stage, pids
from pipeline.config.kinds import Range
from pipeline.config.options import OptionError
from pipeline.config.service import choose
from pipeline.live import effects as fx
from pipeline.live import service, setup
from pipeline.live.access import Access, Credentials, unfit
from pipeline.live.activities import ClientVad
from pipeline.live.backoff import Backoff
from pipeline.live.budget import Budget, BudgetOptions, local_day
from pipeline.live.conversation import Conversation
from pipeline.live.dialling import Dialling, Plan
from pipeline.live.failures import LineFailed
from pipeline.live.images import CAPPED_S, Images
from pipeline.live.kept import Block
from pipeline.live.lines import Line, Lines
from pipeline.live.news import News
from pipeline.live.opening import Opens
from pipeline.live.spool import Spool
from pipeline.live.store import Store
from pipeline.live.visit import VisitOptions

TICK_S = 0.1
SPOKEN = ("heard_text", "args", "queries")
"""What a person said, and what was made of it: it is published, but a log outlives the visit."""


class Session(Stage):
    """Owns the connection, the turns and the transcript."""

    reads: ClassVar[tuple[str, ...]] = ("voice",)
    emits: ClassVar[tuple[str, ...]] = ("reply",)

    service: Literal["auto", "gemini", "vertex", "simulator"] = "auto"
    """auto: gemini when a key is set, else the simulator of this machine. gemini never falls back."""
    project: str = ""
    """Of Google Cloud, for `service: vertex`; else GOOGLE_CLOUD_PROJECT."""
    location: str = ""
    """Its region; else GOOGLE_CLOUD_LOCATION."""
    key_file: Path | None = None
    """A file that holds the key; else GOOGLE_API_KEY or GEMINI_API_KEY."""
    token_file: Path | None = None
    """A file that holds an ephemeral token, read for each connection."""
    token_command: list[str] = []
    """A program and its arguments that prints one."""
    api_version: Literal["", "v1", "v1beta", "v1alpha", "v1beta1"] = ""
    """Of the service; empty: v1beta, v1alpha with a token, v1beta1 on Vertex AI."""
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
    turn_detection: setup.TurnDetection = "server"
    """Who says when somebody speaks: the service, or the frontend's voice detection (client)."""
    server_vad: setup.ServerVad = setup.ServerVad()
    client_vad: ClientVad = ClientVad()
    visit: VisitOptions = VisitOptions()
    budget: BudgetOptions = BudgetOptions()
    idle_s: Annotated[float, Range(0, 86_400)] = 20.0
    """Silence that closes the paid connection; the visit lives on, and the next word opens another. 0: never."""
    opens: Opens = "speech"
    """Who may open the paid connection: always, speech, wake (the frontend's `wake_word`), trigger, presence."""
    resumption: bool = True
    """A session goes on by its handle on the next connection; else by its transcript."""
    lifetime_s: Annotated[float, Range(0, 86_400)] = 570.0
    """A connection is changed, in a gap, before it is so old: the service ends it at 10 min. 0: when it says so."""
    compression: setup.Compression = setup.Compression()
    live: dict[str, Any] = {}
    """Any other field of the SDK's LiveConnectConfig, in its own words; over what the options above say."""

    def prime(self) -> None:
        """Imports the SDK and builds its types. Raises OptionError for fields that it refuses, naming the key."""
        from pipeline.live import gemini  # here, so that who only describes this stage does not wait for the SDK

        self._service = choose(self.service, os.environ, vars(self)) or "simulator"
        access = Access(
            self.project, self.location, self.key_file, self.token_file, self.token_command, self.api_version
        )
        if fault := unfit(self._service, access, os.environ):
            raise OptionError(fault)
        self._credentials = Credentials(
            self._service, access, os.environ, self.config_dir, self.run_dir, time.monotonic
        )
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
            turn_detection=self.turn_detection,
            compression=self.compression,
            live=self.live,
        )
        fields = setup.checked(self._wanted, gemini.check)
        self._pause_ns, self._compressed = setup.pause_ns(fields), setup.compresses(fields)
        gemini.warm_up()
        self._gemini = gemini

    def start(self) -> None:
        """Take up what a session before this one left behind."""
        self._store = Store(self.state_dir, self.visit.retention)
        memory = self._store.load()
        memory.void_times(pids.boot_id())
        budget = Budget(memory, self.budget, self.model, local_day)
        self._talk = Conversation(
            memory,
            budget=budget,
            greeting=self.greeting,
            ends_after_s=self.visit.ends_after_s,
            has_tools="tools" in self.brief.peers,
            line_for=f"{self._service} {self.model}",
            idle_s=0.0 if self.opens == "always" else self.idle_s,
            opens=self.opens,
            lifetime_s=self.lifetime_s,
            resumes=self.resumption,
            client_vad=self.client_vad if self.turn_detection == "client" else None,
            pause_ns=self._pause_ns,
        )
        standing_in = service.standing_in(self._service, os.environ)
        self._news = News(self._service, self.model, standing_in, budget.fault)
        self._lines = Lines(
            self._talk,
            Dialling(self._talk, Backoff(random.random), resumes=self.resumption),
            self._news,
            dial=self._dial,
            do=self._do,
            now_ns=self.now_ns,
        )
        self._images = Images()
        self._ear = ("", 0)
        self._do(self._news.starting())
        self._do(self._news.store(self._store.fault))
        self._do(self._talk.start(self.now_ns()))
        self._spool = Spool(self.run_dir)
        self._spool.restore(self.now_ns(), self._talk, self.brief.crashes)
        self._tick()

    async def run(self) -> None:
        """Hold the conversation until stopped."""
        try:
            await self._lines.run()
        finally:
            self._store.save(self._talk.memory)
            self._store.close()

    async def _dial(self, plan: Plan) -> Line:
        target = await self._credentials.target(resuming=plan.handle is not None)
        functions = self._talk.functions.declared
        fields = setup.config(self._wanted, handle=plan.handle, history_first=bool(plan.context), functions=functions)
        try:
            return await self._gemini.dial(target, self.model, fields)
        except LineFailed as failed:
            if failed.failure.kind == "key":
                self._credentials.refused()
            raise

    # -- the bus

    def replay_place(self, stream: str) -> int | None:
        """From where voice is wanted. It is kept here until there is a line that is given it."""
        return self._talk.voice_place()

    def on_audio(self, audio: Audio) -> None:
        """Voice, live or replayed."""
        if audio.t is not None:
            block = Block(audio.t, audio.pcm, audio.gated)
            self._do(self._talk.voice(self.now_ns(), block, again=audio.replay is not None))
            self._do(self._spool.follow(self._talk, block))
            self._lines.voice_came()

    def on_speech_started(self, event: Event) -> None:
        """The person began to speak."""
        if (t := event.number("t")) is not None:
            self._ear = (event.src, event.inst)
            self._do(self._talk.speech_started(self.now_ns(), t))
            self._lines.voice_came()

    def on_speech_ended(self, event: Event) -> None:
        """The person ended."""
        if (t := event.number("t")) is not None:
            self._do(self._talk.speech_ended(self.now_ns(), t, event.number("start_t")))
            self._lines.voice_came()

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

    def on_audible(self, event: Event) -> None:
        """The first of an answer is at the speaker."""
        t, epoch, at = event.number("t"), event.number("epoch"), event.number("at")
        if t is not None and epoch is not None and at is not None:
            self._talk.talked_over.audible(t, epoch, at)

    def on_visitor_left(self, _event: Event) -> None:
        """A sensor saw them go."""
        self._do(self._talk.visitor_left(self.now_ns()))

    def on_text_in(self, event: Event) -> None:
        """Somebody typed."""
        if text := str(event.body.get("text") or "").strip():
            self._do(self._talk.text_in(self.now_ns(), text, str(event.body.get("id") or "")))

    def on_image_in(self, event: Event) -> None:
        """A picture of what there is to see."""
        if fault := self._images.came(self.now_ns(), event.body):
            faults = self._images.faults
            if not faults & (faults - 1):  # said at 1, 2, 4, 8, …: a camera goes on for days
                self._note("picture dropped", {"of": event.src, "reason": fault, "so_far": faults}, "warning")
        self._show()

    def on_visitor_arrived(self, _event: Event) -> None:
        """A sensor saw somebody."""
        self._do(self._talk.visitor_arrived(self.now_ns()))

    def on_tool_result(self, event: Event) -> None:
        """A function has answered."""
        response = event.body.get("response")
        given = response if isinstance(response, dict) else {"result": response}
        when = "silent" if event.body.get("silent") else str(event.body.get("scheduling") or "")
        self._do(self._talk.tool_result(self.now_ns(), str(event.body.get("id")), given, when.upper()))

    def on_tools(self, event: Event) -> None:
        """The functions that the model may call."""
        declarations = event.body.get("declarations")
        self._do(self._talk.tools(declarations if isinstance(declarations, list) else []))

    def on_stage(self, event: Event) -> None:
        """A stage has changed: whoever runs the functions may be gone."""
        if event.body.get("stage") == "tools":
            self._do(self._talk.tools_stage(self.now_ns(), str(event.body.get("state"))))

    def on_end_visit(self, _event: Event) -> None:
        """They have said goodbye."""
        self._do(self._talk.end_visit(self.now_ns()))

    def on_trigger(self, event: Event) -> None:
        """Somebody wants to be listened to."""
        self._do(self._talk.triggered(self.now_ns(), str(event.body.get("by") or "")))

    def on_duck(self, event: Event) -> None:
        """Somebody may be speaking over the answer."""
        if event.body.get("on") is True:
            self._talk.uplink.hold()

    def on_barge_in(self, event: Event) -> None:
        """The person speaks over the answer."""
        if event.body.get("verdict") == "confirmed":
            self._talk.uplink.release()
            self._lines.voice_came()
            self._do(self._talk.barge_in(self.now_ns()))

    def on_source_ended(self, _event: Event) -> None:
        """No more voice comes."""
        self._talk.uplink.source_over()
        self._lines.voice_came()

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
                    self._do(self._news.store(self._store.fault))
                case fx.State(name, reason):
                    self.state(name, reason)
                case fx.Renew(reason):
                    self._lines.renew(reason)
                case fx.HangUp():
                    self._lines.hang_up()
                case fx.Dial():
                    self._lines.nudge()
                case _:
                    self._lines.send(effect)

    def _note(self, words: str, fields: Any, level: str = "info") -> None:
        turn = self._talk.turns.turn
        bound = {"epoch": self._talk.downlink.epochs.epoch, "turn": turn.id if turn is not None else None}
        unspoken = {key: value for key, value in fields.items() if key not in SPOKEN}
        getattr(self.log, level)(words, **{**bound, **unspoken})

    def _show(self) -> None:
        jpeg = self._images.due(self.now_ns(), self._talk.visit.id, up=self._lines.up)
        if jpeg is not None:
            self._lines.send(fx.SendImage(jpeg))
            if not self._compressed:
                self._talk.cap_line(self.now_ns(), CAPPED_S)

    def _tick(self) -> None:
        self._do(self._talk.tick(self.now_ns()))
        self._store.tick(self._talk.memory)
        self._do(self._spool.follow(self._talk))
        self._do(self._news.store(self._store.fault))
        if self._talk.uplink.stalled:
            self._lines.voice_came()
        self._show()
        if self._talk.uplink.overfull:
            self._lines.renew("it takes less voice than it is given")
        if self._talk.at_rest(self.now_ns()):
            self._note("the conversation is over", {})
            self._do(self._talk.visitor_left(self.now_ns()))
            self.ended()
            return
        self.after(TICK_S, self._tick)
