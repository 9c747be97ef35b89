"""Make a folder of recordings as a lab has them: four formats, each with a habit of its own.

    python docs/examples/mixed_folder.py mine

The recordings are those of the embedded digits, so nothing has to be downloaded.
docs/how-to/your-recordings.md reads them.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from braincog_tmkt.data.readers.aedat import write_cifar10dvs
from braincog_tmkt.data.sets import build_dataset

CLASSES, EACH = ("0", "4", "7"), 8


def text(path: Path, x, y, t, p) -> None:
    """Lines of x, y, time in milliseconds, polarity 1 or -1; no line names the columns."""
    np.savetxt(path, np.column_stack([x, y, t / 1000, 2 * p - 1]), fmt=["%d", "%d", "%.3f", "%d"], delimiter=",")


def matlab(path: Path, x, y, t, p) -> None:
    """As an ATIS saves them: changes (TD), and exposure measurements (EM), which look like events."""
    exposures = {"x": x[::2], "y": y[::2], "p": p[::2], "ts": t[::2]}
    savemat(path, {"EM": exposures, "TD": {"x": x, "y": y, "p": p, "ts": t}})


def numpy(path: Path, x, y, t, p) -> None:
    """A matrix `[N, 4]`; the order of its columns is nowhere written."""
    np.save(path, np.column_stack([x, y, p, t]))


def jaer(path: Path, x, y, t, p) -> None:
    """AER-DAT 2.0 of a DVS128 that was mounted on its side."""
    events = np.rec.fromarrays([t, x, y, p > 0], dtype=[("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?")])
    write_cifar10dvs(path, events)


WRITERS = {".csv": text, ".mat": matlab, ".npy": numpy, ".aedat": jaer}


def main(root: Path) -> None:
    """Write three classes of recordings and their images into `root`."""
    digits = build_dataset("digits", ".")
    index = digits.index()
    images = {item.key: item for item in index.statics}
    for name in CLASSES:
        items = [item for item in index.recordings if item.class_name == name][:EACH]
        for number, item in enumerate(items):
            events = digits.events(item)
            suffix = list(WRITERS)[number % len(WRITERS)]
            place = root / "events" / name / f"take{number}{suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            WRITERS[suffix](place, *(events[letter].astype(np.int64) for letter in "xytp"))
            picture = root / "static" / name / f"take{number}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(digits.image(images[item.key], 34)).save(picture)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
