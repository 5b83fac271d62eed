"""The commands, one file each; a command's module is imported only when it is called.

A module has `arguments(parser)` and `run(args) -> int`, the exit code.
"""

import argparse
import importlib
from collections.abc import Sequence

COMMANDS = {
    "run": "run a pipeline in the foreground",
    "check": "validate a configuration without key or sound card",
    "status": "say how the running pipeline is",
    "devices": "list microphones and speakers by the name a configuration uses",
    "tap": "print what passes on the bus",
    "say": "let the model speak to the visitor",
    "mute": "close the microphone until unmute, also across restarts",
    "unmute": "open the microphone again",
    "volume": "set the speaker's volume, 0-100",
    "restart": "restart one stage",
    "stop": "stop the running pipeline in order",
    "simulate": "run the Live API server alone",
}


def run_command(argv: Sequence[str]) -> int:
    """Parse `argv`, run the command, return its exit code. Usage errors exit with 2, as argparse does."""
    parser = argparse.ArgumentParser(prog="voice-pipeline", description="A voice pipeline that never goes deaf.")
    chosen = argv[0] if argv and argv[0] in COMMANDS else None
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == chosen:
            importlib.import_module(f"pipeline.cli.{name}").arguments(sub)
    args = parser.parse_args(argv)
    try:
        return int(importlib.import_module(f"pipeline.cli.{args.command}").run(args))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
