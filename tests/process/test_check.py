"""`check` as people call it: real stage modules, imported in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import ConfigErrors, load
from pipeline.config.descriptions import Description, Unusable, describe_stages
from pipeline.config.rehearsal import rehearse

pytestmark = pytest.mark.process
CODE = Path(__file__).resolve().parents[2]
STAGES = '''\
from pipeline import Stage
print("noise on stdout")

class Microphone(Stage):
    emits = ("mic",)

class Front(Stage):
    """Hears and speaks."""
    reads = ("mic", "played"); emits = ("voice",)
    level: float = 0.5
'''
GAIN = '''\
"""Make quiet microphones louder."""
import numpy as np
from pipeline import Audio, Stage, main

class Gain(Stage):
    """Louder."""
    db: float = 6.0                       # `db: 9` in the YAML lands here, checked

    def on_audio(self, audio: Audio) -> None:
        louder = audio.samples * 10 ** (self.db / 20)
        self.emit("voice", audio.replace(samples=np.clip(louder, -32768, 32767)))

if __name__ == "__main__":
    main(Gain)
'''
KIOSK = """\
stages:
  capture: {use: "parts:Microphone"}
  frontend: {use: "parts:Front"}
  gain:
    use: gain
    db: 9
"""
Check = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """`check kiosk.yaml` with these arguments, in a folder with two modules of stages."""
    (tmp_path / "parts.py").write_text(STAGES)
    (tmp_path / "gain.py").write_text(GAIN)
    (tmp_path / "kiosk.yaml").write_text(KIOSK)

    def run(*args: str, config: str = "kiosk.yaml", **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "pipeline", "check", config, *args],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CODE), **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 78
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_a_machine_of_ones_own(check: Check) -> None:
    done = check()
    assert done.returncode == 0
    assert all(line.startswith("warning: stages.frontend: ") for line in done.stderr.splitlines())
    assert done.stdout == "kiosk.yaml: ok: kiosk: capture, frontend, gain\n"


def test_resolved(check: Check) -> None:
    lines = check("--resolved", "--set", "stages.frontend.level=1").stdout.splitlines()
    found = {" ".join(line.split()) for line in lines}
    assert {
        "use: gain:Gain # kiosk.yaml:5",
        "db: 9 # kiosk.yaml:6",
        "voice: frontend/voice # wired",
        "level: 1 # --set",
        "required: true # default",
    } <= found


def test_what_ships_is_right() -> None:
    environ = {"PATH": os.environ["PATH"]}
    demo = load("demo", (), environ)
    assert [table.name for table in demo.stages] == [
        "simulator", "capture", "frontend", "session", "playback", "screen",
    ]  # fmt: skip
    assert demo.stage("capture").use == "pipeline.stages.wav_source:WavSource"
    for name in demo.stage("capture").options["files"]:
        assert (demo.config_dir / name).is_file()
    kiosk = load("kiosk.yaml", (), {**environ, "GOOGLE_API_KEY": "k"})
    assert [table.name for table in kiosk.stages] == ["capture", "frontend", "session", "playback"]


def test_each_line_of_the_kiosk_shows_its_default() -> None:
    kiosk = load("kiosk", (), {"PATH": os.environ["PATH"]})
    described = describe_stages({table.name: None for table in kiosk.stages}, kiosk.config_dir, os.environ)
    for table in kiosk.stages:
        found = described[table.name]
        assert isinstance(found, Description)
        defaults = {option.name: option.default for option in found.options}
        for key, value in table.options.items():
            if key in {"service", "instruction", "greeting", "live"}:
                continue
            if isinstance(value, dict):
                assert value.items() <= defaults[key].items()
            else:
                assert value == defaults[key]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import no_such_thing", "an import inside it failed at {file}:1: ModuleNotFoundError: No module named"),
        ("import gain.inner", "an import inside it failed at {file}:1"),
        ("from gain import nothing", "importing bad failed at {file}:1: ImportError: cannot import name 'nothing'"),
        ("\n1/0", "importing bad failed at {file}:2: ZeroDivisionError: division by zero"),
        ("def x(:", "importing bad failed at {file}:1: SyntaxError"),
        ("raise SystemExit(0)", "importing bad failed at {file}:1: SystemExit: 0"),
        ("import os; os._exit(0)", "importing its module ended the process with 0"),
        ("import os; os.abort()", "importing its module ended the process by SIGABRT"),
        ("x = 1", "bad ({file}) defines no stage; write class NAME(Stage) in it"),
        ("from pipeline import Stage\nclass A(Stage): ...\nclass B(Stage): ...", "bad:A, bad:B"),
        ("from pipeline import Stage\nclass A(Stage):\n  x: bytes = b''", "option 'x': bytes is no type for an option"),
        ("from pipeline import Stage\nclass A(Stage):\n  env: str = ''", "option 'env': this word is reserved"),
        ("from pipeline import Stage\nclass A(Stage):\n  emits = 'voice'", "`emits` is 'voice'; write emits = ("),
    ],
)  # fmt: skip
def test_a_module_that_is_no_stage(check: Check, tmp_path: Path, module: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(module + "\n")
    line = refusal(check("--set", "stages.bad.use=bad"))
    assert line.startswith("--set: stages.bad.use: ")
    assert message.format(file=tmp_path / "bad.py") in line


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("gan", "there is no module gan (looked in {folder} and Python's path); did you mean 'gain'?"),
        ("gain:Gian", "gain ({folder}/gain.py) has no class Gian; did you mean 'gain:Gain'?"),
        ("gain:np", "np in gain ({folder}/gain.py) is no stage"),
        ("gain:Stage", "Stage in gain ({folder}/gain.py) is no stage"),
        ("no.such", "there is no module no.such"),
        ("pipeline.stages.captur", "there is no module pipeline.stages.captur"),
        (".x", "got '.x'; expected module:Class"),
        ("a..b", "got 'a..b'; expected module:Class"),
        ("parts", "defines several stages; choose one by `use`: parts:Microphone, parts:Front"),
    ],
)
def test_a_use_that_leads_nowhere(check: Check, tmp_path: Path, use: str, message: str) -> None:
    line = refusal(check("--set", f"stages.bad.use={use}"))
    assert message.format(folder=tmp_path) in line


def test_a_stage_without_use_that_does_not_ship(check: Check, tmp_path: Path) -> None:
    line = refusal(check("--set", "stages.captur={}"))
    assert "stages.captur: there is no stage pipeline.stages.captur; did you mean 'capture'?" in line
    (tmp_path / "horn.py").write_text(GAIN)
    assert "for horn.py write `use: horn`" in refusal(check("--set", "stages.horn={}"))


def test_several_broken_modules_are_all_named(check: Check, tmp_path: Path) -> None:
    for name, text in {"one": "import os; os._exit(1)", "two": "import os; os._exit(2)", "three": "1/0"}.items():
        (tmp_path / f"{name}.py").write_text(text)
    sets = [word for name in ("one", "two", "three") for word in ("--set", f"stages.{name}.use={name}")]
    done = check(*sets, "--set", "stages.gain.dB=3")
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        "stages.gain.dB", "stages.one.use", "stages.two.use", "stages.three.use",
    ]  # fmt: skip


def test_a_module_that_hangs_costs_its_own_stage_only(tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text("import time, subprocess; subprocess.Popen(['sleep', '61']); time.sleep(60)\n")
    (tmp_path / "gain.py").write_text(GAIN)
    began = time.monotonic()
    found = describe_stages({"a": "gain", "b": "hangs", "c": "gain"}, tmp_path, os.environ, timeout_s=3)
    assert time.monotonic() - began < 20
    assert found["b"] == Unusable(
        "importing its module took more than 3 s", remedy="move work from the top of the module into `prime` or `start`"
    )
    assert isinstance(found["a"], Description)
    assert isinstance(found["c"], Description)


def test_what_a_class_says_of_itself(tmp_path: Path) -> None:
    (tmp_path / "gain.py").write_text(GAIN)
    (tmp_path / "more.py").write_text(
        "import gain\nclass Louder(gain.Gain):\n    twice: bool = True\n"
        "    def step(self):\n        self.emit('extra', None)\n"
        "class Quiet(gain.Gain):\n    emits = ('voice', 'voice')\n    reads = ()\n"
    )
    uses = {"a": "gain", "b": "more:Louder", "c": "more:Quiet", "d": "screen"}
    found = describe_stages(uses, tmp_path, os.environ)
    a, b, c, d = (description for description in found.values() if isinstance(description, Description))
    assert (a.use, a.reads, a.emits) == ("gain:Gain", None, ("voice",))
    assert ([option.name for option in b.options], b.reads, b.emits) == (["db", "twice"], None, ("extra", "voice"))
    assert (c.reads, c.emits) == ((), ("voice",))
    assert (d.use, d.reads, d.emits) == ("pipeline.stages.screen:Screen", (), ())


def test_neither_checking_nor_loading_imports_a_stage(check: Check) -> None:
    check()
    code = (
        "import sys, pipeline.config as config; config.load('demo', (), {'PATH': ''})\n"
        "heavy = {'numpy', 'pyaudio', 'google', 'zmq', 'pipeline.stage', 'pipeline.stages'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CODE, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_text_of_a_secret_stays_out_of_everything(check: Check) -> None:
    done = check("--resolved", "--set", "stages.gain.db=${A_TOKEN}", A_TOKEN="sesame-open-42")
    assert done.returncode == 78
    assert "sesame" not in done.stdout + done.stderr


PICKY = """\
from pipeline import Stage
from pipeline.config.options import OptionError

