"""Keys in files, whom the doorkeeper lets in, and which tcp endpoints may stand open."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from zmq.utils import z85

from pipeline.bus import curve, zap
from pipeline.bus.libzmq import new_pair
from pipeline.cli import run_command

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def nobody_afterwards() -> Iterator[None]:
    yield
    curve.be(None)


class TestFiles:
    def test_a_pair_is_read_as_it_was_written_and_its_secret_is_its_owners(self, tmp_path: Path) -> None:
        pair = new_pair()
        curve.make_pair(tmp_path / "keys", "hall", pair)
        secret = tmp_path / "keys" / "hall.key_secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert curve.read_pair(secret) == pair
        assert curve.read_public(tmp_path / "keys", "hall") == pair.public
        assert pair.secret not in (tmp_path / "keys" / "hall.key").read_text()
        assert pair.secret not in repr(pair)

    def test_other_zeromq_programs_read_them(self, tmp_path: Path) -> None:
        from zmq.auth import load_certificate

        pair = new_pair()
        curve.make_pair(tmp_path, "hall", pair)
        assert load_certificate(tmp_path / "hall.key_secret") == (pair.public.encode(), pair.secret.encode())

    def test_a_pair_is_never_replaced(self, tmp_path: Path) -> None:
        curve.make_pair(tmp_path, "hall", new_pair())
        with pytest.raises(curve.Unfit, match="is there already"):
            curve.make_pair(tmp_path, "hall", new_pair())

    def test_what_is_wrong_is_said_with_the_remedy(self, tmp_path: Path) -> None:
        with pytest.raises(curve.Unfit, match="names no machine"):
            curve.make_pair(tmp_path, "../hall", new_pair())
        with pytest.raises(curve.Unfit, match="keys new hall"):
            curve.read_pair(tmp_path / "hall.key_secret")
        curve.make_pair(tmp_path, "hall", new_pair())
        (tmp_path / "hall.key_secret").chmod(0o640)
        with pytest.raises(curve.Unfit, match="chmod 600"):
            curve.read_pair(tmp_path / "hall.key_secret")
        (tmp_path / "hall.key").write_text("curve\n  public-key = short\n")
        with pytest.raises(curve.Unfit, match="40 characters"):
            curve.read_public(tmp_path, "hall")


class TestDoorkeeper:
    def request(self, key: str, domain: str = "bus", mechanism: str = "CURVE") -> list[bytes]:
        return [b"1.0", b"7", domain.encode(), b"10.0.0.9", b"", mechanism.encode(), z85.decode(key)]

    def test_who_is_on_the_list_of_a_domain_enters_there_by_name(self) -> None:
        hall, office = new_pair(), new_pair()
        keeper = zap.Keeper()
        keeper.allow("bus", {"hall": hall.public, "office": office.public})
        keeper.allow("control", {"hall": hall.public})
        assert keeper.answer(self.request(hall.public)) == [b"1.0", b"7", b"200", b"OK", b"hall", b""]
        assert keeper.answer(self.request(office.public))[2:5] == [b"200", b"OK", b"office"]
        assert keeper.answer(self.request(hall.public, "control"))[2] == b"200"
        assert keeper.answer(self.request(office.public, "control"))[2] == b"400"

    def test_everybody_else_stays_outside(self) -> None:
        hall = new_pair()
        keeper = zap.Keeper()
        keeper.allow("bus", {"hall": hall.public})
        for refused in (
            self.request(new_pair().public),
            self.request(hall.public, "elsewhere"),
            self.request(hall.public, mechanism="PLAIN"),
            [b"1.0", b"7", b"bus", b"10.0.0.9", b"", b"NULL"],
            [],
        ):
            assert keeper.answer(refused)[2] == b"400"
            assert b"hall" not in b"".join(keeper.answer(refused))


class TestEndpoints:
    def test_without_keys_only_the_loopback_may_stand_open(self) -> None:
        for endpoint in ("ipc:///run/x.bus", "tcp://127.0.0.1:7000", "tcp://[::1]:7000"):
            assert curve.server_at(endpoint) is None
            assert curve.client_of(endpoint) is None
        for endpoint in ("tcp://0.0.0.0:7000", "tcp://10.0.0.1:7000", "tcp://kiosk:7000", "tcp://[::]:7000"):
            with pytest.raises(curve.Unfit, match="would stand open"):
                curve.server_at(endpoint)
            with pytest.raises(curve.Unfit, match="would stand open"):
                curve.client_of(endpoint)

    def test_with_keys_every_tcp_endpoint_is_guarded(self) -> None:
        booth, hall = new_pair(), new_pair()
        curve.be(curve.Identity(booth, {"tcp://10.0.0.7:7001": hall.public}, {}))
        assert curve.server_at("ipc:///run/x.bus") is None
        assert curve.server_at("tcp://127.0.0.1:7000") is not None
        assert curve.client_of("tcp://10.0.0.7:7001") == (booth, hall.public)
        with pytest.raises(curve.Unfit, match="not known whose key"):
            curve.client_of("tcp://127.0.0.1:7000")


class TestCommand:
    def test_it_makes_and_shows_pairs_and_never_the_secret(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = str(tmp_path / "keys")
        assert run_command(["keys", "new", "hall", "--in", folder]) == 0
        pair = curve.read_pair(tmp_path / "keys" / "hall.key_secret")
        assert run_command(["keys", "new", "hall", "--in", folder]) == 78
        (tmp_path / "keys" / "office.key").write_text((tmp_path / "keys" / "hall.key").read_text())
        assert run_command(["keys", "show", "--in", folder]) == 0
        said = capsys.readouterr()
        assert f"hall  {pair.public}  of this machine\n" in said.out
        assert f"office  {pair.public}  of another machine\n" in said.out
        assert "is there already" in said.err
        assert pair.secret not in said.out + said.err
