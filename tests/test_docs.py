"""The documents: every link leads somewhere, every command is one of this package, every system has a page."""

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from braincog_tmkt.cli import verbs
from braincog_tmkt.cli.parser import parse
from braincog_tmkt.data.sets import DATASETS
from braincog_tmkt.data.simulate.tree import LAYOUTS
from braincog_tmkt.engine.task import build_method
from braincog_tmkt.methods import METHODS
from braincog_tmkt.recipe.files import find_recipe, known_recipes
from braincog_tmkt.recipe.load import data_section, load_recipe
from braincog_tmkt.results.paper import paper_tables
from tests.children import execute, run

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md"), *ROOT.glob("*/README.md")]
NAMES = sorted(page.relative_to(ROOT).as_posix() for page in PAGES)

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
GENERATED = re.compile(r"<!-- generated: (\w+) -->")


def text_of(page):
    return page.read_text(encoding="utf-8")


@cache
def anchors_of(page):
    """Anchors of a page's headings, as a repository browser and the site make them; None where they are generated."""
    text = FENCE.sub("", text_of(page))
    if GENERATED.search(text):
        return None
    found = []
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)|`", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return {*found}


def test_links_and_pictures_lead_somewhere():
    wrong = []
    for page in PAGES:
        for target in LINK.findall(FENCE.sub("", text_of(page))):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = unquote(target).partition("#")
            there = (page.parent / path).resolve() if path else page
            known = anchors_of(there) if there.suffix == ".md" and there.is_file() else None
            if not there.exists() or (anchor and known is not None and anchor not in known):
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
    assert not wrong


def test_nothing_leads_to_a_place_of_this_machine():
    for page in PAGES:
        assert not re.search(r"\]\((/|file:)|/home/|/root/|/work/", text_of(page)), page


def commands_of(text):
    """The commands of all shell blocks, one a line, without comments."""
    for _, language, block in FENCE.findall(text):
        if language in ("bash", "sh", "shell", "console"):
            lines = block.replace("\\\n", " ").splitlines()
            yield from (line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line)


def words_of(command):
    """The words of `tmkt ...`, without settings of the environment and the programs that start it; else nothing."""
    words = shlex.split(command)
    words = words[: min((words.index(end) for end in (">", "|", "&&", "&") if end in words), default=len(words))]
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    for start in (["tmkt"], ["python", "-m", "braincog_tmkt.cli"]):
        if words[: len(start)] == start:
            return words[len(start) :]
    if words[:1] == ["torchrun"] and "braincog_tmkt.cli" in words:
        return words[words.index("braincog_tmkt.cli") + 1 :]
    if words[:2] == ["sbatch", "experiments/array.sbatch"]:
        return ["train", *words[2:]]
    return []


NOT_RUN = DOCS / "not-run.md"
OTHER = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", text_of(NOT_RUN), re.MULTILINE))
"""What a command begins with that is not `tmkt`, and why no test runs it."""

COMMANDS = {name: [*commands_of(text_of(ROOT / name))] for name in NAMES}
OWN_FILES = {found for name in NAMES for found in re.findall(r"^# (\w+\.yaml)$", text_of(ROOT / name), re.MULTILINE)}
"""Recipes that a page writes before it trains them."""


def check_recipe(name, arguments):
    """The recipe takes the overrides; a narrow network takes those of the method and the model."""
    if name in OWN_FILES or name.endswith("/recipe.yaml"):
        return
    recipe = load_recipe(find_recipe(name), arguments.overrides, arguments.tier)
    if any(text.startswith(("method.", "model.")) for text in arguments.overrides):
        build_method(replace(recipe, model={**recipe.model, "width": 1 / 16}), classes=10, seed=0)


def check_arguments(arguments):
    for name in getattr(arguments, "recipes", ()):
        check_recipe(name, arguments)
    for what in getattr(arguments, "what", ()):  # a table, records, or a file of one's own results
        known = {*paper_tables(), "mine", "mine.csv", "mine.json"}
        assert what in known or what.startswith("runs") or (ROOT / what).exists(), what
    if arguments.verb is verbs.data:
        data_section({"name": arguments.set}, arguments.overrides)
        DATASETS.require(arguments.set) if arguments.action != "simulate" else LAYOUTS[arguments.set]


@pytest.mark.parametrize("name", [name for name in NAMES if any(map(words_of, COMMANDS[name]))])
def test_tmkt_takes_what_a_document_tells_it(name):
    for command in COMMANDS[name]:
        if words := words_of(command.replace("$SEEDS", "1 2").replace("$", "")):
            try:
                check_arguments(parse(words))
            except (SystemExit, Exception) as error:
                if getattr(error, "code", None) != 0:  # --version and --help leave with it
                    raise AssertionError(f"{command}: {error}") from error


def test_other_commands_are_known_and_their_files_exist():
    others = [(name, command) for name in NAMES for command in COMMANDS[name] if not words_of(command)]
    unknown = [other for other in others if not other[1].startswith((*OTHER,))]
    assert not unknown, "add them to docs/not-run.md, with the reason"
    for name, command in others:
        for file in re.findall(r"\b(?:experiments|benchmarks|tests|docs)/[\w/.-]+\.(?:sh|py|sbatch)\b", command):
            assert (ROOT / file).is_file(), (name, file)
    assert not [start for start in OTHER if not any(command.startswith(start) for _, command in others)]


def ours():
    """The methods of the package, without those that other tests entered."""
    return [name for name in METHODS if METHODS[name].__module__.startswith("braincog_tmkt.")]


def test_every_system_has_a_page():
    pages = "\n".join(text_of(page) for page in (DOCS / "methods").glob("*.md"))
    assert not [name for name in ours() if f"recipe-keys.md#methods-{name})" not in pages]
    rows = {row.recipe_name() for table in paper_tables().values() for row in table.rows if row.recipe}
    named = set(re.findall(r"`([\w.]+/[\w.]+)`", pages))
    assert not rows - named
    assert not {name for name in named if name.split("/")[0] in {each.split("/")[0] for each in known_recipes()}} - {
        *known_recipes()
    }
    overview = text_of(DOCS / "methods" / "index.md")
    assert not [
        page.name for page in (DOCS / "methods").glob("*.md") if f"({page.name})" not in overview + "(index.md)"
    ]


PYTHON = {
    name: "\n".join(code for _, language, code in FENCE.findall(text_of(ROOT / name)) if language == "python")
    for name in NAMES
    if re.match(r"README|docs/(index|methods|explanations)", name)
}
"""The Python of a page, in one piece."""


@pytest.mark.parametrize("name", [name for name, code in PYTHON.items() if code])
def test_python_of_the_pages_runs(name):
    done = run(execute, PYTHON[name])
    assert done.returncode == 0, done.stderr


def test_the_generated_reference_has_every_key():
    pytest.importorskip("griffe")
    page = subprocess.run(
        [sys.executable, "-c", "from docs.generate.recipe_keys import page; print(page())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    from braincog_tmkt.recipe.schema import DataConfig, OptimConfig, TrainConfig

    for section, config in (("data", DataConfig), ("optim", OptimConfig), ("train", TrainConfig)):
        for key in config.__dataclass_fields__:
            assert f"| `{section}.{key}` |" in page, key
    anchors = set(re.findall(r"\{#([\w-]+)\}", page))
    assert {f"methods-{name}" for name in ours()} <= anchors
    wanted = {found for name in NAMES for found in re.findall(r"recipe-keys\.md#([\w-]+)", text_of(ROOT / name))}
    assert {each for each in wanted if "-" in each} <= anchors


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 50
    fetched = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//""")
    assert not [page.name for page in pages if fetched.search(text_of(page))]
