"""What must stand in a record and in other files that are read back: keys, types and ranges, declared in one place.

A rule is a `Leaf`; `Maybe(rule)`, which allows null; `[rule]`, a list that is not empty, `(rule,)`, any list; or a
dictionary of rules by key: `key?` may be missing, `*` is for all keys that are not named. Keys that no rule names may
hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Any

SELECTIONS = ("last", "best_val", "best_test")
"""Keys of a record that hold the result of an epoch."""

LARGEST, MOST = 1e100, 10**15
"""Of numbers and counts: above, sums and squares leave the range of floats, and floats that of whole numbers."""

NO_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and halves of characters, which no line of text has."""
NO_TEXT = re.compile(r"[\ud800-\udfff]")
DEEPEST = 8
"""Levels of lists and sections that a value may have."""


@dataclass(frozen=True)
class Leaf:
    """A single value.

    Args:
        words: what it must be.
        holds: whether a value is that.
    """

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Maybe:
    """What a rule says, or null."""

    rule: Any


def number(low: float = -LARGEST, high: float = LARGEST, whole: bool = False) -> Leaf:
    """A number in a range; NaN is none, and true and false are none."""
    types = (int,) if whole else (int, float)
    words = f"a {'whole ' * whole}number from {low:g} to {high:g}"
    return Leaf(words, lambda value: type(value) in types and low <= value <= high)


def _is_plain(value: Any, levels: int = DEEPEST) -> bool:
    if isinstance(value, list | dict):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return levels > 0 and all(_is_plain(item, levels - 1) for item in inner)
    if isinstance(value, str):
        return not NO_TEXT.search(value)
    return value is None or isinstance(value, bool) or NUMBER.holds(value)


NUMBER, POSITIVE, SHARE = number(), number(0), number(0, 1)
COUNT, ONE_OR_MORE = number(0, MOST, whole=True), number(1, MOST, whole=True)
SEED = number(0, 2**64 - 1, whole=True)
BOOL = Leaf("true or false", lambda value: isinstance(value, bool))
TEXT = Leaf("a text of one line", lambda text: isinstance(text, str) and not NO_LINE.search(text))
LINES = Leaf("a text", lambda text: isinstance(text, str) and not NO_TEXT.search(text))
PATH = Leaf("a text", lambda text: isinstance(text, str))
PLAIN = Leaf("a plain value (text, number, true, false, null, a list or a section of these)", _is_plain)
NO_KEY = Leaf("left out: there is no such key", lambda value: False)

SIZE = Leaf(
    "a whole number from 1 on, or a list of two (height, width)",
    lambda size: (
        all(map(ONE_OR_MORE.holds, size)) and len(size) == 2 if isinstance(size, list) else ONE_OR_MORE.holds(size)
    ),
)

