"""Which endpoint a configuration means, and how pactl's answers are read."""

import socket
from pathlib import Path

import pytest

from pipeline.audio import cards, devicefind, deviceguard, soundserver
from pipeline.audio.soundserver import Endpoint, choose, parse_connected, parse_json, parse_short, sockets

pytestmark = pytest.mark.unit

JABRA = Endpoint("alsa_input.usb-Jabra_SPEAK_510-00.mono-fallback", "Jabra SPEAK 510 Mono", 1, 16000)
CAMERA = Endpoint("alsa_input.usb-046d_C920-02.analog-stereo", "HD Pro Webcam C920", 2, 32000, default=True)
MONITOR = Endpoint("alsa_output.pci.monitor", "Monitor of Built-in Jabra-like Audio", 2, 48000)
ALL = [MONITOR, JABRA, CAMERA]


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("auto", CAMERA),
        ("jabra", JABRA),
        ("webcam c920", CAMERA),
        ("usb", CAMERA),  # both: the default one
        (JABRA.name, JABRA),
        (MONITOR.name, MONITOR),  # in full: asked for
    ],
)
def test_a_part_of_a_name_is_enough(device: str, expected: Endpoint) -> None:
    assert choose("microphone", device, ALL, {}) is expected


def test_auto_follows_the_environment() -> None:
    assert choose("microphone", "auto", ALL, {"PULSE_SOURCE": JABRA.name}) is JABRA
    assert choose("microphone", "auto", ALL, {"PULSE_SINK": JABRA.name}) is CAMERA
    assert "'gone'" in str(choose("microphone", "auto", ALL, {"PULSE_SOURCE": "gone"}))


def test_a_monitor_is_never_taken_for_a_microphone() -> None:
    default_monitor = Endpoint("speaker.monitor", "Monitor of speaker", 2, 48000, default=True)
    assert choose("microphone", "auto", [default_monitor], {}) == "the sound server offers no microphone: plug one in"
    assert "no microphone is named 'speaker'" in str(choose("microphone", "speaker", [default_monitor], {}))


def test_a_part_of_several_names_is_no_name() -> None:
    twins = [Endpoint(f"alsa_input.usb-Acme-0{n}.mono", "Acme", 1, 48000, aliases=("1234:5678",)) for n in (1, 2)]
    for device in ("acme", "1234:5678"):
        said = str(choose("microphone", device, [*twins, CAMERA], {}))
        assert said.startswith(f"{device!r} is a part of more than one microphone's name: write more of it")
        assert said.endswith(f"({twins[0].name}, {twins[1].name})")
    assert choose("microphone", "acme-02", [*twins, CAMERA], {}) is twins[1]
    longer = Endpoint("acme_two", "Jabra SPEAK 510 Mono with a cable", 1, 48000)
    assert choose("microphone", "Jabra speak 510 mono", [longer, JABRA], {}) is JABRA, "a whole name goes first"


def test_a_server_that_has_nothing_offers_nothing_under_a_name() -> None:
    nothing = Endpoint("auto_null", "Dummy Output", 2, 48000, default=True)
    assert choose("speaker", "auto", [nothing], {}) == "the sound server offers no speaker: plug one in"
    assert choose("speaker", "auto_null", [nothing], {}) is nothing, "in full: asked for"


def test_what_is_absent_is_named_with_what_there_is() -> None:
    said = choose("speaker", "Beamer", [CAMERA, JABRA], {})
    assert said == (
        "no speaker is named 'Beamer': plug it in, or name another in the configuration "
        f"(there is: {CAMERA.name}, {JABRA.name})"
    )


def test_both_forms_of_a_list_are_read_and_damage_is_left_out() -> None:
    listed = '[{"name":"mic","description":"A mic","sample_specification":"s16le 6ch 16000Hz"},{"index":3}]'
    assert parse_json(listed, "mic") == [Endpoint("mic", "A mic", 6, 16000, True)]
    assert parse_json("{broken", "mic") == []
    assert parse_json("", "mic") == []
    short = "0\tmic\tmodule-remap-source.c\ts16le 1ch 44100Hz\tRUNNING\nnonsense\n"
    assert parse_short(short, "") == [Endpoint("mic", "mic", 1, 44100)]


def test_where_a_process_is_connected() -> None:
    streams = '[{"source":4,"properties":{"application.process.id":"77"}},{"source":1,"properties":{}}]'
    assert parse_connected(streams, "1\tmic\tx\n4\tspeaker.monitor\tx\n", "source", 77) == ["speaker.monitor"]
    assert parse_connected(streams, "", "source", 77) == [""]
    assert parse_connected("", "", "source", 77) == []


def test_where_the_socket_may_be() -> None:
    assert sockets({"PULSE_SERVER": "{ab12}unix:/a/native tcp:host:4713 /b"}) == ["/a/native", "/b"]
    assert sockets({"PULSE_SERVER": "tcp:host"}) == []
    assert sockets({"XDG_RUNTIME_DIR": "/r", "PULSE_RUNTIME_PATH": "/p"})[:2] == ["/p/native", "/r/pulse/native"]


