"""What `tmkt doctor` tells: versions, devices, and what BrainCog did to timm's registry."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import torch
from timm.models import list_models, model_entrypoint

from .about import versions


def report() -> Iterator[str]:
    """Yield the lines of the report."""
    for package, found in versions().items():
        yield f"{package:18} {found or '-'}"
    yield f"{'CPU threads':18} {torch.get_num_threads()}"
    count = torch.cuda.device_count()
    yield f"{'GPUs':18} {', '.join(torch.cuda.get_device_name(number) for number in range(count)) or 'none'}"
    yield ""
    taken = replaced_by_braincog()
    yield f"BrainCog replaces {len(taken)} of timm's models when it is imported: {', '.join(taken)}."
    yield "Its own scripts rely on that, so it stays; this project builds by the names tmkt_* and hsd_* only, and"
    yield "imports BrainCog when the first one is built. Use timm's own of these models in a process that builds none."


def replaced_by_braincog() -> list[str]:
    """Names that mean another model in timm's registry once BrainCog is imported; imports it."""
    before = {name: model_entrypoint(name) for name in list_models()}
    importlib.import_module("braincog_tmkt.integration")
    return sorted(name for name, entry in before.items() if model_entrypoint(name) is not entry)
