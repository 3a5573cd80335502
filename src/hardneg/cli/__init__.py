"""The commands. Results go to stdout, progress and log to stderr. Exit status 0, 1 (failed) or 2 (change something)."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from hardneg.cli import auditing, catalogue, jobs, machine, publishing, reports, reviewing, sets, starting, thresholds
from hardneg.cli.command import Parser
from hardneg.cli.output import any_encoding, bars, print_error
from hardneg.errors import HardnegError, too_many_files

EPILOG = """\
A first job:

  hardneg init data/scifact --model BAAI/bge-small-en-v1.5 > job.yaml
  hardneg check job.yaml && hardneg run job.yaml
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = Parser(
        prog="hardneg",
        description="Makes hard negatives for dense retrievers, finds the false ones, and says what a set is worth.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="store_true", help="print the version and stop")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for family in (starting, jobs, reports, thresholds, reviewing, auditing, sets, publishing, machine, catalogue):
        family.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit status."""
    any_encoding()
    top = parser()
    options = top.parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        print(version("hardneg"))
        return 0
    if options.command is None:
        top.print_help()
        return 2
    return _status(options)


TOO_MANY_FILES = "too many files are open; raise the limit (`ulimit -n 4096`) and run again: what is finished is kept"


def _status(options: argparse.Namespace) -> int:
    """Runs the command and says in a line what went wrong."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with bars():
            options.run(options)
    except HardnegError as error:
        if too_many_files(error):
            print(f"hardneg: {TOO_MANY_FILES}", file=sys.stderr)
            return 1
        print_error(error)
        return error.exit_status
    except KeyboardInterrupt as stop:
        print("hardneg: stopped; the same command goes on where it was", file=sys.stderr)
        return 143 if stop.args == (signal.SIGTERM,) else 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except (MemoryError, OSError) as error:
        print(f"hardneg: {_told(error)}", file=sys.stderr)
        return 1
    return 0


def _told(error: MemoryError | OSError) -> str:
    """What the system refused, with the file that it is about."""
    if isinstance(error, MemoryError):
        return (
            "out of memory; lower `batch_size` of the model or `engine.workers` and run again: what is finished is kept"
        )
    if too_many_files(error):
        return TOO_MANY_FILES
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror or error}; run again when that is mended: what is finished is kept"


def _terminate(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
