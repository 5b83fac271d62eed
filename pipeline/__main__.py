"""`python -m pipeline`, and the console script `voice-pipeline`."""

import os
import sys

from pipeline.cli import run_command


def fill_standard_files() -> None:
    """Whoever started us with stdin, stdout or stderr closed gets /dev/null there: else the next file that is opened
    would take the number, and what is printed would go into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            if (file := os.open(os.devnull, os.O_RDWR)) != number:
                os.dup2(file, number)
                os.close(file)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def main() -> None:
    """Run the command of the command line; exits with its code, also where nobody reads what was printed any more."""
    fill_standard_files()
    try:
        code: object = run_command(sys.argv[1:])
    except SystemExit as leaving:  # argparse has printed what is wrong, or helped
        code = leaving.code
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            if stream is sys.stdout and isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                code = code or 1  # a disk that is full: what was asked for is not there
            # The interpreter would try again when it ends, and make 120 of the exit code.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
