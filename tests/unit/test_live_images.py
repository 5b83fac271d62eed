"""Pictures: the newest, one a second, of who is here; what is none is counted and dropped."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.live.conversation import Conversation
from pipeline.live.effects import Renew
from pipeline.live.images import CAPPED_S, EVERY_NS, FRESH_NS, LARGEST_BYTES, STALE_NS, Images, size_of, unfit
from pipeline.live.lifetime import CAPPED, Lifetime, Moment
from pipeline.live.memory import Memory
from pipeline.live.messages import Handle
from pipeline.live.setup import compresses

pytestmark = pytest.mark.unit

S = 1_000_000_000
SMALLEST = bytes.fromhex("ffd8 ffe0 0004 0000 ffc0 000b 08 01e0 0280 01 01 11 00 ffd9")
"""640 x 480, by its header; nobody has drawn anything on it."""


def body(number: int = 0, **changes: object) -> dict[str, object]:
    return {"t": 1, "format": "jpeg", "data": SMALLEST[:-2] + bytes([number]) + SMALLEST[-2:], **changes}


def test_the_size_is_in_the_header() -> None:
    assert size_of(SMALLEST) == (640, 480)
    assert size_of(SMALLEST + bytes(16)) == (640, 480), "padded by its camera"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "ff d8"),
        (b"\x89PNG", "ff d8"),
        (SMALLEST[:-2], "cut"),
        (b"\xff\xd8\xff\xd9", "damaged"),
        (bytes(LARGEST_BYTES + 1), "smaller"),
        ("text", "bytes"),
    ],
)
def test_what_is_no_picture_is_counted_and_dropped(data: object, complaint: str) -> None:
    images = Images()
    assert complaint in images.came(0, body(data=data))
    assert images.due(0, 1, up=True) is None
    assert sum(images.dropped.values()) == 1
    assert "format" in images.came(0, body(format="png"))


@given(st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes) -> None:
    unfit(b"\xff\xd8" + data + b"\xff\xd9")


def test_one_a_second_goes_on_and_it_is_the_newest() -> None:
    images = Images()
    sent = []
    for tenth in range(40):
        now_ns = tenth * S // 10
        assert not images.came(now_ns, body(tenth))
        if (jpeg := images.due(now_ns, 1, up=True)) is not None:
            sent.append((tenth, jpeg[-3]))
    assert sent == [(0, 0), (10, 10), (20, 20), (30, 30)]
    assert images.dropped == {"newer": 35}
    assert EVERY_NS == S


def test_without_a_line_the_newest_waits_and_not_for_ever() -> None:
    images = Images()
    images.came(0, body(1))
    images.came(S, body(2))
    assert images.due(S, 1, up=False) is None
    jpeg = images.due(2 * S, 1, up=True)
    assert jpeg is not None
    assert jpeg[-3] == 2
    images.came(3 * S, body(3))
    assert images.due(3 * S + STALE_NS + 1, 1, up=True) is None
    assert images.dropped == {"newer": 1, "stale": 1}


def test_nobody_sees_the_visitor_before() -> None:
    images = Images()
    assert images.due(0, 1, up=True) is None
    images.came(0, body(1))
    assert images.due(0, None, up=True) is None, "they have left"
    assert images.due(0, 2, up=True) is None
    assert images.dropped == {"left": 1}
    images.due(S, None, up=True)
    images.came(S, body(2))
    assert images.due(S, None, up=True) is None, "nobody is here"
    assert images.due(2 * S, 3, up=True) is not None, "taken of who came"
    images.due(3 * S, None, up=True)
    images.came(3 * S, body(3))
    assert images.due(3 * S + FRESH_NS + 1, 4, up=True) is None, "it may still show who was here before"


def test_a_real_one() -> None:
    command = "ffmpeg -v error -f lavfi -i color=c=red:s=320x240 -frames:v 1 -f image2 -c:v mjpeg -"
    try:
        jpeg = subprocess.run(command.split(" "), capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("ffmpeg is not installed: no JPEG is made here")
    assert size_of(jpeg) == (320, 240)


def test_a_line_that_carries_pictures_without_compression_is_renewed_in_time() -> None:
    gap, none = Moment(received=True, heard=True, resumable=True), Moment(received=False, heard=False, resumable=True)
    lifetime = Lifetime(570.0)
    lifetime.line_up(0)
    lifetime.cap(10 * S, CAPPED_S)
    lifetime.cap(50 * S, CAPPED_S)
    assert not lifetime.roll(60 * S, gap)
    assert lifetime.roll(100 * S, gap)
    assert not lifetime.roll(100 * S, none)
    assert lifetime.roll(int(CAPPED_S) * S, none) == CAPPED
    lifetime.line_up(200 * S)
    assert not lifetime.roll(400 * S, gap), "this one carries none"
    lifetime.cap(400 * S, CAPPED_S)
    assert not lifetime.roll(401 * S, none), "it was not to be seen: a gap is looked for"
    assert lifetime.roll(401 * S, gap)
    assert lifetime.roll(415 * S, none)
    compressed, plain = {"context_window_compression": {"sliding_window": {}}}, {"context_window_compression": {}}
    assert (compresses(compressed), compresses(plain), compresses({})) == (True, False, False)


def test_the_session_that_follows_is_a_fresh_one_that_is_told_what_was_said() -> None:
    talk = Conversation(Memory(), lifetime_s=570.0)
    talk.start(0)
    talk.line_up(0, (), resumed=True)
    talk.received(S, Handle("h", True))
    assert talk.resumption.handle == "h"
    talk.cap_line(S, CAPPED_S)
    effects = [effect for second in range(2, 110) for effect in talk.tick(second * S) if isinstance(effect, Renew)]
    assert effects[0] == Renew(CAPPED)
    assert talk.resumption.handle is None
