"""`make gpu-evidence`: the star and the ring at nearly the paper's size, within a budget.

Goes on where an earlier call with the same --state stopped. Writes evidence.json, evidence.md and
the distance artifacts, in files below 16 MB, into the folder of --out. Needs PyTorch, NumPy, h5py
and filelock. --device cpu --tiny shows without a GPU that everything runs.
"""

import argparse
import json
import sys
import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from check import describe_card
from star_rows import tabulate_star
from timebox import Part, Records, run_parts, supervise, write_text

PARTS = ("card", "star minima", "star retraining", "ding2023", "ding2023 fitting error")
MINIMA_SHARE, STAR_SHARE = 0.35, 0.75
"""Shares of the budget: the minima are trained in the first, retraining ends at the second."""
MOST_BYTES = 15_000_000


def bind_parts(given: argparse.Namespace) -> dict[str, Part]:
    """Return every part with what it calls."""
    calls: dict[str, Callable[[], dict]] = dict.fromkeys(PARTS, dict)
    if given.parts:
        calls = _bind_calls(given)
    chosen = [name for name in PARTS if name.split()[0] in ("card", *given.only.split(","))]
    return {name: Part(calls[name], least=5, most=given.budget) for name in chosen}


def _bind_calls(given: argparse.Namespace) -> dict[str, Callable[[], dict]]:
    import logging

    from materials import Results
    from star import Star

    from ring import Ding

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    results = Results(given.state, given.device)
    images = _load_images(results, given)
    star = Star(results, images, given.precision)
    ding = Ding(results, images, given.precision)
    if given.tiny:
        star = Star(results, images, given.precision, "resnet20", 0.125, 20, 2, 20)
        ding = Ding(results, images, given.precision, 0.125, 20, 40, 20, 10)
    both = "star" in given.only and "ding2023" in given.only
    waiting = both and not results.path("projection", "ding-pca").exists()
    star_end = given.end - (1 - STAR_SHARE) * given.budget * waiting
    return {
        "card": lambda: describe_card(given.device) | _describe_images(results, images),
        "star minima": partial(star.train_minima, MINIMA_SHARE * given.budget),
        "star retraining": partial(star.retrain, star_end, given.directions),
        "ding2023": partial(ding.make, given.end),
        "ding2023 fitting error": ding.measure_fitting_errors,
    }


def _load_images(results, given: argparse.Namespace) -> Path:
    """Return the images as the artifact `dataset`, made of the file once."""
    from materials import draw_dataset

    from lossmap.network.loaders.hdf5 import load_hdf5

    path = results.path("dataset", "images")
    if not path.exists():
        tiny = given.tiny and given.data is None
        drawn = draw_dataset(60, 20, size=8) if tiny else load_hdf5(given.data, None, None)
        results.dataset(drawn)
    return path


def _describe_images(results, images: Path) -> dict:
    import h5py

    with h5py.File(images) as file:
        return {"train_images": len(file["train/labels"]), "test_images": len(file["test/labels"])}


def write_report(records: Records, started: float, given: argparse.Namespace) -> None:
    """Write evidence.json and evidence.md from what is known so far."""
    known = records.read()
    found = {name: line["found"] for name, line in known.items() if "found" in line}
    reasons = {name: line["reason"] for name, line in known.items() if "reason" in line}
    result = {
        "budget": given.budget,
        "seconds": round(time.time() - started, 1),
        "tiny": given.tiny,
        **found,
        "reasons": reasons,
        "star": tabulate_star(given.state),
    }
    write_text(given.out / "evidence.json", json.dumps(result, indent=1) + "\n")
    write_text(given.out / "evidence.md", render(result))


def render(result: dict) -> str:
    """Return the results as Markdown."""
    card, minima = result.get("card", {}), result.get("star minima", {})
    lines = ["# Evidence from a GPU", "", ", ".join(f"{k}: {v}" for k, v in card.items())]
    lines += ["", f"{result['seconds']:.0f} of {result['budget']:.0f} seconds."]
    lines += ["", "Tiny sizes: these numbers mean nothing."] if result["tiny"] else []
    if minima:
        lines += ["", f"## Star: {minima['epochs']} epochs of training, {minima['precision']}", ""]
        lines += ["| minimum | train loss | train accuracy | test accuracy | norm |"]
        lines += ["| --- " * 5 + "|"]
        lines += [_minimum_row(name, minima[name]) for name in ("good", "bad")]
    lines += _star_lines(result["star"])
    lines += _ding_lines(result["ding2023"]) if "ding2023" in result else []
    errors = result.get("ding2023 fitting error")
    lines += _fitting_lines(errors) if errors else []
    lines += ["", *(f"- {name}: {reason}" for name, reason in result["reasons"].items())]
    return "\n".join(lines) + "\n"


