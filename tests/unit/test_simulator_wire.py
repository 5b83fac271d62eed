"""What clients may send, and what they may not."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.simulator.refusal import REASON_BYTES, Refused, cut, no_key
from pipeline.simulator.wire import camel_name, read_base64, read_frame, write_base64, write_frame

pytestmark = pytest.mark.unit

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


def test_both_letter_cases_in_one_message_text_or_bytes() -> None:
    mixed = '{"realtime_input":{"audioStreamEnd":true,"media_chunks":[{"mime_type":"audio/pcm"}]}}'
    same = {"realtimeInput": {"audioStreamEnd": True, "mediaChunks": [{"mimeType": "audio/pcm"}]}}
    assert read_frame(mixed) == same
    assert read_frame(mixed.encode()) == same


@pytest.mark.parametrize("name", ["args", "response", "labels", "parameters", "parameters_json_schema"])
def test_the_users_own_names_stay(name: str) -> None:
    message = read_frame(json.dumps({"tool_response": {name: {"order_id": {"nested_too": 1}}}}))
    assert message["toolResponse"][camel_name(name)] == {"order_id": {"nested_too": 1}}


@pytest.mark.parametrize(
    "frame",
    ["", "no", b"\xff\xfe", "[]", "1", '"a"', "null", '{"a":NaN}', "[" * 100_000, '{"a":' * 200 + "1" + "}" * 200,
     '{"turn_complete":1,"turnComplete":2}', "1" * 5000],
)  # fmt: skip
def test_garbage_is_refused_as_the_service_does(frame: Any) -> None:
    with pytest.raises(Refused) as refused:
        read_frame(frame)
    assert refused.value.code == 1007
    assert refused.value.why


@given(st.binary(max_size=64) | st.text(max_size=64) | ANY_JSON.map(json.dumps))
def test_no_frame_raises_anything_else(frame: Any) -> None:
    with contextlib.suppress(Refused):
        assert isinstance(read_frame(frame), dict)


@given(st.binary(max_size=50), st.booleans(), st.booleans())
def test_both_alphabets_padded_or_not(data: bytes, url_safe: bool, padded: bool) -> None:
    text = (base64.urlsafe_b64encode(data) if url_safe else base64.b64encode(data)).decode()
    assert read_base64(text if padded else text.rstrip("=")) == data
    assert read_base64(write_base64(data)) == data
    assert read_base64(base64.encodebytes(data).decode()) == data


@pytest.mark.parametrize("data", [None, 7, "A", "no base64!", "AA=A", "é"])
def test_broken_base64_is_refused(data: Any) -> None:
    with pytest.raises(Refused):
        read_base64(data)


def test_what_is_sent_is_ascii_in_bytes() -> None:
    frame = write_frame({"text": "café \ud800"})
    assert isinstance(frame, bytes)
    assert frame.isascii()


def test_a_reason_fits_a_close_frame_and_stays_text() -> None:
    assert len(no_key("x").reason.encode()) <= REASON_BYTES
    assert no_key("x").reason.startswith("Method doesn't allow unregistered callers")
    assert cut("é" * 100).encode() == ("é" * 61).encode()
