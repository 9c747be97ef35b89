"""What a recipe says about reconstructed frames, `data.reconstruction`, checked, with the file of weights found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...files import file_below, sha256_of
from ...registry import Registry
from ..types import Reconstruction

WHERE = (
    "E2VID_lightweight, about 41 MB, from rpg.ifi.uzh.ch, or firenet_1000 by the author's link in the README of the"
    " branch cedric/firenet of github.com/cedric-scheerlinck/rpg_e2vid; their code is under the GPL-3.0, for weights"
    " no licence is stated"
)

_RECONSTRUCTIONS = Registry("data.reconstruction")
_RECONSTRUCTIONS["e2vid"] = Reconstruction


def reconstruction_of(settings: Mapping[str, Any] | None, root: str | Path) -> Reconstruction | None:
    """The settings of a recipe with the file of weights that they lead to; None if there are none.

    Args:
        settings: keys of `Reconstruction`. `weights` is looked for as `files.file_below` does. `sha256` is found if it
            is not stated; if it is, the file's content is compared when frames are made.
        root: the folder of the data.

    Raises:
        RecipeError: for an unknown key (with the nearest one), or a wrong or missing value.
        DataError: if the file is not there, with where to get it.
    """
    if settings is None:
        return None
    how: Reconstruction = _RECONSTRUCTIONS.build("e2vid", **settings)
    if (file := file_below(how.weights, root)) is None:
        raise DataError(
            f"there is no file {how.weights} and none of that name in {root}: it is your file of E2VID weights"
            f" ({WHERE}), so put it there, or set 'data.reconstruction={{weights: FILE}}'"
        )
    return replace(how, weights=str(file), sha256=how.sha256 or sha256_of(file))
