"""The rules of the house: import directions, sizes, forbidden words, docstrings with examples that run."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import braincog_tmkt

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "braincog_tmkt"
MODULES = sorted(PACKAGE.rglob("*.py"))
RUNNING = {"errors", "files", "own_code", "progress", "registry", "terminal", "recipe", "data", "methods", "results"}
"""What every room that works with runs may import."""

ALLOWED = {
    "errors": set(),
    "jit": set(),
    "files": {"errors"},
    "progress": set(),
    "terminal": set(),
    "value_types": set(),
    "own_code": {"errors"},
    "registry": {"errors", "own_code", "value_types"},
    "recipe": {"errors", "own_code", "files", "registry", "value_types"},
    "bridge": {"errors"},
    "data": {"jit", "errors", "terminal", "own_code", "files", "progress", "registry"},
    "models": {"jit", "errors", "files", "registry", "bridge", "value_types"},
    "losses": {"errors", "registry"},
    "methods": {"errors", "registry", "data", "losses", "models"},
    "results": {"errors", "terminal", "files", "registry", "recipe", "methods"},  # for the names of methods
    "engine": RUNNING | {"models"},
    "launch": RUNNING | {"engine"},
    "inspect": RUNNING | {"models", "engine", "launch"},
    "figures": RUNNING | {"models", "engine", "inspect"},
    "plugin": {"bridge", "losses", "data", "models"},
}
FORBIDDEN = r"\.cuda\(|(?<![.\w])eval\(|import \*|/home/|/root/|NotImplementedError\(\)|\bTODO\b|\bFIXME\b|\bXXX\b"


def part_of(path):
    """The concept a module belongs to: its folder, or its own name."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path):
    """Parts of our package that a module imports, wherever in the file."""
    here = ["braincog_tmkt", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        base = here[: len(here) - node.level] if node.level else []
        target = base + (node.module.split(".") if node.module else [])
        if target[:1] == ["braincog_tmkt"]:
            yield from [target[1]] if len(target) > 1 else [alias.name for alias in node.names]


def test_imports_run_one_way():
    for path in MODULES:
        part = part_of(path)
        if part in ("cli", "__init__", "__main__"):
            continue
        foreign = {name for name in imports_of(path) if name != part and not name.startswith("__")}
        assert foreign <= ALLOWED[part], path


def test_brain_cog_and_fabric_are_imported_in_one_place():
    for library, homes in {"braincog": {"bridge"}, "lightning_fabric": {"engine", "inspect", "launch"}}.items():
        said = re.compile(rf"^\s*(import|from) {library}\b", re.MULTILINE)
        assert {part_of(path) for path in MODULES if said.search(path.read_text())} <= homes


def test_sizes_and_forbidden_words():
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 80, (path, node.name)
        assert not re.findall(FORBIDDEN, text), path
        for call in re.findall(r"torch\.load\((?:[^()]|\([^()]*\))*\)", text):
            assert "weights_only=True" in call, path
    assert not [path for path in (ROOT / "tests").rglob("*.py") if path.read_text().count("\n") > 400]


def modules():
    for info in pkgutil.walk_packages(braincog_tmkt.__path__, "braincog_tmkt."):
        yield importlib.import_module(info.name)


def test_public_names_have_docstrings_and_annotations():
    for module in modules():
        for name, member in vars(module).items():
            if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
                continue
            if not (inspect.isclass(member) or inspect.isfunction(member)):
                continue
            assert inspect.getdoc(member), f"{module.__name__}.{name}"
            untyped = inspect.isfunction(member) and "return" not in member.__annotations__
            assert not untyped, f"{module.__name__}.{name}"


def test_examples_in_docstrings_run():
    tried = 0
    for module in modules():
        result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        assert result.failed == 0, module.__name__
        tried += result.attempted
    assert tried > 20


def test_deviations_named_in_the_code_are_listed_and_the_other_way_round():
    page = (ROOT / "docs" / "explanations" / "faithfulness.md").read_text()
    listed = set(re.findall(r"^\| (D-\d\d) ", page, re.MULTILINE))
    named = {name for path in MODULES for name in re.findall(r"D-\d\d", path.read_text())}
    assert named <= listed
    assert listed <= named
