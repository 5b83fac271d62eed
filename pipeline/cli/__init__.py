"""The commands, one file each; a command's module is imported only when it is called.

A module has `arguments(parser)` and `run(args) -> int`, the exit code.
"""

import argparse
import importlib

from pipeline import __version__

COMMANDS = {
    "run": "run a pipeline in the foreground",
    "check": "validate a configuration without key or sound card",
    "status": "say how the running pipeline is",
    "incidents": "list what went wrong, with cause, duration and cost",
    "devices": "list microphones and speakers by the name a configuration uses",
    "tap": "print what passes on the bus",
    "record": "write what passes on the bus to a file",
    "replay": "run a pipeline with a recording in the place of a stage",
    "tape": "summarise a recording, or make sound and subtitles of it",
    "new": "write a stage of your own that runs",
    "say": "let the model speak to the visitor",
    "trigger": "have a visitor listened to, as a button would",
    "play": "play a prompt or an earcon",
    "mute": "close the microphone until unmute, also across restarts",
    "unmute": "open the microphone again",
    "volume": "set the speaker's volume, 0-100",
    "restart": "restart one stage",
    "swap": "give a stage another recipe while the conversation goes on",
    "reload": "take up the changed configuration of the running pipeline",
    "stop": "stop the running pipeline in order",
    "join": "run one stage of another machine's pipeline on this one",
    "keys": "make the key pairs by which machines know each other",
    "doctor": "say what would stop this machine from talking, and the remedy",
    "simulate": "run the Live API server alone",
    "verify-service": "try on the real service what is believed of it",
}


def run_command(argv: list[str]) -> int:
    """Parse `argv`, run the command, return its exit code. Usage errors exit with 2, as argparse does."""
    parser = argparse.ArgumentParser(prog="voice-pipeline", description="A voice pipeline that never goes deaf.")
    parser.add_argument("--version", action="version", version=f"voice-pipeline {__version__}")
    chosen: argparse.ArgumentParser | None = None
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if argv[:1] == [name]:
            chosen = sub
    if chosen is None and argv[:1] and not argv[0].startswith("-"):
        from pipeline.config.errors import nearest  # 10 ms that a command which exists does not pay

        near = nearest(argv[0], COMMANDS)
        meant = f"did you mean {near}?" if near else f"expected one of {', '.join(COMMANDS)}"
        parser.error(f"no command {argv[0][:40]!r}; {meant}")
    if chosen is None:
        parser.parse_args(argv)  # says what is missing, or helps, and exits
        return 2
    module = importlib.import_module(f"pipeline.cli.{argv[0].replace('-', '_')}")
    module.arguments(chosen)
    # Intermixed, which a parser of commands can't do: `record TAPE --privacy no_words event.*`
    args = chosen.parse_intermixed_args(argv[1:])
    try:
        return int(module.run(args))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
