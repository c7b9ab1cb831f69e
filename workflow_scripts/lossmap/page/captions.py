"""Captions of figures: reStructuredText to HTML, by docutils."""

from dataclasses import dataclass
from pathlib import Path

from docutils.core import publish_parts
from docutils.utils import Reporter

SETTINGS = {
    "report_level": Reporter.WARNING_LEVEL,
    "halt_level": Reporter.WARNING_LEVEL,
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "initial_header_level": 4,
}


@dataclass(frozen=True)
class Caption:
    """A title, and the rest as HTML."""

    title: str
    body: str = ""


def read_caption(path: str | Path) -> Caption:
    """Return the caption in a file: its first heading, and what follows."""
    text = Path(path).read_text(encoding="utf-8")
    parts = publish_parts(text, writer="html5", settings_overrides=SETTINGS)
    return Caption(parts["title"], parts["body"])
