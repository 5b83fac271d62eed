"""Faults of a script, each as the client sees it, with time as an argument."""

from pathlib import Path

import pytest

from pipeline.simulator.fault import Close, Fault, Plan, Silent
from pipeline.simulator.script_file import load_script, read_faults
from pipeline.simulator.script_place import ScriptError
from tests.rig.live_client import MS, SCRIPT, Client, script_life, sentence

pytestmark = pytest.mark.unit

ABORTED = Close(1008, "The operation was aborted.")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("{when: setup, close: internl}", "close: did you mean `internal`?"),
        ("{when: setup, close: x}", "close: expected one of quota, internal"),
        ("{when: sometimes, close: cut}", "when: expected one of start, now, dial"),
        ("{when: setup, close: cut, silent: true}", "faults[0]: expected exactly one of"),
        ("{when: setup, silent: maybe}", "silent: expected one of true"),
        ("{when: dial, wedged: true}", "wedged: at `when: dial` there is no connection yet: use tls, http"),
        ("{when: dial, close: internal}", "close: a close code needs a WebSocket: use `when: connect`"),
        ("{when: setup, tls: refused}", "tls: goes with `when: dial` only, not with `when: setup`"),
        ("{when: dial, tls: old}", "tls: expected one of refused, expired"),
        ("{when: dial, http: {status: 200}}", "status: expected a whole number from 400 to 599"),
        ("{when: dial, http: {body: a}}", "http: `status` is missing"),
        ("{when: setup, nth: 0, close: cut}", "nth: expected which ones: 3, 3-5, or 3-"),
        ("{when: setup, nth: 5-3, close: cut}", "nth: expected which ones"),
        ("{when: setup, after_ms: [3, 1], close: cut}", "after_ms: expected milliseconds, or [least, most]"),
        ("{when: setup, chance: 2, close: cut}", "chance: expected a number from 0 to 1"),
        ("{when: setup, send: []}", "send: expected a message"),
        ("{when: start, outage: {how: silent}}", "outage: `ms` is missing"),
        ("{when: setup, handles: gone}", "handles: expected one of forgotten, withheld, blank"),
    ],
)
def test_a_wrong_fault_is_named_by_line_and_key(tmp_path: Path, fault: str, words: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(f"version: 1\nfaults:\n  - {fault}\n")
    with pytest.raises(ScriptError) as error:
        load_script(path)
    assert str(error.value).startswith(f"{path}:3: {words}")


def test_faults_posted_to_a_running_server_are_read_alike() -> None:
    (fault,) = read_faults('{"when": "answer", "nth": "2-", "close": {"code": 1011}}', Path("POST /_faults"))
    assert fault == Fault("answer", Close(1011), first=2, last=None)
    with pytest.raises(ScriptError, match=r"POST /_faults:2: wehn: unknown key; did you mean `when`\?"):
        read_faults("- {when: now, close: cut}\n- {wehn: now}", Path("POST /_faults"))
    with pytest.raises(ScriptError, match="is empty"):
        read_faults("", Path("POST /_faults"))


def test_equal_seeds_draw_equal_lots() -> None:
    fault = Fault("turn", Silent(), first=3, last=90, after_ms=(0, 1000), chance=0.5)

    def drawn(seed: int) -> list[list[int]]:
        plan = Plan.of([fault], seed)
        return [[after for after, _ in plan.moment("turn")] for _ in range(100)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 25 < sum(map(len, drawn(1))) < 65
    assert not any([*drawn(1)[:2], *drawn(1)[90:]])


def test_a_posted_fault_counts_from_when_it_was_posted() -> None:
    plan = Plan()
    for _ in range(5):
        assert plan.moment("turn") == []
    plan.add(Fault("turn", Silent(), 2, 2))
    assert [len(plan.moment("turn")) for _ in range(3)] == [0, 1, 0]


def faulty(folder: Path, *faults: str, more: str = "") -> Client:
    lines = "".join(f"  - {fault}\n" for fault in faults)
    return Client(
        script_life(folder, f"{SCRIPT}{more}faults:\n{lines}"),
        sessionResumption={},
        inputAudioTranscription={},
        outputAudioTranscription={},
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("quota", Close(1011, "You exceeded your current quota, please check your plan and billing details.")),
        ("no_session", Close(1008, "BidiGenerateContent session not found")),
        ("cut", Close(1006, "")),
        ("torn", Close(1006, "", torn=True)),
        ("{code: 4000, reason: as you like}", Close(4000, "as you like")),
    ],
)
@pytest.mark.parametrize("when", ["connect", "setup", "speech", "turn", "answer", "generated", "complete"])
def test_it_closes_with_any_words_at_any_moment(tmp_path: Path, name: str, expected: Close, when: str) -> None:
    client = faulty(tmp_path, f"{{when: {when}, close: {name}}}")
    client.speak(sentence())
    client.wait(8000)
    assert client.closed == expected
    last = {
        "connect": [],
        "setup": ["setupComplete", "handle"],
        "speech": ["setupComplete", "handle"],
        "turn": ["setupComplete", "handle"],
        "answer": ["inputTranscription", "outputTranscription", "modelTurn"],
        "generated": ["modelTurn", "generationComplete"],
        "complete": ["turnComplete", "handle"],
    }[when]
    assert client.kinds[-len(last) :] == last if last else client.kinds in ([], ["setupComplete", "handle"])


def test_a_function_under_way_does_not_save_a_connection(tmp_path: Path) -> None:
    life = script_life(tmp_path, SCRIPT + "faults: [{when: tool, nth: 1, close: internal}, {when: result, close: cut}]")
    tools = [{"functionDeclarations": [{"name": "get_order_status"}]}]
    client = Client(life, tools=tools)
    client.type("order 5")
    client.wait(5000)
    assert client.kinds[-1] == "toolCall"
    assert client.closed == Close(1011, "Internal error encountered.")
    client = Client(life, tools=tools)
    client.type("order 5")
    client.wait(5000)
    client.say(toolResponse={"functionResponses": [{"id": "function-call-2", "response": {}}]})
    assert client.closed == Close(1006, "")


def test_every_connection_lives_ten_minutes_and_is_told_so(tmp_path: Path) -> None:
    client = Client(script_life(tmp_path, SCRIPT), sessionResumption={})
    client.wait(539_999)
    assert client.kinds == ["setupComplete", "handle"]
    client.wait(1)
    assert client.sent[-1][1] == {"goAway": {"timeLeft": "50s"}}
    client.wait(49_999)
    assert client.closed is None
    client.wait(1)
    assert client.closed == ABORTED


@pytest.mark.parametrize(
    ("limits", "said_ms", "time_left", "end_ms", "end"),
    [
        ("connection_s: 10, go_away_s: 4", 6000, "4s", 10_000, ABORTED),
        ("connection_s: 3", 0, "3s", 3000, ABORTED),
        ("connection_s: 5, go_away_s: never", None, "", 5000,
         Close(1011, "Deadline expired before operation could complete.")),
    ],
)  # fmt: skip
def test_a_script_says_how_long_connections_live(
    tmp_path: Path, limits: str, said_ms: int | None, time_left: str, end_ms: int, end: Close
) -> None:
    client = Client(script_life(tmp_path, f"{SCRIPT}limits: {{{limits}}}\n"), more={})
    client.wait(20_000)
    if said_ms is None:
        assert client.kinds == ["setupComplete"]
    else:
        assert client.at("goAway") == [said_ms]
        assert {"goAway": {"timeLeft": time_left}} in [message for _, message in client.sent]
    assert client.closed == end
    closed = Client(script_life(tmp_path, f"{SCRIPT}limits: {{{limits}}}\n"), more={})
    closed.wait(end_ms - 1)
    assert closed.closed is None


def test_a_go_away_may_lie_or_say_nothing(tmp_path: Path) -> None:
    client = faulty(
        tmp_path,
        "{when: setup, after_ms: 10, go_away: {time_left: 0s, lives_ms: never}}",
        "{when: setup, after_ms: 20, go_away: {}}",
        "{when: setup, after_ms: 30, go_away: {time_left: 9.5s, lives_ms: 100, close: deadline}}",
    )
    client.wait(129)
    said = [message["goAway"] for _, message in client.sent if "goAway" in message]
    assert said == [{"timeLeft": "0s"}, {}, {"timeLeft": "9.5s"}]
    assert client.closed is None
    client.wait(1)
    assert client.closed == Close(1011, "Deadline expired before operation could complete.")


def test_a_wedged_session_transcribes_and_never_speaks_until_a_fresh_one(tmp_path: Path) -> None:
    wedged = faulty(tmp_path, "{when: turn, nth: 2, wedged: true}")
    wedged.speak(sentence())
    wedged.wait(6000)
    assert wedged.kinds[-1] == "handle"
    kept, sent = wedged.handle, len(wedged.sent)
    for _ in range(2):
        wedged.speak(sentence())
        wedged.wait(6000)
    assert [next(iter(message["serverContent"])) for _, message in wedged.sent[sent:]] == ["inputTranscription"] * 2
    wedged.leave()
    resumed = Client(wedged.core._life, 60_000, sessionResumption={"handle": kept}, inputAudioTranscription={})
    resumed.speak(sentence())
    resumed.wait(6000)
    assert resumed.kinds == ["setupComplete", "handle", "inputTranscription"]
    fresh = Client(wedged.core._life, 90_000, more={})
    fresh.type("hello")
    fresh.wait(6000)
    assert fresh.kinds[-1] == "turnComplete"


def test_handles_expire_are_forgotten_withheld_or_blank(tmp_path: Path) -> None:
    for fault, code, issued in (
        ("{when: turn, nth: 2, handles: forgotten}", 1007, 1),
        ("{when: turn, nth: 1, handles: withheld}", None, 0),
        ("{when: complete, nth: 1, handles: blank}", None, 1),
        ("{when: resume, close: no_session}", 1008, 1),
        ("{when: resume, close: bad_handle}", 1007, 1),
        ("{when: resume, close: internal}", 1011, 1),
    ):
        client = faulty(tmp_path, fault)
        client.type("hello")
        client.wait(5000)
        first = client.handle
        assert len(client.at("newHandle")) == 1 + issued
        client.type("again")
        client.wait(5000)
        client.leave()
        resumed = Client(client.core._life, 20_000, sessionResumption={"handle": first})
        assert (resumed.closed and resumed.closed.code) == code, fault
        if code is None:
            turns = next(note.fields["turns"] for note in resumed.notes if note.event == "setup")
            assert turns == 0, "stale: of before the first turn; or blank"
    client = Client(script_life(tmp_path, SCRIPT + "limits: {handle_s: 5}"), sessionResumption={})
    client.leave()
    late = Client(client.core._life, 5001, sessionResumption={"handle": client.handle})
    assert late.closed == Close(1008, "BidiGenerateContent session not found")


def test_a_session_is_resumed_only_when_its_old_connection_is_gone(tmp_path: Path) -> None:
    life = script_life(tmp_path, SCRIPT)
    old = Client(life, sessionResumption={})
    hasty = Client(life, 100, sessionResumption={"handle": old.handle})
    assert hasty.closed == Close(1011, "Internal error encountered.")
    hasty.leave()
    old.leave()
    calm = Client(life, 200, sessionResumption={"handle": old.handle})
    assert calm.closed is None
    second = Client(life, 300, sessionResumption={"handle": calm.handle})
    assert second.closed == Close(1011, "Internal error encountered.")


def test_a_session_without_compression_ends_over_all_its_connections(tmp_path: Path) -> None:
    life = script_life(tmp_path, SCRIPT)
    first = Client(life, sessionResumption={})
    first.wait(500_000)
    first.leave()
    second = Client(life, 500_000, sessionResumption={"handle": first.handle})
    second.wait(399_999)
    assert second.closed is None
    second.wait(1)
    assert second.closed == ABORTED
    second.leave()
    third = Client(life, 900_001, sessionResumption={"handle": second.handle})
    assert third.closed == Close(1008, "BidiGenerateContent session not found")
    compressed = Client(life, contextWindowCompression={"slidingWindow": {}}, sessionResumption={})
    compressed.wait(589_999)
    compressed.leave()
    more = {"sessionResumption": {"handle": compressed.handle}, "contextWindowCompression": {"slidingWindow": {}}}
    again = Client(life, 590_000, **more)
    again.wait(589_999)
    assert again.closed is None


def test_images_shorten_a_session_to_two_minutes(tmp_path: Path) -> None:
    life = script_life(tmp_path, SCRIPT)
    image = {"realtimeInput": {"video": {"mimeType": "image/jpeg", "data": "/9g="}}}
    plain, seeing, compressed = (
        Client(life, more={}),
        Client(life, more={}),
        Client(life, contextWindowCompression={"slidingWindow": {}}),
    )
    for client in (plain, seeing, compressed):
        client.wait(60_000)
        if client is not plain:
            client.say(**image)
        client.wait(59_999)
        assert client.closed is None
        client.wait(1)
        assert client.closed == (ABORTED if client is seeing else None)


def test_a_full_context_without_compression_ends_the_session(tmp_path: Path) -> None:
    life = script_life(tmp_path, SCRIPT + "limits: {context_tokens: 20}\n")
    client = Client(life, more={})
    client.type("hello")
    client.wait(8000)
    assert client.closed is not None
    assert client.closed.code == 1007
    assert "exceeds the maximum number of tokens allowed (20)" in client.closed.reason


def test_it_says_what_it_is_told_to_say(tmp_path: Path) -> None:
    client = faulty(
        tmp_path,
        "{when: answer, send: [{serverContent: {interrupted: true}}, {serverContent: {turnComplete: true}}]}",
        "{when: setup, silent: true}",
    )
    client.type("hello")
    client.wait(5000)
    assert client.kinds == ["setupComplete", "handle"], "set up, and silent ever after"
    client = faulty(tmp_path, "{when: turn, send: {novelty: 1}}", "{when: answer, silent: true}")
    client.type("hello")
    client.wait(5000)
    assert client.kinds[2] == "novelty"
    assert client.kinds[-1] == "modelTurn", "it falls silent in the middle of an answer"
    assert client.now_ns == 5000 * MS
