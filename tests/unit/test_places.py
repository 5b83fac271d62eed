"""Run and state directories: where they are, whose they are, and who holds them."""

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline import places
from pipeline.places import AlreadyRunning, PlaceError, RunLock

pytestmark = pytest.mark.unit


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the system that is this test's alone."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class TestWhere:
    def test_the_variables_in_their_order(self, tmp_path: Path, temporary: Path) -> None:
        everything = {
            "PIPELINE_RUN_DIR": "/a",
            "RUNTIME_DIRECTORY": "/b:/c",
            "XDG_RUNTIME_DIR": str(tmp_path),
        }
        assert places.run_directory("kiosk", everything) == Path("/a")
        del everything["PIPELINE_RUN_DIR"]
        assert places.run_directory("kiosk", everything) == Path("/b")
        del everything["RUNTIME_DIRECTORY"]
        assert places.run_directory("kiosk", everything) == tmp_path / "voice-pipeline" / "kiosk"
        assert places.run_directory("kiosk", {}) == temporary / f"voice-pipeline-{os.geteuid()}" / "kiosk"

    @pytest.mark.parametrize("given", ["/nowhere", "relative", ""])
    def test_a_runtime_directory_that_is_not_ours_is_passed_over(self, given: str, temporary: Path) -> None:
        assert temporary in places.run_directory("kiosk", {"XDG_RUNTIME_DIR": given}).parents

    def test_state(self, tmp_path: Path) -> None:
        environ = {"STATE_DIRECTORY": "/s:/t", "XDG_STATE_HOME": "/x", "HOME": "/h"}
        assert places.state_directories("kiosk", environ) == [Path("/s")]
        del environ["STATE_DIRECTORY"]
        assert places.state_directories("kiosk", environ) == [
            Path("/x/voice-pipeline/kiosk"),
            Path("/h/.local/state/voice-pipeline/kiosk"),
        ]

    def test_no_endpoint_is_longer_than_a_socket_path(self) -> None:
        run = Path("/" + "r" * 96)
        assert places.bus_endpoint(run, "abcde") == f"ipc://{run}/abcde.bus"
        with pytest.raises(PlaceError, match=r"108 bytes.*107.*PIPELINE_RUN_DIR"):
            places.bus_endpoint(run, "abcdef")
        with pytest.raises(PlaceError, match="PIPELINE_RUN_DIR"):
            places.bus_endpoint(Path("/" + "ü" * 52), "abcdef")  # bytes, not characters


class TestMaking:
    def test_run_is_private_with_the_folder_above_it(self, temporary: Path) -> None:
        run = places.run_directory("kiosk", {})
        places.make_run(run)
        places.make_run(run)
        assert mode(run) == mode(run.parent) == 0o700

    def test_what_systemd_made_readable_is_closed(self, tmp_path: Path) -> None:
        (run := tmp_path / "run").mkdir(mode=0o755)
        places.make_run(run)
        assert mode(run) == 0o700

    def test_a_folder_that_holds_other_things_is_left_as_it_is(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        (tmp_path / "holiday.jpg").touch()
        with pytest.raises(PlaceError, match="not ours alone"):
            places.make_run(tmp_path)
        assert mode(tmp_path) == 0o755

    def test_a_folder_in_which_others_may_write_is_refused(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o1777)
        with pytest.raises(PlaceError, match="open to others"):
            places.make_run(tmp_path)

    def test_a_link_in_place_of_the_folder_is_refused(self, temporary: Path, tmp_path: Path) -> None:
        (victim := tmp_path / "victim").mkdir(mode=0o755)
        (temporary / f"voice-pipeline-{os.geteuid()}").symlink_to(victim)
        with pytest.raises(PlaceError, match="PIPELINE_RUN_DIR"):
            places.make_run(places.run_directory("kiosk", {}))
        assert mode(victim) == 0o755

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
    def test_a_folder_of_somebody_else_is_refused_by_name(self, temporary: Path) -> None:
        base = temporary / f"voice-pipeline-{os.geteuid()}"
        base.mkdir(mode=0o700)
        os.chown(base, 1, 1)
        with pytest.raises(PlaceError, match="belongs to"):
            places.make_run(base / "kiosk")

    def test_a_file_in_place_of_the_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "run").touch()
        with pytest.raises(PlaceError, match=r"run.*PIPELINE_RUN_DIR"):
            places.make_run(tmp_path / "run")

    def test_state_outlives_a_reboot_where_it_can(self, tmp_path: Path) -> None:
        state = places.make_state("kiosk", tmp_path, {"HOME": str(tmp_path / "home")})
        assert state == places.State(tmp_path / "home/.local/state/voice-pipeline/kiosk")
        assert mode(state.path) == 0o700

    @pytest.mark.parametrize("environ", [{"HOME": "/dev/null"}, {"STATE_DIRECTORY": "/proc/nothing"}])
    def test_state_without_a_home_says_so(self, tmp_path: Path, environ: dict[str, str]) -> None:
        state = places.make_state("kiosk", tmp_path, environ)
        assert state.path == tmp_path / "state"
        assert next(iter(environ.values())) in state.degraded
        assert "STATE_DIRECTORY" in state.degraded

    def test_state_without_account(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
        assert places.state_directories("kiosk", {}) == []

    def test_the_connection_file_is_private_and_whole(self, tmp_path: Path) -> None:
        places.write_connection(tmp_path, {"name": "kiosk"})
        places.write_connection(tmp_path, {"name": "kiosk", "v": 1})
        assert json.loads(places.connection_file(tmp_path).read_text()) == {"name": "kiosk", "v": 1}
        assert mode(places.connection_file(tmp_path)) == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["bus.json"]

    def test_a_connection_file_that_cannot_be_written_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "bus.json").mkdir()
        with pytest.raises(OSError):
            places.write_connection(tmp_path, {})
        assert [path.name for path in tmp_path.iterdir()] == ["bus.json"]


