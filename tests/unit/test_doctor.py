"""What the doctor says of networks, clocks and places that are wrong. Everything on this machine's own loopback."""

from __future__ import annotations

import argparse
import datetime
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline import proxies
from pipeline.cli import doctor
from pipeline.doctor import network, places, running
from pipeline.doctor.findings import Finding, worst
from pipeline.proxies import Proxy

pytestmark = pytest.mark.unit

DEAD_PROXY = Proxy("HTTPS_PROXY", "http://127.0.0.1:1")


@contextmanager
def serving(answer: int, headers: dict[str, str] | None = None, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """An HTTP server that answers everything alike; gives its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(answer)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def certificate(folder: Path, *, days: float) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that ends in so many days, and the server's side of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    import ipaddress

    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    return cert_file, context


def test_a_portal_is_told_from_the_internet() -> None:
    with serving(204) as port:
        assert network.captive(f"http://127.0.0.1:{port}/generate_204").grade == "ok"
    with serving(302, {"Location": "http://login.hotel/"}) as port:
        found = network.captive(f"http://127.0.0.1:{port}/generate_204")
    assert (found.grade, "http://login.hotel/" in found.words) == ("bad", True)
    with serving(200) as port:
        assert network.captive(f"http://127.0.0.1:{port}/").grade == "bad"
    assert network.captive("http://127.0.0.1:1/").grade == "warning", "no answer is no portal"


def test_a_good_certificate_and_the_clock_of_its_server(tmp_path: Path) -> None:
    cert, context = certificate(tmp_path, days=30)
    with serving(404, {"Date": formatdate(time.time() - 7200)}, context) as port:
        found, date = network.encrypted("127.0.0.1", port, "", str(cert))
    assert found.grade == "ok"
    told = network.clock(date, time.time())
    assert told.grade == "bad"
    assert "ahead of" in told.words
    assert network.clock(formatdate(time.time()), time.time()).grade == "ok"
    assert network.clock("soon", time.time()).grade == "skipped"


@pytest.mark.parametrize(
    ("days", "trusted", "remedy"), [(-1, True, "set the clock"), (30, False, "opens this traffic")]
)
def test_a_bad_certificate_has_its_own_remedy(days: float, trusted: bool, remedy: str, tmp_path: Path) -> None:
    cert, context = certificate(tmp_path, days=days)
    with serving(404, context=context) as port:
        found, _ = network.encrypted("127.0.0.1", port, "", str(cert) if trusted else None)
    assert found.grade == "bad"
    assert remedy in found.remedy


def test_a_proxy_is_found_bypassed_and_tried() -> None:
    environ = {"https_proxy": "http://10.0.0.1:3128", "NO_PROXY": "example.com"}
    assert proxies.on_the_way("service.net", environ) == Proxy("https_proxy", "http://10.0.0.1:3128")
    assert proxies.on_the_way("example.com", environ) is None
    (found,) = network.reached(DEAD_PROXY)
    assert (found.grade, found.remedy) == ("bad", "correct or unset HTTPS_PROXY")
    assert found.words.startswith("the proxy 127.0.0.1:1 (HTTPS_PROXY): ")
    found, _ = network.encrypted("service.net", 443, DEAD_PROXY, None)
    assert "service.net:443 through the proxy 127.0.0.1:1 (HTTPS_PROXY)" in found.words


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_read_is_named_by_its_variable_and_never_shown(variable: str) -> None:
    (found,) = network.check("https://service.net", {variable: "rubbish:secret::/"})
    assert (found.grade, found.remedy) == ("bad", f"correct or unset {variable}: http://HOST:PORT")
    assert variable in found.words
    assert "secret" not in str(found)
    assert proxies.unfit({variable: "somewhere.net:3128"}) is None


def test_a_name_that_nobody_knows() -> None:
    assert network.dns("no-such-host.invalid").grade == "bad"
    assert network.dns("no-such-host.invalid", proxy=DEAD_PROXY).grade == "ok", "the proxy resolves it"


def test_nothing_listens(tmp_path: Path) -> None:
    found, _ = network.encrypted("127.0.0.1", 1, None, None)
    assert (found.grade, "127.0.0.1:1" in found.words) == ("bad", True)
    found, _ = network.encrypted("127.0.0.1", 1, None, str(tmp_path / "none.pem"))
    assert "SSL_CERT_FILE" in found.words


def test_places_are_tried_and_left_as_they_were(tmp_path: Path) -> None:
    environ = {"PIPELINE_RUN_DIR": str(tmp_path / "run"), "STATE_DIRECTORY": str(tmp_path / "state" / "deep")}
    assert [found.grade for found in places.check("kiosk", environ)] == ["ok", "ok"]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    found = places.check("kiosk", {**environ, "STATE_DIRECTORY": "/proc/kiosk"})[1]
    assert found.grade == "bad"
    assert "/proc/kiosk" in found.remedy


def test_the_worst_counts() -> None:
    ok, bad = Finding("a", "ok", ""), Finding("b", "bad", "")
    assert [worst(found) for found in ([ok], [ok, bad], [Finding("c", "warning", ""), ok])] == ["ok", "bad", "warning"]


def test_only_what_the_configuration_uses_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "booth.yaml").write_text("extends: demo.yaml\nstages: {session: {service: gemini, key_file: key}}\n")
    asked = argparse.Namespace(config=str(tmp_path / "booth.yaml"), offline=True, loud=False, run=tmp_path, name=None)
    found = {one.what: one for one in doctor.examine(asked)}
    assert (found["microphone"].grade, found["speaker"].grade) == ("skipped", "skipped")
    assert "sound server" not in found
    assert (found["key"].grade, str(tmp_path / "key") in found["key"].words) == ("bad", True)
    (tmp_path / "key").write_text("k")
    assert {one.what: one for one in doctor.examine(asked)}["key"].grade == "ok"


def test_a_running_machine_that_lacks_its_microphone_is_not_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LISTEN_S", 0.05)
    gone = {
        "code": "microphone_gone",
        "words": "microphone gone: no microphone is called 'Jabra'",
        "remedy": "see its plug",
    }
    stages = {"capture": {"state": "degraded", "reason": "no microphone is called 'Jabra'"}}
    found = running.check(tmp_path, {"verdict": gone, "stages": stages})
    assert [(one.what, one.grade) for one in found][:2] == [("verdict", "bad"), ("capture", "bad")]
    assert (found[0].words, found[0].remedy) == (gone["words"], gone["remedy"])
    assert worst(found) == "bad"
    stands_in = {"code": "simulator", "words": "simulator instead of service", "remedy": "set GOOGLE_API_KEY"}
    session = {"session": {"state": "degraded", "reason": "THE SIMULATOR ANSWERS"}}
    assert worst(running.check(tmp_path, {"verdict": stands_in, "stages": session})) == "warning"
