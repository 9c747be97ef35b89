"""What to know before an accuracy is believed: a network that tells nothing apart, classes that were not tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def notes_of(record: Mapping[str, Any]) -> dict[str, str]:
    """What is odd about a finished run, from the facts that its record holds.

    Args:
        record: of this version or an older one; facts that older ones lack are passed over.

    Returns:
        Kind of note -> sentence, empty for most runs. `one_class`: all test recordings got one class, though they are
        of several. `silent`: the last spiking nodes fired for no test recording. `untrained`, `untested`: classes that
        have recordings, but none of them in that part of the split.

    Example:
        >>> notes_of({"last": {"accuracy": 0.5, "one_class": "cup"}, "firing_rates": {"conv": 0.1, "head": 0.0}})
        {'one_class': "the network says 'cup' ...", 'silent': "the last spiking nodes ('head') never fire..."}
    """
    audit = record.get("audit", {})
    found = {
        "one_class": _one_class(record["last"].get("one_class")),
        "silent": _silent(record["firing_rates"]),
        "untrained": _left_out(audit.get("classes_without_training"), "trained on"),
        "untested": _left_out(audit.get("classes_without_test"), "tested"),
    }
    return {kind: sentence for kind, sentence in found.items() if sentence}


def _left_out(names: list[str] | None, what: str) -> str | None:
    if not names:
        return None
    shown = ", ".join(repr(name) for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    some = "class" if len(names) == 1 else "classes"
    return f"no recording of {some} {shown} was {what}: the accuracy does not stand for all classes"


def _one_class(name: str | None) -> str | None:
    if name is None:
        return None
    return f"the network says '{name}' to every test recording: it tells nothing apart, whatever its accuracy is"


def _silent(rates: Mapping[str, float]) -> str | None:
    """The rates are in the order in which the nodes take their turn."""
    last = list(rates)[-1:]
    if not last or rates[last[0]] > 0:
        return None
    return (
        f"the last spiking nodes ('{last[0]}') never fire, so nothing of a recording reaches the output through them:"
        " a lower model.threshold or another optim.lr may help"
    )
