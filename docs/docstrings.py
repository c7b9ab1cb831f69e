"""Reads a parameter's line ``name : what it is`` of our docstrings as a name and its meaning.

An extension of griffe, see mkdocs.yml. numpydoc would take the words for the type, which here is
in the signature.
"""

import re

from griffe import Docstring, Extension, Object

SECTION = re.compile(r"((?:Other )?Parameters|Attributes)\n-+\n(.*?)(?=\n\n\S|\Z)", re.DOTALL)
ENTRY = re.compile(r"^(\w+(?:, \w+)*) : (.*)$", re.MULTILINE)


class MeaningBelow(Extension):
    """Puts the words after the colon onto a line of their own."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Rewrite the docstring of an object that was loaded."""
        if obj.docstring:
            text = SECTION.sub(
                lambda section: ENTRY.sub(r"\1\n    \2", section[0]), obj.docstring.value
            )
            obj.docstring = Docstring(text, lineno=obj.docstring.lineno, parent=obj)
