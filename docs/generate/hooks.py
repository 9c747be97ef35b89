"""MkDocs hooks: generated reference, links that leave `docs/`, formulas.

A link in the repository is right where the file lies; on the site, `docs/` is the root, and most other files are not
there. So links between pages follow the site's paths, and a link to a file that the site does not have becomes its
path.
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

LINK = re.compile(r"(?<!!)\[([^\]\[]*)\]\(([^)\s]+)\)|!\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the files of `OUTSIDE`."""
    for path in sorted(path for pattern in OUTSIDE for path in ROOT.glob(pattern)):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Put in what is generated, and lead links from the repository's paths to the site's."""
    markdown = GENERATED.sub(lambda found: _generated(found[1]), markdown)
    here = PurePosixPath(_in_repository(page.file.src_uri))
    known = set(files.src_uris)
    parts = FENCE.split(markdown)
    parts[::2] = [LINK.sub(lambda found: _link(found, here, known), text) for text in parts[::2]]
    return "".join(parts)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Turn TeX into MathML, which browsers show without a script."""
    return FORMULA.sub(_formula, html)


def _generated(name: str) -> str:
    sys.path.insert(0, str(ROOT))
    try:
        return str(importlib.import_module(f"docs.generate.{name}").page())
    finally:
        sys.path.remove(str(ROOT))


def _in_repository(uri: str) -> str:
    """The path in the repository of a page of the site."""
    return (
        uri
        if any(PurePosixPath(uri).match(pattern) and (ROOT / uri).is_file() for pattern in OUTSIDE)
        else f"docs/{uri}"
    )


def _link(found: re.Match[str], here: PurePosixPath, known: set[str]) -> str:
    text, target = (found[1], found[2]) if found[2] else (found[3], found[4])
    if re.match(r"[a-z]+:|#|/", target):
        return found[0]
    path, mark, anchor = target.partition("#")
    there = posixpath.normpath(here.parent.joinpath(path).as_posix())
    uri = there.removeprefix("docs/")
    if uri in known or f"{uri}/index.md" in known:
        start = here.parent.as_posix().removeprefix("docs").strip("/") or "."
        return found[0].replace(target, posixpath.relpath(uri, start) + mark + anchor)
    if there.startswith("docs/") or not (ROOT / there).exists():
        return found[0]  # for MkDocs to warn of
    return f"`{there}`" if Path(there).name in text else f"{text} (`{there}`)"


def _formula(found: re.Match[str]) -> str:
    block = found[1] == "div"
    tex = found[2].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    maths = convert(tex, display="block" if block else "inline")
    return f'<div class="math-block">{maths}</div>' if block else maths
