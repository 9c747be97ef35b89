"""Which columns of a file are t, x, y and p. Plain Python, so that the process that reads HDF5 can run it, too."""

from collections.abc import Iterable, Sequence

NAMES = {
    "t": ("t", "ts", "time", "timestamp", "timestamps"),
    "x": ("x",),
    "y": ("y",),
    "p": ("p", "pol", "polarity", "on"),
}
"""What each column may be called."""


def choose(labels: Iterable[str]) -> dict[str, str] | None:
    """The labels of the columns t, x, y and p by their letter, or None where one of them is missing.

    The first of a column's `NAMES` that is there in lower case counts, whatever else is there in capitals: `t` beside
    `T`. Without one, the first that is there in any case counts.

    Raises:
        ValueError: listing the labels if the choice is not certain: one label twice, two that differ in case alone
            where neither is in lower case, or `x` beside `X` where there is only one `y`.

    Example:
        >>> choose(["T", "X", "y", "timestamps", "pol"])
        {'t': 'timestamps', 'x': 'X', 'y': 'y', 'p': 'pol'}
    """
    labels = list(labels)
    found = {letter: _named(labels, names) for letter, names in NAMES.items()}
    if not all(found.values()):
        return None
    spelled = {letter: [label for label in labels if label.lower() == letter] for letter in "xy"}
    rivals = [labels for labels in found.values() if len(labels) > 1]
    if not rivals and len(spelled["x"]) != len(spelled["y"]):
        rivals = [spelled["x"] + spelled["y"]]
    if rivals:
        raise ValueError(f"has columns {', '.join(rivals[0])}, so it is not certain which are meant: keep one of each")
    return {letter: labels[0] for letter, labels in found.items()}


def _named(labels: Sequence[str], names: Sequence[str]) -> list[str]:
    """The labels that go by the first of the names that is there: in lower case, else in any case."""
    for name in names:
        if name in labels:
            return [label for label in labels if label == name]
    for name in names:
        if found := [label for label in labels if label.lower() == name]:
            return found
    return []
