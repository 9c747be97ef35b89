"""A griffe extension: the section `Example:` of our docstrings is one of examples, not a box of text."""

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Calls the section as griffe knows it."""

    def on_object(self, *, obj: Any, **kwargs: Any) -> None:
        """Rename the section before anything reads the docstring."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
