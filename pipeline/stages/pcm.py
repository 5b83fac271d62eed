"""A program that reads or writes raw PCM (s16le) on stdin and stdout, as a stage: `arecord`, `sox`, one of yours.

```yaml
capture: {adapter: pcm, command: [arecord, -q, -t, raw, -f, S16_LE, -r, "16000", -c, "1"], rate: 16000, emits: [mic]}
louder:  {adapter: pcm, command: [sox, -t, raw, -r, 16k, -e, signed, -b, "16", -c, "1", -, -t, raw, -, gain, "6"],
          inputs: {voice: frontend/voice}, emits: [voice]}
```

What the program reads is `rate` and mono; what it says keeps the place of what it was given, block for block, or,
where it is given nothing, the time at which it came. It is killed with its stage; its end is the stage's crash, its
last words on stderr the reason. One that owes sound and gives none, or does not read, is hung: so is an `arecord` whose
microphone was pulled out.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
from collections import deque
from contextlib import suppress
from functools import partial

from pipeline import Audio, Stage
from pipeline.audio.pcm import pick, to_bytes
from pipeline.audio.resample import TimedResampler
from pipeline.bus.epoch import EpochGate
from pipeline.config.options import OptionError
from pipeline.stage.guard import die_with_parent

BLOCK_MS = 20
WAIT_S = 0.02
"""How long a source's program is waited for in one turn."""
LOOK_S = 0.005
"""How often the program of a filter is looked at: the bus is what its loop waits on."""
QUEUE_S, REPLY_S = 1.0, 120.0
"""What waits for a program that does not read; over it the oldest is dropped and counted. An answer comes faster than
anybody could play it."""
HUNG_S, FIRST_S = 5.0, 20.0
"""Without a sound for so long it is hung; the first one may take longer."""
PIPE_BYTES = 4096
"""Of the pipe to the program: what lies there can't be taken back by a flush."""
PLACES = 1_500
"""Blocks whose places are kept until the program has said what it made of them: 30 s. Of one that gives less than it
takes the oldest are forgotten, and what it says moves on."""
SAY_S = 10.0
"""Between two lines about sound that was dropped."""
RESYNC_NS = 200_000_000
"""A source whose count of samples is farther than this from the clock starts its time anew."""


