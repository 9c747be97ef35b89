"""MkDocs hooks: generated reference, links that leave `docs/`, formulas.

A link in the repository is right where the file lies; on the site, `docs/` is the root, and most other files are not
there. So links between pages follow the site's paths, a link called `page.md` gets the page's title, and a link to a
file that the site does not have becomes its path.
"""

from __future__ import annotations

import importlib
import posixpath
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/results/*.md", "benchmarks/results/*.png")
"""Files outside `docs/` that the site has, too, at their own paths."""

GENERATED = re.compile(r"<!-- generated: (\w+) -->")
"""Stands in a page where `docs/generate/NAME.py` puts what its function `page` returns."""

LINK = re.compile(r"(?<!!)\[([^\]\[]*)\]\(([^)\s]+)\)(?:\{download\})?|!\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the files of `OUTSIDE`, and the notebooks' pages."""
    for path in sorted(path for pattern in OUTSIDE for path in ROOT.glob(pattern)):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        text, pictures = _part("notebooks").page_of(Path(str(notebook.abs_src_path)))
        files.append(File.generated(config, _page_uri(notebook.src_uri), content=text))
        for name, content in pictures.items():
            files.append(
                File.generated(config, posixpath.join(posixpath.dirname(notebook.src_uri), name), content=content)
            )
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Put in what is generated, and lead links from the repository's paths to the site's."""
    markdown = GENERATED.sub(lambda found: _part(found[1]).page(), markdown)
    here = PurePosixPath(_in_repository(page.file.src_uri))
    parts = FENCE.split(markdown)
    parts[::2] = [LINK.sub(lambda found: _link(found, here, files), text) for text in parts[::2]]
    return "".join(parts)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Turn TeX into MathML, which browsers show without a script; keep a number and its deviation on one line."""
    return FORMULA.sub(_formula, html).replace(" ± ", "&nbsp;±&nbsp;")


def _part(name: str) -> Any:
    """A module beside this one."""
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module(f"docs.generate.{name}")
    finally:
        sys.path.remove(str(ROOT))


def _page_uri(uri: str) -> str:
    """Where the page of a file is: a notebook's beside it, any other file's itself."""
    return uri.removesuffix(".ipynb") + ".md" if uri.endswith(".ipynb") else uri


def _in_repository(uri: str) -> str:
    """The path in the repository of a page of the site."""
    from_outside = (ROOT / uri).is_file() and any(PurePosixPath(uri).match(pattern) for pattern in OUTSIDE)
    return uri if from_outside else f"docs/{uri}"


def _link(found: re.Match[str], here: PurePosixPath, files: Files) -> str:
    text, target = (found[1], found[2]) if found[2] else (found[3], found[4])
    if re.match(r"[a-z]+:|#|/", target):
        return found[0]
    path, mark, anchor = target.partition("#")
    there = posixpath.normpath(here.parent.joinpath(path).as_posix())
    uri = there.removeprefix("docs/")
    uri = uri if found[0].endswith("{download}") else _page_uri(uri)
    if file := files.get_file_from_path(uri):
        start = here.parent.as_posix().removeprefix("docs").strip("/") or "."
        mended = found[0].replace(f"({target})", f"({posixpath.relpath(uri, start)}{mark}{anchor})")
        title = file.page and file.page.title
        return mended.replace(f"[{text}]", f"[{title}]") if title and text == Path(uri).name else mended
    if there.startswith("docs/") or not (ROOT / there).exists():
        return found[0]  # for MkDocs to warn of
    return f"`{there}`" if Path(there).name in text else f"{text} (`{there}`)"


def _formula(found: re.Match[str]) -> str:
    block = found[1] == "div"
    tex = found[2].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    maths = convert(tex, display="block" if block else "inline")
    return f'<div class="math-block">{maths}</div>' if block else maths
