"""Pages for people: one self-contained HTML file each, its style inside, nothing loaded.

Knows no artifact and no library; its callers bring words and rows. Text goes through `escape`.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["badge", "bullets", "escape", "format_number", "page", "table"]

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2128; background: #fff; margin: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 1.75rem 0 .5rem; }
p, ul { max-width: 50rem; }
table { border-collapse: collapse; }
th, td { border: 1px solid #d0d7de; padding: .4rem .6rem; text-align: left; vertical-align: top; }
thead th { background: #f3f5f7; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: .88em ui-monospace, monospace; white-space: nowrap; }
small { color: #57606a; }
summary { cursor: pointer; white-space: nowrap; }
td ul { margin: .3rem 0 0; padding-left: 1.1rem; overflow-wrap: anywhere; }
.badge { padding: .1rem .5rem; border-radius: 1rem; font-weight: 600; white-space: nowrap; }
.good { color: #0f5323; background: #d3f5dc; }
.bad { color: #82071e; background: #ffe1de; }
.neutral { color: #424a53; background: #e6eaef; }
"""


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole page; `body` is HTML, the title is text."""
    inside = "\n".join(body)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{inside}
</body>
</html>
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """Return a table; cells are HTML, the first of a row its header, `numbers` aligned right."""
    right = set(numbers)
    lines = ["<table>", "<thead><tr>"]
    lines += [f'<th scope="col">{escape(name)}</th>' for name in head]
    lines += ["</tr></thead>", "<tbody>"]
    for first, *rest in rows:
        lines.append(f'<tr><th scope="row">{first}</th>')
        lines += [
            f'<td class="number">{cell}</td>' if column in right else f"<td>{cell}</td>"
            for column, cell in enumerate(rest, 1)
        ]
        lines.append("</tr>")
    return "\n".join([*lines, "</tbody>", "</table>"])


def badge(text: str, tone: str) -> str:
    """Return a word on a colored ground; `tone` is ``good``, ``bad`` or ``neutral``."""
    return f'<span class="badge {tone}">{escape(text)}</span>'


def bullets(items: Iterable[str]) -> str:
    """Return a list of texts."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def format_number(value: float) -> str:
    """Return a number with four significant digits, in words where it is none."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.4g}".replace("-", "−")
