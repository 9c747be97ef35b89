"""The arrays inside a pickle, found without loading it.

Loading a pickle runs whatever it names. Here its instructions are followed on plain lists, and calls are only written
down; those that would make numpy arrays of numbers are recognised afterwards. Nothing else is understood.
"""

import pickletools
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1")
STRINGS = ("BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "SHORT_BINSTRING")
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
RECONSTRUCT = ("numpy._core.multiarray _reconstruct", "numpy.core.multiarray _reconstruct")


@dataclass
class _Call:
    """A call that loading would make: what is called, and the state that is set on what it returns."""

    name: Any
    arguments: Any
    state: Any = None


@dataclass
class _Machine:
    """The stack and the memo of a pickle that is followed."""

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self, count: int) -> list[Any]:
        """Take the last `count` things off the stack."""
        if count > len(self.stack):
            raise ValueError("a pickle takes more than it has")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def marked(self) -> list[Any]:
        """Take everything above the last mark off the stack."""
        return self.pop(len(self.stack) - self.marks.pop())

    def step(self, code: str, value: Any) -> None:
        """Follow one instruction; a ValueError for one that no pickled dictionary of arrays needs."""
        if code in NUMBERS or code in STRINGS:
            self.stack.append(value)
        elif code == "BINSTRING":  # of Python 2: its long strings are the content of arrays, its short ones names
            self.stack.append(value.encode("latin1"))
        elif code in CONSTANTS:
            self.stack.append(CONSTANTS[code])
        elif code in TUPLES:
            self.stack.append(tuple(self.pop(TUPLES[code])))
        elif code in ("EMPTY_DICT", "EMPTY_LIST"):
            self.stack.append({} if code == "EMPTY_DICT" else [])
        elif code == "MARK":
            self.marks.append(len(self.stack))
        elif code == "TUPLE":
            self.stack.append(tuple(self.marked()))
        elif code in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            self.memo[len(self.memo) if value is None else value] = self.stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[value])
        elif code == "GLOBAL":
            self.stack.append(_Call(value, None))
        elif code == "STACK_GLOBAL":
            self.stack.append(_Call(" ".join(self.pop(2)), None))
        elif code == "REDUCE":
            called, arguments = self.pop(2)
            self.stack.append(_Call(called.name, arguments))
        elif code == "BUILD":
            (state,) = self.pop(1)
            self.stack[-1].state = state
        elif code in ("SETITEM", "SETITEMS"):
            items = self.pop(2) if code == "SETITEM" else self.marked()
            self.stack[-1].update({_text(key): item for key, item in zip(items[::2], items[1::2], strict=True)})
        elif code in ("APPEND", "APPENDS"):
            items = self.pop(1) if code == "APPEND" else self.marked()
            self.stack[-1].extend(items)
        elif code not in ("PROTO", "FRAME"):
            raise ValueError(f"its pickle holds more than arrays ({code})")


def unpickled(content: bytes | memoryview, most: int = 100_000) -> Any:
    """What a pickle of Python 2 (protocol 2) or 3 contains, with its calls written down instead of made.

    Args:
        content: the pickle.
        most: how many instructions to follow before it counts as damaged.

    Returns:
        Dictionaries, lists, tuples, texts, bytes and whole numbers; arrays are calls that `array_of` understands.

    Raises:
        ValueError: if there is anything else in it; damaged bytes may raise other exceptions.
    """
    machine = _Machine()
    for instruction, value, _ in islice(pickletools.genops(bytes(content)), most):
        if instruction.name == "STOP":
            break
        machine.step(instruction.name, value)
    (whole,) = machine.stack
    return whole


def array_of(call: Any) -> np.ndarray:
    """The array of numbers that a call in what `unpickled` returns would make.

    Raises:
        ValueError: if it would make anything else; damaged bytes may raise other exceptions.
    """
    _, shape, kind, fortran, content = array_state(call)
    if not isinstance(kind, _Call) or kind.name != "numpy dtype" or not re.fullmatch("[biuf][1-8]", kind.arguments[0]):
        raise ValueError("its pickle holds arrays of something else than numbers")
    dtype = np.dtype(kind.arguments[0]).newbyteorder(kind.state[1])
    return np.ndarray(shape, dtype=dtype, buffer=content, order="F" if fortran else "C")


def array_state(call: Any) -> tuple[Any, ...]:
    """The version, shape, type, order and content of the array that a call would make; a ValueError if of none."""
    if not isinstance(call, _Call) or call.name not in RECONSTRUCT:
        raise ValueError("its pickle holds more than arrays")
    return call.state


def _text(key: Any) -> str:
    """The key, refused if it is no text: nested ones can take for ever to hash."""
    if not isinstance(key, str):
        raise ValueError("its pickle has keys that are no text")
    return key