class Pcm(Stage):
    """Runs one program and speaks for it on the bus."""

    program: list[str] = []
    """Program and arguments; `command` in the configuration."""
    rate: int = 16_000
    """Hertz, of both directions."""
    channels: int = 1
    """Of what it writes; what it reads is mono."""

    def prime(self) -> None:
        """Raises OptionError for what can't be run or counted."""
        if not self.program:
            raise OptionError("program: expected [PROGRAM, ARGUMENT, …]: write `adapter: pcm` and `command:`")
        if not (1_000 <= self.rate <= 768_000 and 1 <= self.channels <= 64):
            raise OptionError(f"rate, channels: expected Hz and 1 to 64, got {self.rate} and {self.channels}")

    def start(self) -> None:
        """The program starts here. Raises OptionError if it can't."""
        self._hears = bool(self.brief.inputs)
        self._says = self.brief.emits[0] if self.brief.emits else ""
        try:
            self._child = subprocess.Popen(
                self.program,
                stdin=subprocess.PIPE if self._hears else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._says else subprocess.DEVNULL,
                cwd=self.config_dir,
                preexec_fn=partial(die_with_parent, os.getpid()),
                bufsize=0,
            )
        except OSError as error:
            raise OptionError(f"command: {self.program[0]}: {error.strerror}; install it, or correct it") from error
        self._to, self._from = self._child.stdin, self._child.stdout
        for pipe in (self._to, self._from):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
        if self._to is not None:
            with suppress(AttributeError, OSError):  # Linux only
                fcntl.fcntl(self._to, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._resampler = TimedResampler(self.rate)
        self._gate = EpochGate()
        self._owed: deque[tuple[bytes, Audio | None]] = deque()
        """What it is to read; with the first piece of a block, the block."""
        self._owed_bytes = 0
        self._places: deque[tuple[int, Audio]] = deque(maxlen=PLACES)
        """Samples that it was given before a block, and the block."""
        self._given_bytes = self._taken = 0
        self._rest = b""
        self._began_ns = 0
        self._owes_ns = None if self._hears else self.now_ns()
        self._moved = False
        self.dropped_bytes = 0
        self._drop_said_ns = 0

    def on_audio(self, audio: Audio) -> None:
        """What the program is to read."""
        if audio.epoch is not None and not self._gate_passes(audio.epoch):
            return
        mono = audio.samples if audio.channels == 1 else pick(audio.samples, "mix")
        t = audio.t if audio.t is not None else (audio.at or 0) * 1_000_000_000 // 24_000
        timed = self._resampler.push(mono, audio.rate, t) if audio.rate != self.rate else None
        pieces = [to_bytes(block.samples) for block in timed] if timed is not None else [to_bytes(mono)]
        if self._owes_ns is None:
            self._owes_ns = self.now_ns()
        for number, piece in enumerate(pieces):
            self._owed.append((piece, None if number else audio))
            self._owed_bytes += len(piece)
        self._drop_over(QUEUE_S if audio.epoch is None else REPLY_S)
        self._write()

    def step(self) -> float:
        """Move what can be moved."""
        if (code := self._child.poll()) is not None:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
            raise RuntimeError(f"{self.program[0]} {how}: what it said last stands above; see `command`")
        self._write()
        patience_s = HUNG_S if self._moved else FIRST_S
        if self._owes_ns is not None and self.now_ns() - self._owes_ns > patience_s * 1e9:
            what = "given no sound" if self._says else "taken no sound"
            raise RuntimeError(f"{self.program[0]} has {what} for {patience_s:g} s: it hangs; see `command`")
        if self._from is None:
            return LOOK_S if self._owed else WAIT_S
        ready, _, _ = select.select([self._from], [], [], 0 if self._hears else WAIT_S)
        if ready:
            self._read()
        return LOOK_S if self._hears else 0.0

    def stop(self) -> None:
        """End of input first, so that a program may finish; then it is asked, then it is made to."""
        with suppress(OSError):
            if self._to is not None:
                self._to.close()
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(self.grace_s / 2)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _drop_over(self, queue_s: float) -> None:
        dropped_bytes = self.dropped_bytes
        while self._owed_bytes > queue_s * self.rate * 2 and len(self._owed) > 1:
            lost, _ = self._owed.popleft()
            self._owed_bytes -= len(lost)
            self.dropped_bytes += len(lost)
        if self.dropped_bytes > dropped_bytes and self.now_ns() - self._drop_said_ns > SAY_S * 1e9:
            self._drop_said_ns = self.now_ns()
            so_far_ms = self.dropped_bytes * 500 // self.rate
            self.log.warning("sound dropped", reason=f"{self.program[0]} does not keep up", so_far_ms=so_far_ms)

    def _gate_passes(self, epoch: int) -> bool:
        verdict = self._gate.judge(epoch)
        if verdict == "flush":
            self._owed.clear()
            self._owed_bytes = 0
        return verdict != "drop"

    def _write(self) -> None:
        while self._owed and self._to is not None:
            piece, block = self._owed.popleft()
            try:
                written = os.write(self._to.fileno(), piece)
            except BlockingIOError:
                written = 0
            except OSError:  # it no longer reads; that it ended is seen by `step`
                written = len(piece)
            if written and block is not None and self._says:
                self._places.append((self._given_bytes // 2, block))
                block = None
            self._owed_bytes -= written
            self._given_bytes += written
            if written and not self._says:
                self._has_moved()
            if written < len(piece):
                self._owed.appendleft((piece[written:], block))
                return

    def _read(self) -> None:
        assert self._from is not None
        with suppress(BlockingIOError):
            got = os.read(self._from.fileno(), 65_536)
            self._rest += got
            if got:
                self._has_moved()
        size = self.rate * BLOCK_MS // 1000 * 2 * self.channels
        while len(self._rest) >= size:
            block, self._rest = self._rest[:size], self._rest[size:]
            self._say(block)

    def _has_moved(self) -> None:
        """It works. What it owes next counts from now, or from when it is given something."""
        self._moved = True
        self._owes_ns = self.now_ns() if not self._hears or self._owed else None

    def _say(self, block: bytes) -> None:
        frames = len(block) // (2 * self.channels)
        t, epoch, at = self._place(frames)
        audio = Audio(self._says, block, self.rate, self.channels, t, epoch, at)
        self._taken += frames
        self.emit(self._says, audio)

    def _place(self, frames: int) -> tuple[int | None, int | None, int | None]:
        """Where the next block belongs (`t`, `epoch`, `at`): with what it was made from, else when it came."""
        while len(self._places) > 1 and self._places[1][0] <= self._taken:
            self._places.popleft()
        if self._hears and self._places:
            at, source = self._places[0]
            after = max(0, self._taken - at)
            if source.t is not None:
                return source.t + after * 1_000_000_000 // self.rate, None, None
            assert source.at is not None
            return None, source.epoch, source.at + after * 24_000 // self.rate
        now_ns = self.now_ns()
        t = self._began_ns + self._taken * 1_000_000_000 // self.rate
        came_ns = now_ns - frames * 1_000_000_000 // self.rate
        if abs(t - came_ns) > RESYNC_NS:
            self._began_ns += came_ns - t
            t = came_ns
        return t, None, None