class TestLock:
    def test_the_second_is_refused_and_told_the_first(self, tmp_path: Path) -> None:
        with RunLock(tmp_path), pytest.raises(AlreadyRunning, match=f"process {os.getpid()}") as caught:
            RunLock(tmp_path)
        assert caught.value.pid == os.getpid()
        RunLock(tmp_path).release()

    def test_it_outlives_no_process(self, tmp_path: Path) -> None:
        code = "import sys, os, pathlib, pipeline.places as p; p.RunLock(pathlib.Path(sys.argv[1])); os._exit(1)"
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2], check=False)
        assert (tmp_path / "lock").read_text().strip().isdigit()
        assert places.holder(tmp_path) is None
        RunLock(tmp_path).release()

    def test_a_full_disk_keeps_nobody_from_talking(self, tmp_path: Path) -> None:
        code = (
            "import pathlib, resource, sys; from pipeline import places\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
            "lock = places.RunLock(pathlib.Path(sys.argv[1])); sys.exit(places.holder(pathlib.Path(sys.argv[1])) != 0)"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2], check=True)

    def test_children_do_not_keep_it(self, tmp_path: Path) -> None:
        lock = RunLock(tmp_path)
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
        try:
            lock.release()
            assert places.holder(tmp_path) is None
        finally:
            child.kill()
            child.wait()

    def test_looking_does_not_keep_anybody_out(self, tmp_path: Path) -> None:
        RunLock(tmp_path).release()
        code = (
            "import sys, pathlib; from pipeline import places; print(flush=True)\n"
            "while True: places.holder(pathlib.Path(sys.argv[1]))"
        )
        looker = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE
        )
        try:
            assert looker.stdout is not None
            looker.stdout.readline()
            for _ in range(50):
                RunLock(tmp_path).release()
        finally:
            looker.kill()
            looker.communicate()

    def test_a_lock_that_cannot_be_written(self, tmp_path: Path) -> None:
        with pytest.raises(PlaceError, match="lock"):
            RunLock(tmp_path / "absent")


class TestFinding:
    def test_what_runs_is_found_wherever_it_was_started(self, tmp_path: Path, temporary: Path) -> None:
        environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
        runs = {}
        for name, started_with in {"kiosk": environ, "demo": {}}.items():
            runs[name] = places.run_directory(name, started_with)
            places.make_run(runs[name])
            places.write_connection(runs[name], {"name": name})
        (runs["kiosk"].parent / "dead").mkdir()
        with RunLock(runs["kiosk"]), RunLock(runs["demo"]):
            # below the real /tmp others may run
            found = {run.name: run for run in places.find_runs(environ) if tmp_path in run.run_dir.parents}
            assert set(found) == {"kiosk", "demo"}
            assert found["kiosk"] == places.FoundRun("kiosk", runs["kiosk"], os.getpid())
        assert not [run for run in places.find_runs(environ) if tmp_path in run.run_dir.parents]

    def test_the_one_that_the_environment_names(self, tmp_path: Path) -> None:
        with RunLock(tmp_path):
            (found,) = places.find_runs({"PIPELINE_RUN_DIR": str(tmp_path)})
        assert (found.name, found.run_dir) == (tmp_path.name, tmp_path)
        assert places.find_runs({"PIPELINE_RUN_DIR": str(tmp_path)}) == []

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"name": 3}', "\x00"])
    def test_a_damaged_connection_file_costs_the_name_only(self, tmp_path: Path, content: str) -> None:
        with RunLock(tmp_path):
            places.connection_file(tmp_path).write_text(content)
            (found,) = places.find_runs({"PIPELINE_RUN_DIR": str(tmp_path)})
        assert found.name == tmp_path.name