def test_cards_without_a_sound_server(tmp_path: Path) -> None:
    assert "no sound server and no card with capture" in str(devicefind._find_alsa("microphone", "auto", tmp_path))
    (tmp_path / "pcm").write_text("00-00: HDMI 0 : HDMI 0 : playback 1\n01-00: USB Audio : USB Audio : capture 1\n")
    found = devicefind._find_alsa("microphone", "usb", tmp_path)
    assert isinstance(found, devicefind.Found)
    assert isinstance(devicefind._find_alsa("speaker", "auto", tmp_path), devicefind.Found)
    with (tmp_path / "pcm").open("a") as file:
        file.write("01-01: USB Audio #1 : USB Audio #1 : capture 1\n")
    assert isinstance(devicefind._find_alsa("microphone", "usb", tmp_path), devicefind.Found), "one card"
    with (tmp_path / "pcm").open("a") as file:
        file.write("02-00: USB Mic : USB Mic : capture 1\n")
    assert "more than one microphone's name" in str(devicefind._find_alsa("microphone", "usb", tmp_path))
    assert "no speaker is named 'usb'" in str(devicefind._find_alsa("speaker", "usb", tmp_path))


def test_a_server_that_takes_nobody_any_more_is_frozen_and_not_absent(tmp_path: Path) -> None:
    path = tmp_path / "native"
    callers = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(str(path))
        with pytest.raises(soundserver.ServerSilent, match="restart it"):
            soundserver.connect({"PULSE_SERVER": f"unix:{path}"})
        for caller in callers:
            caller.close()


def test_pactl_that_fails_is_not_pactl_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pactl"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(soundserver.ServerSilent):
        soundserver.endpoints("microphone")
    program.unlink()
    assert soundserver.endpoints("microphone") is None


USB_MIC = Endpoint(
    "alsa_input.usb-x", "A mic", 1, 48000, aliases=("046d:0825", "USB Device 0x46d:0x825", "hw:1", "hw:U0x46d0x825")
)
PLAIN = Endpoint("alsa_input.pci", "Built-in", 2, 48000, default=True, aliases=("HDA Intel PCH", "hw:0", "hw:PCH"))
CANCELLED = Endpoint("alsa_input.pci.echo-cancel", "Built-in (echo cancelled with Built-in)", 1, 48000)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("046D:0825", USB_MIC),
        ("hw:1", USB_MIC),
        ("plughw:CARD=U0x46d0x825,0", USB_MIC),
        ("hw:PCH,0", PLAIN),
        ("hda intel pch", PLAIN),
        ("echo_cancel", CANCELLED),
    ],
)
def test_a_usb_id_a_card_and_the_servers_echo_canceller_are_names_too(device: str, expected: Endpoint) -> None:
    assert choose("microphone", device, [PLAIN, USB_MIC, CANCELLED], {}) is expected


def test_a_server_that_cancels_no_echo_says_how_it_would() -> None:
    assert "module-echo-cancel" in str(choose("microphone", "echo_cancel", [PLAIN], {}))
    pipewire = Endpoint("echo-cancel-source", "Echo-Cancel Source", 1, 48000)
    assert choose("microphone", "echo_cancel", [PLAIN, pipewire], {}) is pipewire


def test_what_a_server_says_of_a_card_and_what_the_kernel_knows_beside_it(tmp_path: Path) -> None:
    (tmp_path / "cards").write_text(
        " 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n                      HDA Intel PCH at 0xa1 irq 130\n"
        " 1 [Device         ]: USB-Audio - USB Audio Device\n                      C-Media at usb-1.3\n"
    )
    interface = tmp_path / "devices" / "1-3" / "1-3:1.0"
    interface.mkdir(parents=True)
    (interface.parent / "idVendor").write_text("0d8c\n")
    (interface.parent / "idProduct").write_text("0014\n")
    (tmp_path / "card1").mkdir()
    (tmp_path / "card1" / "device").symlink_to(interface)
    known = cards.cards(tmp_path, tmp_path)
    assert known == [cards.Card(0, "PCH", "HDA Intel PCH"), cards.Card(1, "Device", "USB Audio Device", "0d8c:0014")]
    assert "0d8c:0014" in cards.aliases_of({"alsa.card": "1"}, known)
    assert cards.aliases_of({"device.vendor.id": "0x46d", "device.product.id": "0x0825"}, known) == ("046d:0825",)
    (tmp_path / "pcm").write_text(
        "00-00: ALC : ALC : playback 1 : capture 1\n01-00: USB Audio : USB Audio : playback 1 : capture 1\n"
    )
    found = devicefind._find_alsa("speaker", "0d8c:0014", tmp_path, tmp_path)
    assert isinstance(found, devicefind.Found)
    assert found.pcm == "(hw:1,"


def test_a_pcm_named_in_asoundrc_is_a_device(tmp_path: Path) -> None:
    (tmp_path / ".asoundrc").write_text("pcm.kioskmic {\n type pulse\n}\npcm.!default pulse\n")
    assert cards.named_pcms({"HOME": str(tmp_path)}) >= {"kioskmic"}
    assert "default" not in cards.named_pcms({"HOME": str(tmp_path)})


def test_a_stream_that_is_not_led_anywhere_yet_was_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deviceguard.shutil, "which", lambda _: None)
    watch = deviceguard.MoveWatch("speaker", "speaker")
    monkeypatch.setattr(watch, "NOWHERE_S", 0.0)
    answers = [[""], ["speaker"], [""], ["beamer"]]
    monkeypatch.setattr(deviceguard.soundserver, "connected", lambda *_: answers.pop(0))
    watch._check()
    assert watch.moved == ""
    watch._check()
    assert watch.moved == "the sound server moved the speaker from speaker to beamer"
