"""Notebooks as pages of the site: their cells become Markdown, their pictures files."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def page_of(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """The Markdown of a notebook, and its pictures by the names that the Markdown has."""
    pictures: dict[str, bytes] = {}
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    parts = [part for cell in cells for part in _cell(cell, notebook.stem, pictures)]
    title, _, rest = "\n\n".join(parts).partition("\n")
    return f"{title}\n\n[Download this notebook]({notebook.name}){{download}}\n{rest}\n", pictures


def _cell(cell: dict[str, Any], name: str, pictures: dict[str, bytes]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
    elif source.strip():
        yield f"```python\n{source}\n```"
        said = ""
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                file = f"{name}-{len(pictures) + 1}.png"
                pictures[file] = base64.b64decode("".join(data["image/png"]))
                yield from _said(said)
                yield f"![output of the cell above]({file})"
                said = ""
            else:
                said += "".join(output.get("text") or data.get("text/plain") or [])
        yield from _said(said)


def _said(text: str) -> Iterator[str]:
    text = re.sub(
        r"[^\n]*\r(?!\n)", "", COLOURS.sub("", text)
    ).strip()  # of a line that was written again, its last state
    if text:
        yield f"```text\n{text}\n```"
