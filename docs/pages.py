"""The pages of the site: files of the repository, each at its own path, and the notebook as a page.

A hook of mkdocs, see mkdocs.yml.
"""

import json
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
SHOWN = (
    "*.md",
    "LICENSE",
    "CITATION.cff",
    "docs/*.md",
    "docs/*.png",
    "docs/results/*.png",
    "docs/results/*.csv",
    "config/*.yaml",
    "config/scales/*.yaml",
    "profiles/*/*.yaml",
)
NOTEBOOK, PAGE = "own_run.ipynb", "notebook.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the repository's files in place of those of ``docs``; the theme's stay."""
    for file in files.documentation_pages() + files.media_files():
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for path in sorted(path for pattern in SHOWN for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    notebook = render_notebook(ROOT / "docs" / NOTEBOOK)
    files.append(File.generated(config, f"docs/{PAGE}", content=notebook))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Let links to the notebook lead to its page."""
    return markdown.replace(f"{NOTEBOOK})", f"{PAGE})")


def render_notebook(path: Path) -> str:
    """Return a notebook as Markdown: text, code, and what it printed or drew when it was saved."""
    found = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        found.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", ()):
            data = {kind: "".join(lines) for kind, lines in output.get("data", {}).items()}
            printed = "".join(output.get("text", data.get("text/plain", "")))
            if "image/png" in data:
                found.append(f"![](data:image/png;base64,{data['image/png'].strip()})")
            elif printed:
                found.append(f"```text\n{printed.rstrip()}\n```")
    return "\n\n".join(found) + "\n"
