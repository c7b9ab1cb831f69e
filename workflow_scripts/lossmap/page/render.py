"""The page of a scale: one HTML file that needs nothing else, from what `collect` gathered."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from lossmap.artifacts.claims import load_claims
from lossmap.artifacts.files import write_text
from lossmap.artifacts.store import installed_versions
from lossmap.claims.page import TONES, describe_numbers
from lossmap.page.collect import (
    collect_curves,
    collect_embedding,
    collect_item,
    collect_landscape,
    collect_lines,
    embed,
    tabulate_artifacts,
    tabulate_times,
)
from lossmap.page.seal import seal_page
from lossmap.pages import format_number


def render_index(results: Path, plan: Mapping, captions: Mapping[str, Path]) -> str:
    """Return the page.

    Parameters
    ----------
    results : folder of the scale's artifacts
    plan : what it shows, see `lossmap.workflow.page.page_plan`
    captions : files of the captions, by the name of what they describe

    Raises
    ------
    LossmapError
        An artifact is missing or damaged.
    """
    environment = Environment(
        loader=PackageLoader("lossmap.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": format_number,
        "numbers": describe_numbers,
        "table": to_html,
    }
    papers = [
        paper | {"items": [collect_item(results, target, captions) for target in paper["targets"]]}
        for paper in plan["papers"]
    ]
    views = {
        "landscapes": [collect_landscape(results, each) for each in plan["landscapes"]],
        "lines": [collect_lines(results, *each) for each in plan["lines"].items()],
        "embeddings": [collect_embedding(results, each) for each in plan["embeddings"]],
        "curves": [collect_curves(results, *each) for each in plan["runs"].items()],
    }
    ledger = results / f"{plan['ledger']}.h5" if plan["ledger"] else None
    artifacts = tabulate_artifacts(results, plan["artifacts"])
    text = environment.get_template("index.html").render(
        plan=plan,
        papers=papers,
        views=views,
        claims=load_claims(ledger) if ledger else [],
        ledger=embed(ledger.with_suffix(".csv")) if ledger else None,
        tones=TONES,
        times=tabulate_times(results),
        artifacts=artifacts,
        libraries=installed_versions(),
        plotly=get_plotlyjs(),
    )
    return seal_page(f"{text}\n", artifacts.set_index("artifact")["content"].to_dict())


def save_index(path: str | Path, plan: Mapping, captions: Mapping[str, Path]) -> None:
    """Write the page beside the artifacts' folders; raises LossmapError as `render_index` does."""
    write_text(path, render_index(Path(path).parent, plan, captions))


def to_html(frame: pd.DataFrame) -> str:
    """Return a table as HTML, missing values empty."""
    return frame.to_html(index=False, border=0, na_rep="")