RESULT = {"epoch": COUNT, "accuracy": SHARE, "accuracy_by_step": [SHARE], "loss": NUMBER, "one_class?": LINES}
MEASURED = {"accuracy": SHARE, "loss": NUMBER}
RESULTS = {"last": RESULT, "best_val": Maybe(RESULT), "best_test": RESULT}
RECIPE = {
    "data": {
        **{"steps": ONE_OR_MORE, "size": SIZE, "root?": PATH, "static_root?": Maybe(PATH), "cache?": PATH},
        "*": PLAIN,
    },
    "model": {"name": TEXT, "*": PLAIN},
    "method": {"name": TEXT, "steps?": Maybe(ONE_OR_MORE), "*": PLAIN},
    "optim": {"*": PLAIN},
    "train": {"*": PLAIN},
    "stages?": {"*": PLAIN},
    "*": PLAIN,
}
RECORD = {
    **{"name": TEXT, "recipe": RECIPE, "recipe_hash": TEXT, "seed": SEED},
    "data": {
        **{"set": TEXT, "kind": TEXT, "fingerprint": TEXT, "complete?": BOOL, "protocol": TEXT, "leaky": BOOL},
        **{"split": TEXT, "train": COUNT, "val": COUNT, "test": COUNT, "pool": COUNT},
    },
    "audit": {
        **{"test": COUNT, "val": COUNT, "test_with_twin_in_pool": COUNT, "val_with_twin_in_pool": COUNT},
        **{"in_two_parts": COUNT, "leaks": BOOL, "same_content?": Maybe(COUNT), "twins_known?": BOOL},
        **{f"classes_without_{part}?": (LINES,) for part in ("training", "validation", "test")},
    },
    **RESULTS,
    "stages?": {"*": {**RESULTS, "seconds": POSITIVE, "shared": Maybe(PATH)}},
    "remarks?": (LINES,),
    **{"firing_rates": {"*": POSITIVE}, "synaptic_operations": POSITIVE, "parameters": COUNT},
    "history": [
        {
            **{"stage": COUNT, "epoch": COUNT, "lr?": POSITIVE, "seconds?": POSITIVE},
            **{"train?": {"*": NUMBER}, "val?": MEASURED, "test?": MEASURED},
        }
    ],
    **{"seconds": POSITIVE, "peak_memory": {"*": POSITIVE}, "device": TEXT, "device_name": TEXT},
    **{"world_size": COUNT, "threads": COUNT, "versions": {"*": Maybe(TEXT)}, "started": TEXT, "finished": TEXT},
}
"""A record, see `store`."""

STEPS = {
    "steps": ONE_OR_MORE,
    "accuracy": SHARE,
    "loss": NUMBER,
    "firing_rate": POSITIVE,
    "synaptic_operations": POSITIVE,
    "energy?": POSITIVE,
}
"""A row of what `tmkt eval --steps` writes."""

TESTED = Leaf(
    "[epoch, accuracy, loss]",
    lambda row: (
        isinstance(row, list)
        and len(row) == 3
        and all(rule.holds(value) for rule, value in zip((COUNT, SHARE, NUMBER), row, strict=True))
    ),
)
LINE = RECORD | {
    "history": [{"stage": COUNT, "train": (NUMBER,), "val?": [TESTED], "test?": [TESTED]}],
    "by_steps?": [STEPS],
}
"""A line of `records.jsonl`, see `pack`."""


def faults(value: Any, rule: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """What does not follow a rule.

    Args:
        value: plain, as a JSON or YAML file holds it.
        rule: see the top of this module.
        key: where the value stands.

    Returns:
        The dotted keys and what must stand there (with what does); the latter is empty for a key that is missing.

    Example:
        >>> [*faults({"seed": 1.5, "last": {"accuracy": 50.0}}, {"last": {"accuracy": SHARE}, "name": TEXT})]
        [('last.accuracy', 'a number from 0 to 1, not 50.0'), ('name', '')]
    """
    if isinstance(rule, Maybe):
        if value is not None:
            yield from faults(value, rule.rule, key)
    elif isinstance(rule, Leaf):
        if not rule.holds(value):
            yield key, f"{rule.words}, not {shortened(value)}"
    elif isinstance(rule, list | tuple):
        if not isinstance(value, list) or not (value or isinstance(rule, tuple)):
            yield key, f"a list{' that is not empty' * isinstance(rule, list)}, not {shortened(value)}"
        else:
            for place, item in enumerate(value):
                yield from faults(item, rule[0], f"{key}[{place}]")
    elif not isinstance(value, dict):
        yield key, f"a section with keys, not {shortened(value)}"
    else:
        yield from _faults_of_section(value, rule, f"{key}." if key else "")


def _faults_of_section(section: Mapping[str, Any], rules: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, rule in rules.items():
        key = name.removesuffix("?")
        if key in section:
            yield from faults(section[key], rule, prefix + key)
        elif name == key != "*":
            yield prefix + key, ""
    for key in ([name for name in section if name not in rules and f"{name}?" not in rules]) if "*" in rules else ():
        if not TEXT.holds(key):
            yield prefix + shortened(key), "a key of one line of text"
        yield from faults(section[key], rules["*"], prefix + key)
