"""What a speaker says: answers out of the jitter buffer, prompts beside them, one gain for all, and the truth about
what was heard. Pure: a sound card or a file asks it for frames and tells it how far it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.audio.account import Account, Play, Tell, TimeOf
from pipeline.audio.feed import Feed
from pipeline.audio.jitter import JitterBuffer
from pipeline.audio.pcm import Samples, volume_factor
from pipeline.audio.prompting import Prompt, Prompting

RATE = 24_000
FADE_MS = 8.0
"""Of what must end before it is over. A confirmed barge-in is silent so long after what the device still held."""
VOLUME_FADE_MS = 20.0
DUCK_DB = 12.0
DUCKED_NS = 3_000_000_000
"""A duck that nobody takes back ends by itself: a front end that died must not leave the machine whispering."""
PAUSE_NS = 400_000_000
"""A prompt begins so long after an answer: one that has only run dry for a moment is not talked into."""
_NS = 1_000_000_000


class Mouth:
    """One speaker's words. First `open`, then `left` and `frames` in turn."""

    def __init__(self, tell: Tell, play: Play, *, jitter_ms: int = 40, most_ms: int = 200, percent: int = 100) -> None:
        self.reply = JitterBuffer(RATE, jitter_ms, most_ms=most_ms)
        self._tell = tell
        self._account = Account(tell, play)
        self._prompting = Prompting()
        self._feed: Feed | None = None
        self._volume = volume_factor(percent)
        self._duck, self._ducked_ns = 1.0, 0
        self._tail: tuple[int, int] | None = None  # (epoch, buffered_to) of an answer that is being faded out
        self._prompt_end: int | None = None  # device frame after the last one of the prompt that was said to be on
        self._prompt_name = ""
        self._answer_since_ns: int | None = None
        self._spoke_ns = -PAUSE_NS

    def open(self, device_rate: int, low: int) -> None:
        """The device is there. Below `low` frames in its queue an answer's last millisecond is given to it."""
        self._feed = Feed(RATE, device_rate, self._volume)
        self._low = low

    # -- what is to be said

    @property
    def speaking(self) -> bool:
        """An answer sounds."""
        return self._account.speaking

    @property
    def sounding(self) -> bool:
        """An answer or a prompt sounds."""
        return self._feed is not None and (not self._feed.silent or self._feed.pending > 0 or self._going)

    @property
    def _going(self) -> bool:
        return self.reply.running or self._prompting.current is not None

    @property
    def unfinished(self) -> bool:
        """There is something that was not said to its end."""
        return self.sounding or not self.reply.drained

    def push(self, epoch: int, at: int, samples: Samples, now_ns: int) -> None:
        """A frame of an answer. A newer epoch must have been announced by `renew`."""
        self.reply.push(epoch, at, samples, now_ns)

    def volume(self, percent: int) -> None:
        """0 to 100."""
        self._volume = volume_factor(percent)
        self._regain(VOLUME_FADE_MS)

    def duck(self, body: Mapping[str, object], now_ns: int) -> None:
        """`on`: lower the answer by `db` (its sign does not matter) within `fade_ms`; else bring it back."""
        down = 10 ** (-abs(_number(body.get("db"), DUCK_DB)) / 20)
        self._duck, self._ducked_ns = down if body.get("on") is True else 1.0, now_ns
        self._regain(_number(body.get("fade_ms"), FADE_MS))

    def play(self, prompt: Prompt, now_ns: int) -> str:
        """Say a prompt. "" if it will sound, else why not."""
        return self._prompting.ask(prompt, now_ns, answering=self.speaking or not self.reply.drained)

    def play_stop(self, name: str) -> None:
        """End it, if it sounds."""
        if self._prompting.stop(name):
            self._end_prompt()

    def _gain(self) -> float:
        return self._volume * (self._duck if self._prompting.current is None else 1.0)

    def _regain(self, ms: float) -> None:
        if self._feed is None or self._tail is not None:
            return
        if self._feed.between:
            self._feed.fader.jump(self._gain())
        else:
            self._feed.fader.to(self._gain(), ms)

    # -- epochs

    def must_cut(self, epoch: int, cause: str) -> bool:
        """Whether `epoch` ends what sounds at once: then drop the device's queue and call `cut` before `renew`."""
        if epoch <= self.reply.epoch or not self.speaking:
            return False
        return cause != "barge_in" or self._tail is not None

    def cut(self, frame: int, time_of: TimeOf) -> None:
        """The device's queue was dropped when `frame` was at the speaker."""
        assert self._feed is not None
        self._account.left(self._feed.cut(frame), time_of, last=True)
        self._account.speaking = False
        self._say_prompt_over()
        self._prompting.current = None

    def leave(self, frame: int, time_of: TimeOf, now_ns: int) -> None:
        """As `cut`, and nothing follows: says to the sample how much was heard, for whoever goes on with it."""
        self.cut(frame, time_of)
        self._account.heard(self.reply.epoch, self.reply.buffered_to, now_ns)

    def renew(self, epoch: int, cause: str, now_ns: int, at: int = 0) -> None:
        """A newer epoch, by a flush or by its first frame: nothing of an older one is said any more.

        `at`: the place of that frame. In the first epoch of all it is how much was heard of whoever spoke before.
        """
        before = self.reply.epoch, self.reply.buffered_to
        if epoch <= before[0]:
            return
        fades = self.speaking and cause == "barge_in" and self._feed is not None
        if fades:
            assert self._feed is not None
            self._feed.fade_out(self.reply, FADE_MS)
        self.reply.flush(epoch)
        self._duck = 1.0
        if fades:
            self._tail = before
            return
        if before[0] >= 0:
            self._end_epoch(*(self._tail or before), now_ns)
        self._tail = None
        at = at if before[0] < 0 else 0
        self._account.renew(at)
        self._account.heard(epoch, at, now_ns)

    def _end_epoch(self, epoch: int, buffered_to: int, now_ns: int) -> None:
        self._account.heard(epoch, buffered_to, now_ns)

    # -- the device

    def ready_in(self, now_ns: int) -> int | None:
        """ns until there is something new to say: 0 now; None: nothing is on its way."""
        if self._prompting.waits:
            return 0
        return self.reply.ready_in(now_ns)

    def left(self, frame: int, time_of: TimeOf, now_ns: int) -> None:
        """All frames before `frame` have left the speaker."""
        feed = self._feed
        assert feed is not None
        if feed.silent and not self._account.speaking:
            self._say_prompt_over(frame)
            return
        sounded = feed.left(frame)
        over = feed.silent and not feed.pending
        self._account.left(sounded, time_of, last=over and not self._going)
        self._say_prompt_over(frame)
        if over and self._tail is not None:
            self._end_epoch(*self._tail, now_ns)
            self._tail = None
            self._account.renew()
            self._account.heard(self.reply.epoch, 0, now_ns)
        elif self._account.speaking and self._tail is None:
            if over and not self.reply.running:
                self._account.speaking, self._spoke_ns = False, now_ns
            elif not self._account.heard_due(now_ns):
                return
            self._account.heard(self.reply.epoch, self.reply.buffered_to, now_ns)

    def frames(self, free: int, queued: int, now_ns: int) -> Samples:
        """What to write now, at most `free` frames (and 1 ms), when the device holds `queued`. None for now: empty."""
        feed = self._feed
        assert feed is not None
        if self._duck < 1 and now_ns - self._ducked_ns > DUCKED_NS:
            self.duck({"on": False}, now_ns)
        if not queued and self.speaking and feed.silent and not feed.pending:
            self.reply.ran_dry(now_ns)
        source = self._choose(now_ns)
        if source is None:
            return feed.rest(free)
        here, begins = feed.given - queued, feed.between
        frames = feed.take(source, free)
        if begins and not feed.between:
            self._say_begun(source, here, now_ns)
        if source.drained and queued + frames.size < self._low:
            frames = np.concatenate((frames, feed.end()))
        if isinstance(source, Prompt) and source.drained and feed.between:
            self._finish_prompt(feed.given)
        return frames

    def late(self, missing_ms: int) -> None:
        """The device stood without sound for so long in the midst of an answer. With enough in hand, that was us."""
        if self.speaking and self.reply.running and self.reply.ready:
            self._tell("underrun", epoch=self.reply.epoch, at=self.reply.next_at, missing_ms=max(1, missing_ms))

    def emptied(self) -> None:
        """The device's queue was dropped while nothing sounded: it counts from 0 again."""
        assert self._feed is not None
        self._feed.reset()

    @property
    def given(self) -> int:
        """Frames given since the queue was dropped last."""
        return self._feed.given if self._feed is not None else 0

    def comfort(self, count: int) -> Samples:
        """Frames that nobody hears, for a device that has to wake up or must not fall asleep."""
        assert self._feed is not None
        return self._feed.comfort(count)

    def silence(self, count: int) -> Samples:
        """Frames of nothing."""
        assert self._feed is not None
        return self._feed.silence(count)

    def fill(self, count: int, now_ns: int) -> Samples:
        """Silence behind the last frame in hand. What comes now all the same is late: an underrun."""
        self.reply.ran_dry(now_ns)
        return self.silence(count)

    # -- inside

    def _choose(self, now_ns: int) -> JitterBuffer | Prompt | None:
        ready = self.reply.running or self.reply.ready_in(now_ns) == 0
        self._answer_since_ns = (self._answer_since_ns or now_ns) if ready else None
        if self._prompting.yields(now_ns, self._answer_since_ns):
            self._end_prompt()
        if self._prompting.current is not None:
            return self._prompting.current
        if self._tail is not None:
            return None
        if self.reply.running:
            return self.reply
        if ready:
            if underrun := self.reply.begin(now_ns):
                self._tell("underrun", epoch=underrun.epoch, at=underrun.at, missing_ms=underrun.missing_ms)
            self._begin_run()
            return self.reply
        paused = self._feed_silent and not self.speaking and now_ns - self._spoke_ns >= PAUSE_NS
        if not paused or self._prompting.next(now_ns) is None:
            return None
        self._begin_run()
        return self._prompting.current

    @property
    def _feed_silent(self) -> bool:
        return self._feed is not None and self._feed.silent and not self._feed.pending

    def _begin_run(self) -> None:
        assert self._feed is not None
        if self._feed.between:
            self._feed.fader.jump(self._gain())

    def _say_begun(self, source: JitterBuffer | Prompt, here: int, now_ns: int) -> None:
        assert self._feed is not None
        place, begin = self._feed.begun
        t = now_ns + max(0, begin - here) * _NS // self._feed.device_rate
        if isinstance(source, Prompt):
            ms = None if source.loop else source.samples.size * 1000 // RATE
            self._tell("prompt", sticky=True, name=source.name, on=True, t=t, ms=ms)
            self._prompt_end = None
        elif not self._account.speaking:
            self._account.audible(place, t)

    def _end_prompt(self) -> None:
        """It ends here, faded."""
        current, feed = self._prompting.current, self._feed
        if current is None or feed is None:
            return
        feed.fade_out(current, FADE_MS)
        self._finish_prompt(feed.given + feed.pending)

    def _finish_prompt(self, end: int) -> None:
        self._prompt_name = self._prompting.current.name if self._prompting.current else ""
        self._prompting.current = None
        self._prompt_end = end

    def _say_prompt_over(self, frame: int | None = None) -> None:
        """All of it has left the speaker, or was cut off (no `frame`)."""
        if frame is None and self._prompting.current is not None:
            self._finish_prompt(0)
        if self._prompt_end is not None and (frame is None or frame >= self._prompt_end):
            self._prompt_end = None
            self._tell("prompt", sticky=True, name=self._prompt_name, on=False)


def _number(value: object, default: float) -> float:
    """A number of an event's body; `default` for what is absent or was said wrong."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