class Picky(Stage):
    files: list[str] = []
    password: str = ""
    what: str = ""

    def prime(self):
        if self.what == "many":
            raise OptionError("files: the first\\nthe second")
        exec(self.what)
        for name in self.files:
            if not (self.config_dir / name).exists():
                raise OptionError(f"files: {name} is not there {self.password}")
"""


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ("files: [kiosk.yaml]", []),
        ("files: [nix]", ["kiosk.yaml:2: stages.x.files: nix is not there"]),
        ("what: many", ["kiosk.yaml:2: stages.x: files: the first", "kiosk.yaml:2: stages.x: the second"]),
        ("files: [nix], password: sesame-open-42", ["kiosk.yaml:2: stages.x.files: nix is not there ***"]),
        ("what: import nix", ["kiosk.yaml:2: stages.x: prime failed: ModuleNotFoundError: No module named 'nix'"]),
        ("what: 1/0", []),
        ("what: 'from pipeline.stage.life import WorldError; raise WorldError'", []),
        ("what: import os; os.abort()", ["kiosk.yaml:2: stages.x: priming it ended the process by SIGABRT"]),
        ("what: '(self.state_dir / self.name).touch()'", []),
    ],
)
def test_what_a_stage_refuses_when_it_is_primed(check: Check, tmp_path: Path, options: str, lines: list[str]) -> None:
    (tmp_path / "picky.py").write_text(PICKY)
    (tmp_path / "kiosk.yaml").write_text(f"stages:\n  x: {{use: picky, {options}}}\n")
    done = check()
    assert done.returncode == (78 if lines else 0)
    assert len(done.stderr.splitlines()) == len(lines)
    for line, expected in zip(done.stderr.splitlines(), lines, strict=True):
        assert line.startswith(expected)
    assert sorted(path.name for path in tmp_path.glob("*") if path.suffix != ".py") == ["__pycache__", "kiosk.yaml"]


def test_what_the_shipped_stages_refuse_has_its_line() -> None:
    sets = ["stages.session.live.temperatur=1", "stages.frontend.vad.use=sillero", "stages.capture.files=[nix.wav]"]
    environ = {"PATH": os.environ["PATH"]}
    rehearse(load("demo", (), environ), environ)
    with pytest.raises(ConfigErrors) as caught:
        rehearse(load("demo", sets, environ), environ)
    lines = [str(error) for error in caught.value.errors]
    assert len(lines) == 3
    assert lines[0].startswith("--set: stages.capture.files: ")
    assert lines[1].startswith("--set: stages.frontend.vad.use: ")
    assert "stages.session.live.temperatur: " in lines[2]


def test_without_a_home_or_a_writable_disk(check: Check) -> None:
    assert check(HOME="/nonexistent", TMPDIR="/nonexistent").returncode == 0


def test_a_config_that_is_not_there() -> None:
    with pytest.raises(ConfigErrors, match=r"did you mean 'kiosk\.yaml'"):
        load("kiosk.yml")


def test_a_key_of_a_nested_table_is_blamed_where_it_is_written(check: Check, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: demo.yaml\nstages:\n  session:\n    live: {temprature: 1}\n")
    line = refusal(check(config="mine.yaml"))
    assert line.startswith("mine.yaml:4: stages.session.live.temprature: unknown field")
