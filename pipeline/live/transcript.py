"""Who said what in which turn: captions as they come, and the transcript as it was heard.

Transcripts come late, in pieces, and in no order with the answer; the service does not say which turn they belong to.
They go to the turn under way, or to the one that has just ended, or wait for the next.
"""

from __future__ import annotations

from pipeline.live.effects import Effect, Tell
from pipeline.live.heard import AnswerText
from pipeline.live.memory import Memory, Said
from pipeline.live.turns import Outcome, Turn, Turns

LATE_S = 3.0
"""A transcript that comes within so long after its turn still belongs to it."""
KEPT_TURNS = 8
"""Turns whose words are at hand; what was heard of an older one is settled."""
AHEAD_CHARS = 2_000
"""Of a transcript that waits for its turn, the newest."""
_NS = 1_000_000_000


class Words:
    """The words of one turn."""

    def __init__(self, turn: int, spoken: bool) -> None:
        self.turn = turn
        self.spoken = spoken
        """The person spoke it, so a transcript of theirs may belong to it."""
        self.person = ""
        self.interim = ""
        self.answer = AnswerText(0, 0)
        self.sounded = False
        self.heard_at: int | None = None
        """Place in the answer's epoch up to which playback heard it; None if playback said nothing yet."""
        self.ended_ns: int | None = None
        self.person_told: tuple[str, bool] | None = None
        """What was last told of the person, and whether it was said to be final."""
        self.machine_told = False
        """Something of the answer was told, so its end must be."""
        self.final = False

    @property
    def person_text(self) -> str:
        """What the person said, as far as is known."""
        return " ".join((self.person + self.interim).split())

    @property
    def heard_text(self) -> str:
        """What the person heard of the answer. Text without sound was read, so it counts whole."""
        if not self.sounded:
            return self.answer.text
        return "" if self.heard_at is None else self.answer.heard(self.heard_at)


