"""`python -m pipeline`, and the console script `voice-pipeline`."""

import os
import sys

from pipeline.cli import run_command


def main() -> None:
    """Run the command of the command line; exits with its code, also where nobody reads what was printed any more."""
    try:
        code: object = run_command(sys.argv[1:])
    except SystemExit as leaving:  # argparse has printed what is wrong, or helped
        code = leaving.code
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # The interpreter would try again when it ends, and make 120 of the exit code.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
