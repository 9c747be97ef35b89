"""The reference of the command line, from the parser's own help texts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from braincog_tmkt.cli.parser import make_parser


def page() -> str:
    """The page, as Markdown."""
    return "\n".join(_commands(make_parser(), "tmkt"))


def _commands(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            words = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for command, inner in action.choices.items():
                yield f"## {name} {command}\n\n{_sentence(inner.description or words.get(command, ''))}\n"
                yield from _options(inner)
                if inner.epilog:
                    yield f"```text\n{inner.epilog.strip()}\n```\n"
                yield from _commands(inner, f"{name} {command}")


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + "." * (not text.endswith("."))


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    rows = [action for action in parser._actions if action.help not in (None, argparse.SUPPRESS)]
    rows = [action for action in rows if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)]
    if not rows:
        return
    yield "| option | meaning |\n|---|---|"
    for action in rows:
        values = action.metavar or ("\\|".join(map(str, action.choices)) if action.choices else action.dest)
        values = values if isinstance(values, str) else " ".join(values)
        written = ", ".join(action.option_strings)
        values = "" if action.nargs == 0 else values
        yield f"| `{' '.join(filter(None, (written, values)))}` | {action.help} |"
    yield ""
