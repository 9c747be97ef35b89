"""The reference of recipe keys, from the docstrings and signatures of the schema and the parts; nothing is imported."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import griffe

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = {"data": "DataConfig", "optim": "OptimConfig", "train": "TrainConfig"}

FROM_DATA = ("num_classes", "step", "img_size", "in_chans")
GIVEN = ("args", "backbone", "build", "channels", "gain", "kwargs", "num_features", "plan", "self")
"""What the engine or the network gives a part; no key of a recipe."""

STEPS = ("steps",)


class Kind(NamedTuple):
    """A kind of parts: its folder and decorator, the section of the recipe, what to say, and what else is given."""

    folder: str
    decorator: str
    section: str
    words: str
    given: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        """What the anchors of its entries begin with: `methods` in `#methods-tmkt`."""
        return self.folder.rpartition(".")[2] if self.decorator != "MIXINGS.register" else "mixing"


KINDS = {
    "Networks": Kind("models", "MODELS.register", "model", "What a network takes beside the keys above."),
    "Nodes": Kind(
        "models.nodes",
        "NODES.register",
        "model",
        "`model.node_type` names one of these, one of BrainCog's (`IFNode`, `LIFNode`, `PLIFNode`, ..) or a class of\n"
        "yours. Their keywords are keys of `model`.",
    ),
    "Surrogate gradients": Kind(
        "models.surrogates",
        "SURROGATES.register",
        "model",
        "`model.act_fun` names one of these, one of BrainCog's (`QGateGrad`, `AtanGrad`, `SigmoidGrad`, .., with the\n"
        "keyword `alpha`) or a class of yours.",
    ),
    "Norms": Kind("models.norms", "NORMS.register", "model", "`model.norm` names one.", STEPS),
    "Attention": Kind("models.attention", "ATTENTIONS.register", "model", "`model.attention` names one.", STEPS),
    "Methods": Kind("methods", "METHODS.register", "method", "`method.name` names one."),
    "Mixing laws": Kind(
        "methods", "MIXINGS.register", "method", "`method.mixing` of [tmkt](#methods-tmkt) names one.", STEPS
    ),
    "Losses": Kind("losses", "LOSSES.register", "method.loss", "A name, or a section: `{name: tet, weight: 0.001}`."),
    "Augmentations": Kind(
        "data.augment",
        "AUGMENTS.register",
        "data.augment",
        "A list of names, or of sections (`{name: rotate, degrees: 10}`); they act on event frames, in that order.",
    ),
}

LINKS = {
    "`data.splits.PROTOCOLS`": "[protocols](../explanations/protocols.md)",
    "`data.splits.Protocol`": "[protocols](../explanations/protocols.md)",
    "`data.frames.FRAMES`": "[kinds of frames](../how-to/data-sets.md#frames)",
    "`data.augment.AUGMENTS`": "[augmentations](#augmentations)",
    "`data.static.APPEARANCES`": "[frames](../how-to/data-sets.md#frames)",
    "`losses.LOSSES`": "[losses](#losses)",
    "`models.network.SpikingNetwork`": "[model](#model)",
    **{f"`{config}`": f"[{section}](#{section})" for section, config in SECTIONS.items()},
}


def page() -> str:
    """The page, as Markdown."""
    package = griffe.load("braincog_tmkt", search_paths=[ROOT], docstring_parser="google")
    text = "\n".join(_page(package))
    return re.sub("|".join(map(re.escape, LINKS)), lambda found: LINKS[found[0]], text)


def _page(package: Any) -> Iterator[str]:
    schema = package["recipe.schema"]
    yield f"## The recipe itself\n\n{_table(schema['Recipe'], '')}"
    for section, config in SECTIONS.items():
        yield f"## {section}\n\n{_first(schema[config])}\n\n{_table(schema[config], f'{section}.')}"
    yield "## model\n\nThese are for every network. Those of its node, its surrogate gradient, its norm and its"
    yield "attention stand beside them. The numbers of classes, steps and channels and the size of a frame follow"
    yield "from `data`.\n"
    usual = {key: _plain(value) for key, value in ast.literal_eval(str(schema["MODEL_DEFAULTS"].value)).items()}
    rows = [row for row in _parameters(package["models.network.SpikingNetwork"]) if row[0] not in FROM_DATA]
    rows = [("name", "str", "", "one of the [networks](#networks), or a class of yours."), *rows]
    yield _rows("model.", [(name, kind, usual.get(name, default), words) for name, kind, default, words in rows])
    for heading, kind in KINDS.items():
        yield f"## {heading}\n\n{kind.words}\n"
        for name, part, source in sorted(_entries(package[kind.folder], kind.decorator), key=lambda entry: entry[0]):
            keys = _table(part, f"{kind.section}.", kind.given)
            yield f"### {name} {{#{kind.anchor}-{name}}}\n\n{_first(part)}\n\n{source}{keys}"


def _entries(folder: Any, decorator: str) -> Iterator[tuple[str, Any, str]]:
    """Name and class of all that the modules of a folder enter with a decorator, and where it was published."""
    for module in folder.modules.values():
        for part in (*module.classes.values(), *module.functions.values()):
            for each in () if part.is_alias else part.decorators:
                call = ast.parse(str(each.value), mode="eval").body
                if isinstance(call, ast.Call) and ast.unparse(call.func) == decorator:
                    said = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
                    arxiv = said.get("arxiv")
                    link = f", [arXiv {arxiv}](https://arxiv.org/abs/{arxiv})" if arxiv else ""
                    source = f"Source: {said['paper']}{link}.\n\n" if "paper" in said else ""
                    yield ast.literal_eval(call.args[0]), part, source


def _parameters(part: Any) -> list[tuple[str, str, str, str]]:
    """Name, type, default and meaning of what a class or function takes."""
    sections = part.docstring.parsed if part.docstring else ()
    found = [each for section in sections if section.kind.value == "parameters" for each in section.value]
    rows = [(each.name.strip("*"), _type(each.annotation), _plain(each.default), each.description) for each in found]
    return [(name, kind, default, " ".join(words.split())) for name, kind, default, words in rows if name not in GIVEN]


def _table(part: Any, prefix: str, given: Sequence[str] = ()) -> str:
    return _rows(prefix, [row for row in _parameters(part) if row[0] not in given])


def _rows(prefix: str, rows: Sequence[tuple[str, str, str, str]]) -> str:
    lines = ["| key | default | type | meaning |", "|---|---|---|---|"]
    for name, kind, default, words in rows:
        lines.append(f"| `{prefix}{name}` | {f'`{default}`' if default else ''} | {kind} | {words} |")
    return "\n".join([*lines, ""]) if rows else ""


def _plain(value: Any) -> str:
    """A default as YAML has it; nothing for what must be given, or is a section."""
    text = "" if value is None else re.sub(r"\(lambda: (.*)\)\(\)", r"\1", str(value))
    known = {"None": "null", "True": "true", "False": "false", "list()": "[]", "dict()": "{}"}
    return known.get(text, "" if "()" in text else text.strip("'\""))


def _type(annotation: Any) -> str:
    text = re.sub(r"\w+Config", "section", "" if annotation is None else str(annotation))
    for python, words in (
        (" | ", " or "),
        ("None", "null"),
        ("Mapping[str, Any]", "section"),
        ("dict[str, Any]", "section"),
    ):
        text = text.replace(python, words)
    return text.replace("list[", "list of ").replace("]", "") if text.startswith("list[") else text


def _first(part: Any) -> str:
    """What a docstring says before its sections."""
    return textwrap.dedent(part.docstring.parsed[0].value).strip() if part.docstring else ""
