"""Code of a user's own: the modules that a recipe names are found, told apart by their contents, kept, and imported.

A module is the user's own if it is in one of the folders that are searched (the current one and the recipe's), or
elsewhere on Python's path but neither in the standard library nor in `site-packages`. It counts file by file, of a
package all files, and so do the user's own modules that it imports with `import` statements. A package in
`site-packages` counts as a whole if a recipe names it; it is not copied. The packages in `VERSIONED` do not count.

What was read is what runs: Python gets these modules from memory, whatever `sys.path` and old bytecode hold.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import io
import sys
import traceback
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from os.path import isfile
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from .errors import RecipeError, TrainingError

COPY = "code.zip"
"""In a run folder: the code that the run is trained with."""

VERSIONED = frozenset(
    {"braincog_tmkt", "braincog", "torch", "torchvision", "timm", "tonic", "numpy", "lightning_fabric"}
)
"""Packages whose versions a record has, see `engine.environment`."""

INSTALLED = "site-packages/"
"""Stands before the name of an installed package."""


class Source(NamedTuple):
    """A file of code.

    Args:
        text: its bytes, with line endings as on Unix.
        path: where it is, for messages and tracebacks.
    """

    text: bytes
    path: str


Code = dict[str, Source]
"""By file, relative to the folder from which it is imported: `my_package/net.py`. An installed package is one entry,
`site-packages/<name>`, whose text lists its files."""


def digests(code: Mapping[str, Source]) -> dict[str, str]:
    """The first 16 digits of the SHA-256 of each file's text.

    Example:
        >>> digests({"my_method.py": Source(b"import torch", "/somewhere/my_method.py")})
        {'my_method.py': 'cf1070d3a16f24b2'}
    """
    return {file: _digest(source.text) for file, source in sorted(code.items())}


def unlike(code: Mapping[str, Source], wanted: Mapping[str, str]) -> str:
    """The files whose digests differ, or that are in one of the two alone, in words; empty if there are none."""
    found = digests(code)
    return ", ".join(file for file in sorted(found.keys() | wanted.keys()) if found.get(file) != wanted.get(file))


def find_code(names: Iterable[str], folders: Iterable[Path]) -> Code:
    """The user's own files behind some modules and behind what these import.

    Args:
        names: modules, or classes in them: `my_package.net` or `my_package.net.Net`.
        folders: where to look first.

    Raises:
        RecipeError: if a file cannot be read, if two folders have different files for a module, or if a module has the
            name of one of Python's own.
    """
    waiting = list(dict.fromkeys(names))
    places = list(dict.fromkeys(folder.resolve() for folder in folders)) if waiting else []
    code, named = Code(), len(waiting)
    for place, name in enumerate(waiting):  # which grows
        if f"{name.partition('.')[0]}/__init__.py" in code:
            continue  # all files of the package are there
        for file, source in _find(name, places, place < named).items():
            if file not in code:
                code[file] = source
                waiting += dict.fromkeys(_imported(file, source.text)).keys() - set(waiting)
    return code


def _find(name: str, folders: Sequence[Path], named: bool) -> Code:
    """The files of one module; only if it is `named` may it be an installed package."""
    top = name.partition(".")[0]
    if top in VERSIONED or not all(map(str.isidentifier, name.split("."))):
        return {}
    found = [(folder, code) for folder in folders if (code := _below(folder, name))]
    if top in sys.stdlib_module_names:
        if found and named:
            raise RecipeError(f"'{name}' in {found[0][0]} has the name of a module of Python's own: rename it")
        return {}
    for folder, code in found[1:]:
        if changed := unlike(code, digests(found[0][1])):
            places = f"{found[0][0]} and {folder}"
            raise RecipeError(f"'{name}' is in {places}, but {changed} differs: remove or rename one of them")
    return found[0][1] if found else _find_elsewhere(name, top, named)


def _find_elsewhere(name: str, top: str, named: bool) -> Code:
    """The files of a module that this process has already, or that is on Python's path."""
    package = f"{top}/" if f"{top}/__init__.py" in _OWN.code else "/"  # no file begins with the latter
    loaded = {file for file in _OWN.code if f"{name}.".startswith(f"{_module_of(file)}.") or file.startswith(package)}
    if loaded:
        return {file: _OWN.code[file] for file in sorted(loaded)}
    if (root := _root(top)) is None:
        return {}
    if not {"site-packages", "dist-packages"} & set(root.parts):
        return _below(root, name)
    whole = _below(root, top) if named else {}
    listing = "".join(f"{digest}  {file}\n" for file, digest in digests(whole).items())
    return {f"{INSTALLED}{top}": Source(listing.encode(), str(root / top))} if whole else {}


def _below(folder: Path, name: str) -> Code:
    """The files of a module below a folder: its own, or those of the outermost package around it."""
    place = folder
    for part in name.split("."):
        if isfile(place / part / "__init__.py"):
            files = [file for file in sorted((place / part).rglob("*.py")) if _is_module(file.relative_to(place))]
        elif isfile(place / f"{part}.py"):
            files = [place / f"{part}.py"]
        else:
            place = place / part
            continue
        return {file.relative_to(folder).as_posix(): Source(_read(file), str(file)) for file in files}
    return {}


