"""Omniglot, the images of N-Omniglot: alphabets, characters, drawers; and the listing that both have in common."""

import re
from collections import Counter
from pathlib import Path

from ...errors import DataError
from .listing import class_files, first_folder, need_folder, subfolders

DRAWERS = tuple(f"{number:02d}" for number in range(1, 21))
STATIC_LAYOUTS = ("omniglot-py", ".", "omniglot/python")
"""torchvision's folder; that of the unpacked archives; a clone of the official repository."""

FULL_SETS = ("images_background", "images_evaluation")
SMALL_SETS = ("images_background_small1", "images_background_small2")


def characters_in(alphabet: Path) -> dict[str, Path]:
    """`<alphabet>/<character>` -> folder of all characters of an alphabet, sorted.

    A DataError names a folder that is no character's, or an alphabet without any.
    """
    found = subfolders(alphabet)
    for name, path in found.items():
        if not re.fullmatch(r"character[0-9]{2}", name):
            raise DataError(f"{path} is not a folder of a character (character01, ...): remove or rename it")
    if not found:
        raise DataError(f"{alphabet} holds no folders of characters: unpack the archive again, or remove the folder")
    return {f"{alphabet.name}/{name}": path for name, path in found.items()}


def drawer_files(folder: Path, suffix: str) -> dict[str, Path]:
    """Drawer -> file of one character, `NNNN_01` to `NNNN_20` with one number NNNN.

    Raises a DataError as `class_files` does, or naming the folder and the first file that is missing or too many.
    """
    files = class_files(folder, suffix)
    wanted = {f"{files[0].stem[:-3]}_{drawer}": drawer for drawer in DRAWERS}
    found = Counter(path.stem for path in files)
    wrong = sorted(name for name in found | wanted if found[name] != (name in wanted))
    if wrong:
        raise DataError(
            f"{folder} should hold one {suffix} file of each of the 20 drawers ({min(wanted)}{suffix} to"
            f" {max(wanted)}{suffix}), but {wrong[0]}{suffix} is missing or too many: unpack the archive again"
        )
    return {wanted[path.stem]: path for path in files}


def image_folders(static_root: Path, characters: dict[str, Path]) -> dict[str, Path]:
    """`<alphabet>/<character>` -> folder of its images, for all alphabets that occur in `characters`.

    `static_root` has Omniglot in one of `STATIC_LAYOUTS`; `characters` are the folders of recordings.

    Raises:
        DataError: if there is no Omniglot, or naming an alphabet without images or the first character that only one of
            recordings and images has.
    """
    sets = [f"{layout}/{name}" for layout in STATIC_LAYOUTS for name in FULL_SETS + SMALL_SETS]
    places = tuple(f"{layout}/{FULL_SETS[0]}" for layout in STATIC_LAYOUTS)
    there = first_folder(static_root, sets)
    root = (there or need_folder(static_root, places, "the images of Omniglot", "nomniglot")).parent
    alphabets = _alphabets(root)
    found: dict[str, Path] = {}
    for alphabet in sorted({name.partition("/")[0] for name in characters}):
        if alphabet not in alphabets:
            raise DataError(
                f"{root} has no images of {alphabet}, though there are recordings of that alphabet: unpack all of"
                " Omniglot, or correct the name"
            )
        found |= characters_in(alphabets[alphabet])
    for name in sorted(characters.keys() ^ found.keys()):
        has, lacks = ("recordings", "images") if name in characters else ("images", "recordings")
        place = characters.get(name) or found[name]
        raise DataError(f"{name} has {has} in {place}, but no {lacks}: unpack both archives again, or correct the name")
    return found


def _alphabets(root: Path) -> dict[str, Path]:
    """Alphabet -> folder of its images; the small sets repeat some of the background, and only fill in for it."""
    found: dict[str, Path] = {}
    for name in FULL_SETS + SMALL_SETS:
        for alphabet, path in subfolders(root / name).items() if (root / name).is_dir() else ():
            if alphabet in found and name in FULL_SETS:
                raise DataError(f"{found[alphabet]} and {path} are the same alphabet: remove one of them")
            found.setdefault(alphabet, path)
    return found