def _minimum_row(name: str, found: dict) -> str:
    cells = f"{found['train_loss']:.5f} | {found['train_accuracy']:.4f}"
    return f"| {name} | {cells} | {found['test_accuracy']:.4f} | {found['theta_norm']:.2f} |"


def _star_lines(star: dict) -> list[str]:
    if not star:
        return []
    low, high = star["low"], star["high"]
    interval = "one direction" if low is None else f"{low:.4f} … {high:.4f}"
    lines = ["", f"{star['jumps']} jumps from each minimum in {star['directions']} directions.", ""]
    lines += ["| minimum | return | outward | across | train loss |", "| --- " * 5 + "|"]
    for name, means in star["means"].items():
        cells = [means[column] for column in ("return", "outward", "across", "train_loss")]
        lines += [f"| {name} | {' | '.join(f'{cell:.4f}' for cell in cells)} |"]
    value = f"{star['return_difference']:.4f} ({interval})"
    return [*lines, "", f"Return, good minus bad: {value}: {star['verdict']}."]


def _ding_lines(ding: dict) -> list[str]:
    lines = ["", f"## ding2023, ResNet20: {ding['epochs']} epochs, {ding['precision']}", ""]
    lines += [
        f"Train loss {ding['train_loss']:.4f}, test accuracy {ding['test_accuracy']:.4f}.",
        "",
    ]
    lines += ["| center | FN below | PCA below | cosine | loss here | loss at projected end |"]
    lines += ["| --- " * 6 + "|"]
    for center in ding["centers"]:
        shares = " ".join(f"{ring['share']:.3g}" for ring in center["fn"])
        way = center.get("direction")
        cells = ["–", f"{center['pca'][0]['center']:.4f}", "–"]
        if way:
            numbers = way["cosine"], way["center"], way["loss_at_projected_end"]
            cells = [f"{number:.4f}" for number in numbers]
        row = [str(center["epoch"]), shares, f"{center['pca'][0]['share']:.3g}", *cells]
        lines += [f"| {' | '.join(row)} |"]
    return lines


def _fitting_lines(errors: dict) -> list[str]:
    fn = " ".join(f"{error:.4g}" for error in errors["fn"])
    ratio = f"Fitting Error: FN {fn}, PCA {errors['pca'][0]:.4g}, ratio {errors['ratio']:.4g}."
    return ["", ratio]


def pack_distances(state: Path, out: Path) -> None:
    """Put the distance artifacts into compressed files of less than 16 MB."""
    for old in out.glob("distances-*.tar.gz"):
        old.unlink()
    groups: list[list[Path]] = [[]]
    for path in sorted((state / "distance").glob("*.h5")):
        size = sum(found.stat().st_size for found in groups[-1])
        if groups[-1] and size + path.stat().st_size > MOST_BYTES:
            groups.append([])
        groups[-1].append(path)
    for number, group in enumerate(filter(None, groups)):
        with tarfile.open(out / f"distances-{number}.tar.gz", "w:gz", compresslevel=1) as tar:
            for path in group:
                tar.add(path, f"distance/{path.name}")


def main() -> None:
    """Run all parts within the budget, or some of them as the supervised process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=480.0, help="seconds, all in all")
    parser.add_argument("--out", type=Path, default=Path("results/gpu/evidence"))
    parser.add_argument("--state", type=Path, default=Path("results/gpu/state"))
    parser.add_argument("--data", type=Path, help="file with images, see make gpu-data")
    parser.add_argument("--precision", choices=["float32", "tf32", "bf16"], default="float32")
    parser.add_argument("--only", default="star,ding2023", help="star or ding2023 alone")
    parser.add_argument("--directions", type=int, default=100, help="at most so many")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes for a CPU")
    parser.add_argument("--parts", help=argparse.SUPPRESS)
    parser.add_argument("--end", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.data is None and not given.tiny:
        parser.error("--data is needed: a file of images, see make gpu-data")
    started = time.time()
    for folder in (given.out, given.state):
        folder.mkdir(parents=True, exist_ok=True)
    records = Records(given.out / "records.jsonl")
    parts = bind_parts(given)
    if given.parts:
        run_parts(parts, given.parts.split(","), records, given.end)
        return
    records.path.unlink(missing_ok=True)
    command = [sys.executable, __file__, *sys.argv[1:]]
    end = started + given.budget - 5  # packing takes seconds
    supervise(command, parts, records, end, partial(write_report, records, started, given))
    pack_distances(given.state, given.out)
    print((given.out / "evidence.md").read_text())


if __name__ == "__main__":
    main()