class Transcript:
    """The words of the turns of `turns`, kept as heard in `memory`."""

    def __init__(self, turns: Turns, memory: Memory) -> None:
        self._turns, self._memory = turns, memory
        self._words: dict[int, Words] = {}
        self._person_ahead = ""
        self._machine_ahead = ""
        """What was said for a turn that has not opened yet: transcripts may overtake what they belong to."""

    # Turns

    def started(self, turn: Turn) -> list[Effect]:
        """A turn opened; words that waited for it are its own."""
        words = self._words[turn.id] = Words(turn.id, turn.kind == "speech")
        words.answer.words(self._machine_ahead)
        self._machine_ahead = ""
        for old in sorted(self._words)[:-KEPT_TURNS]:
            del self._words[old]
        if turn.kind != "speech":
            words.person = turn.text
            return []
        words.person, self._person_ahead = self._person_ahead, ""
        return self._person(words, final=False)

    def restored(self, turn: Turn) -> None:
        """A turn of a session before this one goes on: what was told of it then must come to its end too."""
        words = self._words[turn.id] = Words(turn.id, turn.kind == "speech")
        words.person = "" if words.spoken else turn.text
        words.machine_told, words.person_told = True, ("", False) if words.spoken else None

    def spoke(self, turn: Turn, epoch: int, at: int) -> None:
        """The first sound of the answer goes there."""
        words = self._words[turn.id]
        words.sounded = True
        words.answer.begins(epoch, at)

    def sound(self, turn: Turn, epoch: int, at: int, end_at: int) -> None:
        """A piece of the answer's sound lies from `at` to `end_at` of `epoch`."""
        words = self._words[turn.id]
        if epoch != words.answer.epoch:  # playback knew a later one than we did: what went to ours was not heard
            words.answer.begins(epoch, at)
            words.heard_at = None
        words.answer.sound(end_at)

    def answered(self, turn: Turn) -> list[Effect]:
        """The answer begins: what the person said is final, as far as anybody can tell."""
        words = self._words[turn.id]
        return self._person(words, final=True) if words.spoken else []

    def called(self) -> list[Effect]:
        """The answer under way waits for a function."""
        if self._turns.turn is not None:
            self._words[self._turns.turn.id].answer.called()
        return []

    def ended(self, turn: Turn, outcome: Outcome, now_ns: int) -> list[Effect]:
        """A turn is over: from here on it is part of the transcript, as far as it was heard.

        Of an answer that was cut, `final` is told when it is known where.
        """
        words = self._words[turn.id]
        words.ended_ns = now_ns
        words.answer.complete = outcome == "answered"
        self._remember(words)
        person = self._person(words, final=True) if words.spoken else []
        return person if outcome == "interrupted" else person + self.final(turn.id)

    def again(self, turn: Turn) -> None:
        """The line was lost before the answer was whole: it will be given anew."""
        words = self._words[turn.id]
        words.answer, words.sounded, words.heard_at = AnswerText(0, 0), False, None
        words.person = "" if words.spoken else words.person
        words.interim = ""

    def final(self, turn: int) -> list[Effect]:
        """The last caption of the answer: what was heard if it was cut, else all of it."""
        words = self._words.get(turn)
        if words is None or words.final:
            return []
        words.final = True
        text = words.answer.text if words.answer.complete else words.heard_text
        return [_caption("machine", text, True, turn)] if text or words.machine_told else []

    # Words

    def person_said(self, now_ns: int, text: str, *, interim: bool, finished: bool) -> list[Effect]:
        """A piece of the transcript of the person; an interim one is replaced by the next."""
        words = self._for_person(now_ns)
        if words is None:
            self._person_ahead = (self._person_ahead + ("" if interim else text))[-AHEAD_CHARS:]
            return []
        if interim:
            if words.ended_ns is not None:
                return []  # a guess is worth nothing any more
            words.interim = text
        else:
            words.person, words.interim = words.person + text, ""
        if words.ended_ns is None:
            return self._person(words, final=finished and not interim)
        self._remember(words)
        return self._person(words, final=True)

    def machine_said(self, now_ns: int, text: str, *, late: bool) -> list[Effect]:
        """A piece of the transcript of the answer, or of an answer in text. `late`: an interrupted one is meant."""
        words = self._for_machine(now_ns, late)
        if words is None:
            self._machine_ahead = (self._machine_ahead + text)[-AHEAD_CHARS:]
            return []
        words.answer.words(text)
        if words.ended_ns is not None:
            self._remember(words)
            return [_caption("machine", words.answer.text, True, words.turn)] if words.answer.complete else []
        words.machine_told = True
        return [_caption("machine", words.answer.text, False, words.turn)]

    # Hearing

    def heard(self, epoch: int, at: int) -> None:
        """Playback heard up to `at` of `epoch`."""
        for words in self._words.values():
            if words.sounded and words.answer.epoch == epoch and at > words.answer.start_at:
                words.heard_at = max(words.heard_at or 0, at)
                if words.ended_ns is not None:
                    self._remember(words)

    def heard_text(self, turn: int) -> str:
        """What was heard of the answer of `turn`."""
        words = self._words.get(turn)
        return words.heard_text if words is not None else ""

    def words_of(self, turn: int) -> tuple[str, str]:
        """What the person said in `turn`, and of the answer what has come as sound, heard or not."""
        words = self._words.get(turn)
        return (words.person_text, words.answer.heard(words.answer.end_at)) if words is not None else ("", "")

    def whole(self, turn: int) -> tuple[str, str]:
        """What the person and the machine said in a turn, heard or not yet."""
        words = self._words[turn]
        return words.person_text, words.answer.text

    def sound_of(self, turn: int) -> int:
        """How much of the answer of `turn` has come, in samples of 24 kHz."""
        words = self._words.get(turn)
        return words.answer.end_at - words.answer.start_at if words is not None and words.sounded else 0

    def cut_off(self) -> None:
        """The line is gone: what waited for its turn belongs to none that can come."""
        self._person_ahead = self._machine_ahead = ""
        for words in self._words.values():
            if words.ended_ns is None:
                words.answer.cut()

    def forget(self) -> None:
        """The visit is over."""
        self._words = {key: Words(key, words.spoken) for key, words in self._words.items() if words.ended_ns is None}
        self.cut_off()

    def seed(self) -> tuple[tuple[str, str], ...]:
        """The transcript for a session that knows nothing of it: who and what, in order."""
        names = {"person": "user", "machine": "model"}
        return tuple((names[said.who], said.text) for said in self._memory.transcript if said.text)

    # Inside

    @staticmethod
    def _person(words: Words, *, final: bool) -> list[Effect]:
        text = words.person_text
        if words.person_told == (text, True) or not (text or words.person_told):
            return []
        words.person_told = (text, final)
        return [_caption("person", text, final, words.turn)]

    def _remember(self, words: Words) -> None:
        self._memory.remember(Said(words.turn, "person", words.person_text))
        self._memory.remember(Said(words.turn, "machine", words.heard_text))

    def _recent(self, now_ns: int) -> Words | None:
        last = self._turns.last
        words = self._words.get(last.id) if last is not None else None
        if words is None or words.ended_ns is None or now_ns - words.ended_ns > LATE_S * _NS:
            return None
        return words

    def _for_person(self, now_ns: int) -> Words | None:
        turn = self._turns.turn
        if turn is None:
            recent = self._recent(now_ns)
            return recent if recent is not None and recent.spoken else None
        words = self._words[turn.id]
        speech_waits = any(waits.kind == "speech" for waits in self._turns.waiting)
        if not words.spoken or (speech_waits and words.person):
            return None
        return words

    def _for_machine(self, now_ns: int, late: bool) -> Words | None:
        turn = self._turns.turn
        if turn is None or late:
            return self._recent(now_ns)
        words = self._words[turn.id]
        if turn.speech_open and not turn.answering:  # nobody answers what is still being said
            return self._recent(now_ns) or words
        return words


def _caption(who: str, text: str, final: bool, turn: int) -> Tell:
    return Tell("caption", {"who": who, "text": text, "final": final, "turn": turn})