def _is_module(file: Path) -> bool:
    """Whether it can be imported; not so `.ipynb_checkpoints/net-checkpoint.py`."""
    return all(part.isidentifier() for part in file.with_suffix("").parts)


def _root(top: str) -> Path | None:
    """The folder on Python's path from which a module is imported that is in no package."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    return Path(places[0]).parent if places and places[0] else None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    except OSError as error:
        raise RecipeError(f"{file} cannot be read: {error.strerror}") from error


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


def _imported(file: str, text: bytes) -> Iterator[str]:
    """What the `import` statements of a file name, wherever they stand in it."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # whoever imports it will be told
    package = file.split("/")[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)


def pack(code: Mapping[str, Source]) -> bytes:
    """The files as a ZIP file, for `read_copy`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, source in sorted(code.items()):
            archive.writestr(file, source.text)
    return buffer.getvalue()


def read_copy(file: Path, wanted: Mapping[str, str]) -> Code:
    """The code that is kept with a run.

    Args:
        file: `code.zip` in the run folder.
        wanted: its `digests`, as the recipe of the run has them.

    Raises:
        TrainingError: if the file is missing, damaged or another one, or if an installed package has changed since.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            texts = {name: archive.read(name) for name in archive.namelist()}
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise TrainingError(f"{file}, the code that the run was trained with, cannot be read: {reason}") from error
    code = {name: Source(text, str(file.absolute() / name)) for name, text in texts.items()}
    if changed := unlike(code, wanted):
        raise TrainingError(f"{file} is not the code that the run was trained with ({changed}): restore the file")
    for name in (name for name in code if name.startswith(INSTALLED)):
        if unlike(_find(name.removeprefix(INSTALLED), (), named=True), {name: wanted[name]}):
            raise TrainingError(f"{name} is not the one that the run was trained with: install that version")
    return code


def load_code(code: Mapping[str, Source]) -> None:
    """Have this process import these files, whatever folder it is in.

    Raises:
        RecipeError: if it has another module of the same name, or an older content of the same file.
    """
    for file, source in code.items():
        other = _loaded(_module_of(file))
        if other and other.text != source.text:
            if other.path == source.path:
                raise RecipeError(f"{source.path} changed since this process imported it: start a new process")
            raise RecipeError(
                f"{source.path} differs from {other.path}, which this process has imported under the same name: use a"
                " command for each, or rename the file"
            )
    _OWN.code |= code
    _OWN.modules |= {_module_of(file): source for file, source in code.items()}
    if code and _OWN not in sys.meta_path:
        sys.meta_path.insert(0, _OWN)


def forget_code(code: Iterable[str]) -> None:
    """Undo `load_code` for what was not imported, so that it can be mended."""
    for file in code:
        if _module_of(file) not in sys.modules:
            _OWN.code.pop(file, None)
            _OWN.modules.pop(_module_of(file), None)


def loaded_code() -> Code:
    """All that `load_code` got in this process, for `load_code` in another one."""
    return dict(_OWN.code)


def code_behind(module: str) -> Code:
    """What `load_code` got of a module and of what it imports; nothing if the module is not among it."""
    return find_code([module], ()) if module in _OWN.modules else {}


def import_own(name: str) -> ModuleType:
    """Import a module: one that is loaded, one of the user's own in the current folder, or an installed one."""
    if not _loaded(name):
        load_code(find_code([name], [Path.cwd()]))
    return importlib.import_module(name)


def modules_of(code: Iterable[str]) -> set[str]:
    """The modules that some files are.

    Example:
        >>> sorted(modules_of(["my_package/__init__.py", "my_package/net.py"]))
        ['my_package', 'my_package.net']
    """
    return set(map(_module_of, code))


def line_of(error: BaseException) -> str:
    """The file and the line of the user's own code that raised an error, in words; empty if it did not."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    paths = {source.path for source in _OWN.code.values()}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in paths]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


def _module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _loaded(module: str) -> Source | None:
    """What this process has under the name of a module, imported or to be imported."""
    if module in _OWN.modules or module not in sys.modules:
        return _OWN.modules.get(module)
    path = getattr(sys.modules[module], "__file__", None) or "one of Python's own modules"
    return Source(_read(Path(path)) if path.endswith(".py") and Path(path).is_file() else b"", path)


class _OwnModules(MetaPathFinder, SourceLoader):  # type: ignore[misc]  # typeshed's bases disagree
    """Imports modules from memory; `modules` has their texts by name, `code` by file."""

    def __init__(self) -> None:
        self.code: Code = {}
        self.modules: dict[str, Source] = {}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Of a module, or of a folder without `__init__.py` around one."""
        if fullname in self.modules:
            return importlib.util.spec_from_file_location(fullname, self.modules[fullname].path, loader=self)
        folder = fullname.replace(".", "/")
        for file, source in self.code.items():
            if file.startswith(f"{folder}/"):
                spec = ModuleSpec(fullname, None, is_package=True)
                spec.submodule_search_locations = [source.path.removesuffix(file) + folder]
                return spec
        return None

    def get_filename(self, fullname: str) -> str:
        """Path of a module."""
        return self.modules[fullname].path

    def get_data(self, path: str) -> bytes:
        """The text of a module, or of another file beside it."""
        texts = {source.path: source.text for source in self.modules.values()}
        return texts[path] if path in texts else Path(path).read_bytes()


_OWN = _OwnModules()
