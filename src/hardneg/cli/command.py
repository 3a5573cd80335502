"""How a command is added to the command line, and how it reads a job."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hardneg.errors import JobError
from hardneg.kinds import did_you_mean
from hardneg.paths import is_url

if TYPE_CHECKING:
    from hardneg.job.run_folder import Job


class Parser(argparse.ArgumentParser):
    """A parser that says what was probably meant, with the usage of the command that was meant."""

    def parse_known_args(self, *arguments: Any, **more: Any) -> Any:
        """Like argparse's, but nothing unknown is left over."""
        found, unknown = super().parse_known_args(*arguments, **more)
        if unknown:
            known = [word for action in self._actions for word in action.option_strings]
            self.error(f"unknown: {shlex.join(unknown)}{did_you_mean(unknown[0].partition('=')[0], known)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Prints usage and message, and exits with status 2."""
        if choice := re.search(r"invalid choice: '([^']*)'", message):
            known = [str(word) for action in self._actions for word in action.choices or ()]
            message += did_you_mean(choice[1], known)
        super().error(message)


def command(
    commands: Any, name: str, text: str, run: Callable[[argparse.Namespace], None], *, machine: bool = True
) -> argparse.ArgumentParser:
    """A command with its help. ``machine``: it can print JSON for a program."""
    sub: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    sub.set_defaults(run=run)
    if machine:
        sub.add_argument("--json", action="store_true", help="print JSON for a program")
    return sub


def takes_job(sub: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Adds the job and `--set` to a command."""
    sub.add_argument("job", type=named, nargs="?" if optional else None, help="the job's YAML file, or its URL")
    sub.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value at a dotted key, as YAML, as if it stood in the file: filters.safe.margin=0.1; repeatable",
    )


def named(text: str) -> Path | str:
    """What a word of the command line names: a path, or a URL as text."""
    return text if is_url(text) else Path(text)


def takes_prompts(sub: argparse.ArgumentParser) -> None:
    """Adds the prompts of a command's ``--model``."""
    sub.add_argument("--query-prompt", help="what the model wants before a query")
    sub.add_argument("--passage-prompt", help="what the model wants before a passage")


def read_job(options: argparse.Namespace) -> Job:
    """The job of a command with its overrides."""
    from hardneg.job.named import fetched
    from hardneg.job.run_folder import Job

    return Job.read(fetched(options.job), overrides(options))


def overrides(options: argparse.Namespace) -> dict[str, object]:
    """The values of `--set` by dotted key; of one that is set twice the last."""
    from hardneg.job.yaml_document import parse

    out: dict[str, object] = {}
    for text in options.overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise JobError("--set wants KEY=VALUE, for example --set filters.safe.margin=0.1")
        out[key] = parse(value.encode(), Path(f"--set {key}"))[0] if value.strip() else None
    return out
