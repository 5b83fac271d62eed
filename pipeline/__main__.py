"""The command line: `python -m pipeline COMMAND`, installed as `voice-pipeline`."""

import sys

from pipeline.cli import run_command


def main() -> None:
    """Run one command and exit with its code."""
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
