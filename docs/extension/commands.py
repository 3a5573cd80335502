"""Every command with its options, from the parser itself."""

from __future__ import annotations

import argparse

from hardneg.cli import parser


def subcommands() -> dict[str, argparse.ArgumentParser]:
    """Every command by name, in the order of `hardneg --help`."""
    [found] = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found.choices)


def all_commands() -> str:
    """A section for each command."""
    return "\n\n".join(_section(name, command) for name, command in subcommands().items())


def _section(name: str, command: argparse.ArgumentParser) -> str:
    usage = " ".join(command.format_usage().removeprefix("usage: ").split())
    rows = "".join(
        f"| `{_named(action)}` | {_cell(action.help or '')} |\n"
        for action in command._actions
        if not isinstance(action, argparse._HelpAction)
    )
    text = f"## `hardneg {name}`\n\n{_cell(command.description or '')}\n\n```text\n{usage}\n```\n"
    return text + f"\n| argument | what |\n| --- | --- |\n{rows}"


def _named(action: argparse.Action) -> str:
    """`--older-than AGE`, or the name of a positional argument."""
    name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    choices = "|".join(map(str, action.choices)) if action.choices else ""
    word = action.metavar or choices or action.dest.upper()
    return f"{name} {word}".replace("|", r"\|") if action.option_strings and action.nargs != 0 else name


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", r"\<").replace("$", r"\$")
