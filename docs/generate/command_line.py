"""The reference of the command line, from the parser and its texts."""

import argparse
from collections.abc import Iterator

from braincog_tmkt.cli.parser import make_parser
from braincog_tmkt.cli.texts import TEXTS


def page() -> str:
    """All commands, options and examples, as Markdown."""
    return "\n".join(_page(make_parser(), "")).strip() + "\n"


def _page(parser: argparse.ArgumentParser, path: str) -> Iterator[str]:
    """Lines on one command, then on the commands below it."""
    if path:
        yield from ("", f"## `{parser.prog}`")
    yield from ("", TEXTS[path].about)
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    groups = [action for action in actions if isinstance(action, argparse._SubParsersAction)]
    yield from ("", "```text", _usage(parser), "```")
    for group in groups:
        yield from ("", "| command | what it does |", "|---|---|")
        for name, command in group.choices.items():
            anchor = command.prog.replace(" ", "-")
            yield f"| [`{command.prog}`](#{anchor}) | {TEXTS[f'{path} {name}'.strip()].summary} |"
    shown = [action for action in actions if action not in groups and not isinstance(action, argparse._HelpAction)]
    if shown:
        yield from ("", "| argument | meaning |", "|---|---|")
        yield from (f"| {_names(action)} | {_cell(action.help or '')} |" for action in shown)
    yield from ("", "```bash", *(f"{line}  # {what}" for line, what in TEXTS[path].examples), "```")
    for group in groups:
        for name, command in group.choices.items():
            yield from _page(command, f"{path} {name}".strip())


def _usage(parser: argparse.ArgumentParser) -> str:
    """The usage in one line, with `[options]` for the list of them."""
    positional = [action for action in parser._actions if not action.option_strings]
    words = [f"{name}{' ..' * (action.nargs == '+')}" for action in positional for name in [action.metavar or ""]]
    return " ".join([parser.prog, *map(str, words), "[options]"])


def _names(action: argparse.Action) -> str:
    """How an argument is written, with what follows it."""
    metavar = " ".join(action.metavar) if isinstance(action.metavar, tuple) else action.metavar
    value = metavar or "|".join(map(str, action.choices or ())) or ("" if action.nargs == 0 else action.dest.upper())
    value += " .." * (action.nargs == "+")
    if not action.option_strings:
        return f"`{value}`"
    return ", ".join(f"`{f'{name} {value}'.strip()}`" for name in action.option_strings)


def _cell(text: str) -> str:
    """A text whose bars do not end the cell of a table; those in backquotes do not, so there the site shows `\\|`."""
    return text.replace("|", "\\|")
