"""Keys, tokens and Google Cloud: found where the options say, fresh for each connection, and written nowhere."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.service import choose
from pipeline.live import access as where
from pipeline.live import gemini
from pipeline.live.access import TOKEN_LIVES_S, Access, Credentials, fit, hidden, unfit
from pipeline.live.failures import Failure, LineFailed
from pipeline.live.service import Service, Target

pytestmark = pytest.mark.unit

SECRET = "AIzaSy-this-is-a-secret"
VERTEX = Access(project="p", location="l")


def give(access: Access, *, service: Service = "gemini", folder: Path = Path(), **environ: str) -> Target:
    return asyncio.run(Credentials(service, access, environ, folder, folder, lambda: 0.0).target(resuming=False))


def refused(access: Access, folder: Path) -> str:
    with pytest.raises(LineFailed) as caught:
        give(access, folder=folder)
    failure = caught.value.failure
    assert (failure.kind, failure.fatal) == ("key", False)
    assert SECRET not in f"{caught.value!r} {failure!r}"
    return str(failure)


def program(folder: Path, text: str) -> str:
    path = folder / "mint"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_environment_gives_a_key_and_nothing_shows_it() -> None:
    target = give(Access(), GEMINI_API_KEY=f" {SECRET}\n")
    assert (target.key, target.key_from, target.api_version) == (SECRET, "GEMINI_API_KEY", "")
    assert SECRET not in repr(target)


def test_a_file_gives_it_anew_for_each_connection(tmp_path: Path) -> None:
    access = Access(key_file=Path("key"))
    assert "key_file" in refused(access, tmp_path)
    (tmp_path / "key").write_text(SECRET + "\n")
    assert give(access, folder=tmp_path).key == SECRET
    (tmp_path / "key").write_text("another")
    assert give(access, folder=tmp_path, GOOGLE_API_KEY="not-this").key == "another"


@pytest.mark.parametrize("text", ["", " \n", f"{SECRET}\nmore", f"GOOGLE_API_KEY {SECRET}", SECRET + "é", "k" * 9_000])
def test_what_can_be_no_key_is_not_tried_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    assert str(tmp_path / "key") not in refused(Access(key_file=Path("key")), tmp_path) or text.strip() == ""
    assert SECRET not in refused(Access(token_file=Path("key")), tmp_path)


def test_a_command_mints_a_token_that_serves_while_its_session_goes_on(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("")
    mint = program(tmp_path, f"echo x >> {count}; echo auth_tokens/$(wc -l < {count}); echo {SECRET} >&2")
    now = [0.0]
    credentials = Credentials("gemini", Access(token_command=[mint]), {}, tmp_path, tmp_path, lambda: now[0])

    def key(*, resuming: bool) -> str:
        target = asyncio.run(credentials.target(resuming=resuming))
        assert target.api_version == "v1alpha"
        return target.key

    assert key(resuming=False) == "auth_tokens/1"
    assert key(resuming=True) == "auth_tokens/1"
    assert key(resuming=False) == "auth_tokens/2", "one token begins one session"
    now[0] += TOKEN_LIVES_S
    assert key(resuming=True) == "auth_tokens/3"
    credentials.refused()
    assert key(resuming=True) == "auth_tokens/4"


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (f"echo {SECRET} >&2; exit 3", "ended with 3"),
        ("true", "holds nothing"),
        (f"echo {SECRET} spoiled", "something else than a key"),
        ("sleep 60", "printed nothing"),
        ("yes | tr -d '\\n'", "something else than a key"),
    ],
)
def test_a_command_that_fails_says_so_without_what_it_printed(
    tmp_path: Path, script: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, "COMMAND_S", 2.0)
    assert complaint in refused(Access(token_command=[program(tmp_path, script)]), tmp_path)


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    assert "can't be run" in refused(Access(token_command=["./none"]), tmp_path)


@pytest.mark.parametrize(
    ("service", "access", "environ", "key"),
    [
        ("vertex", Access(location="l"), {}, "project"),
        ("vertex", Access(project="p"), {}, "location"),
        ("vertex", Access(project="p", key_file=Path("k")), {}, "project"),
        ("vertex", Access(token_file=Path("k")), {}, "token_file"),
        ("gemini", VERTEX, {}, "project"),
        ("gemini", Access(key_file=Path("k"), token_file=Path("t")), {}, "token_file"),
        ("vertex", VERTEX, {}, ""),
        ("vertex", Access(), {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "l"}, ""),
        ("vertex", Access(key_file=Path("k")), {}, ""),
        ("gemini", Access(token_command=["mint"]), {}, ""),
    ],
)
def test_what_is_missing_or_too_much_is_named(
    service: Service, access: Access, environ: dict[str, str], key: str
) -> None:
    fault = unfit(service, access, environ)
    assert fault.startswith(f"{key}: ") if key else not fault


def test_vertex_is_reached_by_project_and_location_and_by_an_express_key(tmp_path: Path) -> None:
    target = give(VERTEX, service="vertex", GOOGLE_API_KEY=SECRET)
    assert (target.project, target.location, target.key) == ("p", "l", "")
    client = gemini._new_client(target)._api_client
    assert (client.vertexai, client.project, client.location, client.api_key) == (True, "p", "l", None)
    (tmp_path / "key").write_text(SECRET)
    express = gemini._new_client(give(Access(key_file=Path("key")), service="vertex", folder=tmp_path))._api_client
    assert (express.vertexai, express.api_key, express.project) == (True, SECRET, None)


@pytest.mark.parametrize(
    ("access", "key", "version"),
    [(Access(), "k", "v1beta"), (Access(), "auth_tokens/k", "v1alpha"), (Access(api_version="v1"), "k", "v1")],
)
def test_the_version_fits_the_key_unless_it_is_named(access: Access, key: str, version: str) -> None:
    client = gemini._new_client(give(access, GOOGLE_API_KEY=key))._api_client
    assert (client._http_options.api_version, client.api_key, client.vertexai) == (version, key, False)


def test_a_key_that_a_library_repeats_is_taken_out() -> None:
    target = Target("gemini", "w", key=SECRET, key_from="key_file: /k")
    told = gemini._told(Failure("key", f"bad key {SECRET}", "check GOOGLE_API_KEY"), target)
    assert str(told) == "bad key ***; check key_file: /k"
    assert (hidden("text", ""), hidden("text", "x")) == ("text", "text")
    assert fit(f" {SECRET} ", "x") == SECRET


def test_auto_takes_what_the_options_say() -> None:
    chosen: list[tuple[dict[str, Any], str]] = [
        ({}, "simulator"),
        ({"project": "p"}, "vertex"),
        ({"token_command": ["x"]}, "gemini"),
        ({"key_file": "k"}, "gemini"),
    ]
    for options, service in chosen:
        assert choose("auto", {}, options) == service
    assert choose("vertex", {}, {}) == "vertex"
