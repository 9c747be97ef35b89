"""Texts to values: recipe files, and what is typed after `key=` on the command line.

What is written is what is meant. A number is decimal (`3`, `-0.5`, `1e-3`), a truth value is `true` or `false`, nothing
is `null` or `~`. What other versions of YAML take for a number (`010`, `1:30`, `1_000`, `0x10`) or for a truth value
(`yes`, `off`) is a text, and is refused where a number or a truth value is asked for.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from typing import Any, Union, get_args, get_origin

import yaml

MOST_VALUES = 10_000
"""Values of a recipe file: its aliases may repeat others, which must not fill the memory."""

MOST_CHARACTERS = 1_000_000

_SCALARS = {
    "null": r"~|null|Null|NULL",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(0|[1-9][0-9]*)",
    "float": r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
"""YAML 1.2's core schema, without its octal and hexadecimal numbers and without leading zeros."""


class _Loader(yaml.SafeLoader):
    """PyYAML's, with the plain scalars of `_SCALARS` in place of YAML 1.1's, no other types, and no key twice."""

    yaml_implicit_resolvers: dict[str | None, list[Any]] = {}  # noqa: RUF012  as in PyYAML
    yaml_constructors: dict[str | None, Any] = {}  # type: ignore[misc]  # noqa: RUF012

    def section(self, node: yaml.Node) -> Iterator[dict[str, Any]]:
        """A mapping, whose keys are texts as they are written."""
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "this is no section", node.start_mark)
        mapping: dict[str, Any] = {}
        yield mapping  # an alias inside may lead here
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a text", key.start_mark)
            if key.value in mapping:
                raise yaml.constructor.ConstructorError(None, None, f"the key '{key.value}' is twice", key.start_mark)
            mapping[key.value] = self.construct_object(value)


for _name, _pattern in _SCALARS.items():
    _tag, _first = f"tag:yaml.org,2002:{_name}", [None]
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)
    _Loader.add_constructor(_tag, getattr(yaml.SafeLoader, f"construct_yaml_{_name}"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"\Z"), [""])
_Loader.add_constructor("tag:yaml.org,2002:str", yaml.SafeLoader.construct_yaml_str)  # type: ignore[type-var]
_Loader.add_constructor("tag:yaml.org,2002:seq", yaml.SafeLoader.construct_yaml_seq)  # type: ignore[type-var]
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.section)
_Loader.add_constructor(None, yaml.SafeLoader.construct_undefined)  # type: ignore[type-var]


class _Dumper(yaml.SafeDumper):
    """PyYAML's, which quotes a text that `_Loader` would take for something else."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def write_yaml(value: Any) -> str:
    """A document that `read_yaml` reads as the same value.

    Example:
        >>> write_yaml({"name": "010", "rate": "1e-3", "steps": 3})
        "name: 010\\nrate: '1e-3'\\nsteps: 3\\n"
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


def read_yaml(text: str) -> Any:
    """The value of a YAML document.

    Raises:
        ValueError: saying what is wrong with it, in words.

    Example:
        >>> read_yaml("{steps: 10, seeds: [010, 1:30], rate: 1e-3, on: yes}")
        {'steps': 10, 'seeds': ['010', '1:30'], 'rate': 0.001, 'on': 'yes'}
    """
    return deepcopy(_read_yaml(text))


@lru_cache(maxsize=64)
def _read_yaml(text: str) -> Any:
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters, more than {MOST_CHARACTERS}")
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, KeyError) as error:  # a KeyError: `!!bool maybe`
        raise ValueError(f"it is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise ValueError("its lists or sections lie in each other too deeply") from None
    _require_small(value)
    return value


def _require_small(value: Any) -> None:
    """Refuse a value which aliases make large, or endless."""
    waiting, count = [value], 0
    while waiting:
        found = waiting.pop()
        waiting += found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
        count += 1
        if count + len(waiting) > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES} values")


def read_value(text: str, hint: Any = Any) -> Any:
    """What is typed after `key=`, for a key of the annotation `hint`; whether it fits is left to be checked.

    A text is taken as it is, every character of it. So is one for a key of any type, unless it is a number, a truth
    value or null, or a list, a section or a text in YAML's brackets or quotes.

    Raises:
        ValueError: saying what is wrong with it, in words.

    Example:
        >>> read_value("my data #2", str), read_value("null", str | None), read_value("[1, 2]"), read_value("1e-3")
        ('my data #2', None, [1, 2], 0.001)
    """
    if hint is str or (get_origin(hint) in (Union, types.UnionType) and str in get_args(hint)):
        return None if text == "null" and hint is not str else text
    bare = text.strip()
    if bare[:1] in ("[", "{", '"', "'"):
        return _read_flow(bare)
    return read_yaml(bare) if bare and any(re.fullmatch(pattern, bare) for pattern in _SCALARS.values()) else text


def _read_flow(text: str) -> Any:
    """A value in brackets or quotes that is all of the text, without comments, anchors, aliases and tags."""
    value = read_yaml(text)
    node = yaml.compose(text, _Loader)
    block = isinstance(node, yaml.MappingNode) and not node.flow_style  # `"a": 1`
    if block or "\n" in text or node is None or node.end_mark.index != len(text):
        raise ValueError("something follows its last bracket or quote")
    if any(isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken) for token in yaml.scan(text, _Loader)):
        raise ValueError("it holds one of YAML's signs & * !: put the text in quotes")
    return value
