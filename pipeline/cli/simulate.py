"""`simulate`: the Live API server alone, for any program of this machine."""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from pipeline.exits import CONFIG, OK, WORLD
from pipeline.simulator import ScriptError, Server

USAGE = """\
A client needs three variables: GOOGLE_GEMINI_BASE_URL (the url printed), SSL_CERT_FILE (the cert printed) and
GOOGLE_API_KEY (any word).
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = USAGE
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="port on 127.0.0.1 (default: any free one)")
    parser.add_argument(
        "--script", type=Path, metavar="FILE", help="what it answers, as YAML (default: a museum guide)"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="append every message as JSON lines")
    parser.add_argument("--audio", type=Path, metavar="DIR", help="keep the sound that each connection sends")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep sessions and handles for the next start")
    parser.add_argument("--certs", type=Path, metavar="DIR", help="folder of certificate and key (made if missing)")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM (0). 78: the script is wrong; 69: port, log or certificate cannot be had."""
    try:
        return asyncio.run(_serve(args))
    except ScriptError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return CONFIG
    except OSError as error:
        where = f" {error.filename}:" if error.filename else ""
        print(f"simulate:{where} {error.strerror or error}; choose another --port, --log or --certs", file=sys.stderr)
        return WORLD


async def _serve(args: argparse.Namespace) -> int:
    server = Server(args.script, args.log, certs=args.certs or _certs(), audio=args.audio, state=args.state)
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    url = await server.start(args.port)
    print(json.dumps({"url": url, "cert": str(server.cert.resolve())}), flush=True)
    await asked.wait()
    await server.stop()
    return OK


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)


def _certs() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "voice-pipeline" / "simulator"
