"""The shell scripts of `experiments/`, written out for those who installed the package without a checkout."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from ..errors import DataError
from ..files import shipped, written_whole

KINDS = "*.sh", "*.sbatch"


def write_scripts(folder: Path, overwrite: bool = False) -> list[Path]:
    """Write the scripts of the data sets and tables, what they source, and the example for Slurm to a folder.

    Args:
        folder: is made if missing.
        overwrite: whether files of these names that differ are replaced.

    Returns:
        The scripts' files, sorted, written now or the same already.

    Raises:
        DataError: if files of these names differ and may not be replaced (then none is written), or if the folder
            cannot be written.
    """
    sources = sorted(file for kind in KINDS for file in shipped("experiments").glob(kind))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pairs = [(file, folder / file.name) for file in sources if not _same(file, folder / file.name)]
    except OSError as error:
        raise DataError(f"{folder} cannot be used for the scripts ({error.strerror}): name another folder") from error
    changed = [target.name for _, target in pairs if target.exists()]
    if changed and not overwrite:
        raise DataError(
            f"{folder} has other files of these names: {', '.join(changed)}: name another folder, or replace them"
            " with --overwrite"
        )
    with written_whole(*(target for _, target in pairs)) as parts:
        for (source, _), part in zip(pairs, parts, strict=True):
            shutil.copyfile(source, part)
            part.chmod(0o755 if source.read_bytes().startswith(b"#!") else 0o644)
    return [folder / source.name for source in sources]


def _same(source: Path, target: Path) -> bool:
    return target.is_file() and target.read_bytes() == source.read_bytes()


def what_next(folder: Path) -> str:
    """What can be run next from a folder of scripts, as lines for a terminal."""
    name = shlex.quote(str(folder))
    lines = {
        f"bash {name}/quickstart.sh": "two networks on the embedded digits, no data needed",
        f"DATA=/path/to/data bash {name}/table1.sh": "Table 1 of the TMKT paper: trains what is missing",
        f"sbatch {name}/array.sbatch nmnist/tmkt": "a sweep on a Slurm cluster: edit the head of the file first",
    }
    width = max(map(len, lines))
    return "\n".join(f"  {command:{width}}  # {words}" for command, words in lines.items())
