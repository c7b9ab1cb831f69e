"""Makes docs/results.md, and the verdicts in README.md, from what a run has found: make results.

With the folder of a run, first takes from it what the documents tell of: the ledger, the figures
and the digests of all these. Every number in the documents comes from there.
"""

import io
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from lossmap.artifacts.files import write_text
from lossmap.artifacts.store import digest_of
from lossmap.errors import LossmapError

DOCS = Path(__file__).parent
KEPT = DOCS / "results"
FIGURES = (
    "horoi2021_null",
    "horoi2021_fig2",
    "horoi2021_barriers",
    "ding2023_fig1",
    "ding2023_fig7",
    "ding2023_lines",
)
"""What is shown, in this order; README shows the first and `README_FIGURE`."""
README_FIGURE = "ding2023_fig7"
LARGEST, WIDEST = 200_000, 1600
"""Bytes and pixels of a figure's PNG."""
BEGIN, END = "<!-- made by docs/results.py -->", "<!-- end -->"


def collect(results: Path, kept: Path = KEPT) -> None:
    """Copy the ledger and the figures of a run, and the digests of the artifacts they are from.

    Raises
    ------
    LossmapError
        An artifact is missing or damaged, or a figure cannot be made small enough.
    """
    targets = ["claims/claims", *(f"figure/{name}" for name in FIGURES)]
    digests = {target: digest_of(results / f"{target}.h5") for target in targets}
    for name in ("claims.csv", "claims.numbers.csv"):
        write_text(kept / name, (results / "claims" / name).read_text(encoding="utf-8"))
    for name in FIGURES:
        (kept / f"{name}.png").write_bytes(shrink(results / "figure" / f"{name}.png"))
    source = {"scale": results.name, "artifacts": digests}
    write_text(kept / "source.json", json.dumps(source, indent=1) + "\n")


def shrink(path: Path) -> bytes:
    """Return a picture as a PNG of at most `LARGEST` bytes, with fewer colors, then fewer pixels.

    Raises
    ------
    LossmapError
        It is larger even at a third of the width.
    """
    with Image.open(path) as file:
        picture = file.convert("RGB")
    for width in range(min(WIDEST, picture.width), WIDEST // 3, -100):
        size = (width, round(picture.height * width / picture.width))
        smaller = picture.resize(size, Image.Resampling.LANCZOS)
        for colors in (256, 128, 64):
            data = io.BytesIO()
            smaller.quantize(colors, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
            if data.tell() <= LARGEST:
                return data.getvalue()
    raise LossmapError(f"{path}: expected a PNG of at most {LARGEST} bytes at {WIDEST // 3} pixels")


class Found:
    """What a run has found: its ledger, with our reading of each verdict.

    The readings are templates too: a number in them is `found.number(...)`, never written by hand.
    """

    def __init__(self, kept: Path = KEPT) -> None:
        self.source = json.loads((kept / "source.json").read_text(encoding="utf-8"))
        self.claims = pd.read_csv(kept / "claims.csv", keep_default_na=False).to_dict("records")
        self.numbers = pd.read_csv(kept / "claims.numbers.csv", keep_default_na=False)
        self.read = yaml.safe_load((kept / "readings.yaml").read_text(encoding="utf-8"))
        self._templates = Environment(undefined=StrictUndefined)
        self._check_readings()

    def _check_readings(self) -> None:
        """Refuse a reading of another verdict than the ledger's: it has to be written anew."""
        verdicts = {claim["id"]: claim["verdict"] for claim in self.claims}
        read = {name: reading["verdict"] for name, reading in self.read["claims"].items()}
        for name in sorted(verdicts.keys() | read.keys()):
            if verdicts.get(name) != read.get(name):
                raise LossmapError(
                    f"readings.yaml: {name} is read as '{read.get(name)}', but the ledger says "
                    f"'{verdicts.get(name)}'; write its reading anew"
                )

    def text(self, *keys: str) -> str:
        """Return one of the readings, with its numbers."""
        found = self.read
        for key in keys:
            found = found[key]
        paragraphs = self._templates.from_string(found).render(found=self).strip().split("\n\n")
        return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

    def value(self, name: str) -> str:
        """Return the number that decides a claim, with its range where there is one."""
        claim = next(claim for claim in self.claims if claim["id"] == name)
        value, low, high = (show(claim[key]) for key in ("value", "low", "high"))
        return value if "–" in (low, high) or low == high else f"{value} ({low} to {high})"

    def number(self, name: str, quantity: str, *cases: str) -> str:
        """Return a number behind a verdict: its mean over some cases, all of them by default."""
        return show(self._rows(name, quantity, cases).value.astype(float).mean())

    def span(self, name: str, quantity: str, *cases: str) -> str:
        """Return the least and the largest of some numbers behind a verdict."""
        values = self._rows(name, quantity, cases).value.astype(float)
        return _join(show(values.min()), show(values.max()))

    def percent_back(self, *cases: str) -> str:
        """Return by how many percent of the jump retraining comes back around some minima."""
        rows = self._rows("horoi-star", "along at the end", cases)
        back = 100.0 * (1.0 - rows.value.astype(float))
        return _join(f"{back.min():.1f}", f"{back.max():.1f}") + " %"

    def _rows(self, name: str, quantity: str, cases: Iterable[str]) -> pd.DataFrame:
        rows = self.numbers[(self.numbers.claim == name) & (self.numbers.quantity == quantity)]
        known = sorted(set(rows.case))
        if unknown := sorted(set(cases) - set(known)):
            raise LossmapError(f"{name}, {quantity}: no case {', '.join(unknown)} among {known}")
        if rows.empty:
            raise LossmapError(f"{name} has no number '{quantity}'")
        return rows[rows.case.isin(list(cases) or known)]


def _join(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def show(value: object) -> str:
    """Return a number with three digits, a dash where there is none."""
    if value == "" or pd.isna(number := float(value)):
        return "–"
    return f"{number:.3g}" if 1e-3 <= abs(number) < 1e4 or number == 0 else f"{number:.1e}"


def render(kept: Path = KEPT) -> Mapping[Path, str]:
    """Return the documents, by their paths."""
    found = Found(kept)
    options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    templates = Environment(loader=FileSystemLoader(kept), **options)
    templates.filters["show"] = show
    given = {"found": found, "figures": FIGURES, "readme_figure": README_FIGURE}
    readme = DOCS.parent / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    part = templates.get_template("readme.md.j2").render(given)
    return {
        DOCS / "results.md": templates.get_template("results.md.j2").render(given),
        readme: f"{before}{BEGIN}\n\n{part}\n\n{END}{after}",
    }


if __name__ == "__main__":
    try:
        for folder in sys.argv[1:]:
            collect(Path(folder))
        for path, text in render().items():
            write_text(path, text)
    except LossmapError as error:
        sys.exit(f"error: {error}")
