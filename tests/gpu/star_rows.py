"""The ledger's rows of the star, from distance artifacts alone. Loads no torch."""

from pathlib import Path

import numpy as np

from lossmap.artifacts.distance import Cloud
from lossmap.artifacts.store import load
from lossmap.claims.bootstrap import bootstrap_difference
from lossmap.geometry.retraining import Return, measure_return

MINIMA = ("good", "bad")


def tabulate_star(folder: Path) -> dict:
    """Return the rows of the ledger's star from the distance artifacts alone.

    Jumps that only one of the two minima has do not count.
    """
    found: dict[str, dict[tuple[int, float], dict]] = {name: {} for name in MINIMA}
    for path in sorted((folder / "distance").glob("*-d*.h5")):
        name = path.stem.rpartition("-d")[0]
        cloud = load(path, Cloud)
        found[name] |= _describe_jumps(cloud, measure_return(cloud))
    both = sorted(found["good"].keys() & found["bad"].keys())
    if not both:
        return {}
    directions = sorted({direction for direction, _ in both})
    columns = ("return", "outward", "across", "train_loss")
    means = {
        name: {
            column: float(np.mean([found[name][key][column] for key in both])) for column in columns
        }
        for name in MINIMA
    }
    groups = (
        [np.mean([found[name][k]["return"] for k in both if k[0] == d]) for d in directions]
        for name in MINIMA
    )
    difference, low, high = bootstrap_difference(*([np.array(group)] for group in groups))
    return {
        "jumps": len(both),
        "directions": len(directions),
        "means": means,
        "return_difference": difference,
        "low": None if np.isnan(low) else low,
        "high": None if np.isnan(high) else high,
        "verdict": _judge(low, high, len(directions)),
        "cases": {
            name: [{"direction": d, "step_size": s, **found[name][d, s]} for d, s in both]
            for name in MINIMA
        },
    }


def _describe_jumps(cloud: Cloud, found: Return) -> dict[tuple[int, float], dict]:
    last = np.flatnonzero(np.diff(np.append(cloud.origins.trajectory, -2)) != 0)
    losses = cloud.origins.train_loss[last[cloud.origins.trajectory[last] >= 0]]
    return {
        (int(direction), float(size)): {
            "return": float(along[-1]),
            "outward": float(along.max()),
            "across": float(across[-1]),
            "train_loss": float(loss),
        }
        for direction, size, along, across, loss in zip(
            found.direction, found.step_size, found.along, found.across, losses, strict=True
        )
    }


def _judge(low: float, high: float, directions: int) -> str:
    """Say whether good minima pull retraining back further than bad ones: *along* ends lower."""
    if directions < 3:
        return f"not testable: {directions} of at least 3 directions"
    return "reproduced" if high < 0.0 else "not reproduced"
