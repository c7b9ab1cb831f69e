"""The claims of horoi2021, one function each: artifacts in, a row of the ledger out.

Curves in the full space of the weights are the evidence; an embedding is an illustration that has
to agree with them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from lossmap.artifacts.claims import Claim
from lossmap.artifacts.distance import Cloud
from lossmap.artifacts.embedding import CONTINUITY, Embedding
from lossmap.artifacts.store import load, load_part
from lossmap.artifacts.trajectory import History, Trajectory
from lossmap.claims.ledger import judge, list_cases, span
from lossmap.errors import LossmapError
from lossmap.geometry.distances import trajectory_rows
from lossmap.geometry.retraining import (
    Retraining,
    measure_detours,
    measure_embedded_retraining,
    measure_final_spread,
    measure_net_cosines,
    measure_retraining,
)

Sources = Mapping[str, Path]
OUTWARD = 1.01
"""A retraining goes outward if it comes farther from the optimum than 1.01 of its jump."""
BACK = 0.99
"""It comes back if it ends nearer to the optimum than 0.99 of its jump."""
PETAL = math.cos(math.pi / 4)
MAJORITY = 0.5
SHARE_GAP = 0.25
"""Shares of jumps that differ by less are called alike."""
MUCH_LARGER = 2.0
SIMILAR = 0.5
AGREE = 8 / 9
MIN_GAP, FITS = 0.05, 0.99
"""Half of the paper's ten points between good and bad; the accuracy of a network that memorizes."""
PLAIN, MOMENTUM, ADAM = "SGD", "SGD with momentum", "Adam"
"""The optimizers of section 5.2, as the specification calls them."""


def measure_outward_share(retraining: Retraining) -> float:
    """Return the share of jumps whose retraining goes beyond `OUTWARD` times the jump, or NaN."""
    outward = retraining.outward
    return float(np.where(np.isnan(outward), np.nan, outward > OUTWARD).mean())


def measure_petal_share(retraining: Retraining) -> float:
    """Return the share of jumps that are petals, or NaN.

    A petal does not go outward and stays within 45 degrees of its jump, in the mean over epochs.
    """
    outward, cosine = retraining.outward, retraining.cosine
    petals = (outward <= OUTWARD) & (cosine >= PETAL)
    return float(np.where(np.isnan(outward + cosine), np.nan, petals).mean())


def measure_remainders(cloud: Cloud) -> np.ndarray:
    """Return |last point - optimum| over |jump point - optimum| of each jump, float64 (jumps,)."""
    lengths = cloud.euclidean[int(cloud.origins.is_optimum.argmax())]
    paths = trajectory_rows(cloud.origins.trajectory)
    return np.array([lengths[rows[-1]] / lengths[rows[0]] for rows in paths])


def _clouds(entries: Sequence[dict], sources: Sources) -> dict[str, Cloud]:
    names = [entry["cloud"] for entry in entries]
    return {name: load(sources[f"distance/{name}"], Cloud) for name in names}


def _full_space(entries: Sequence[dict], sources: Sources) -> dict[str, Retraining]:
    return {name: measure_retraining(c) for name, c in _clouds(entries, sources).items()}


def _describe_retraining(found: Mapping[str, Retraining]) -> str:
    return "; ".join(
        f"{name}: outward {r.outward.mean():.4g} (largest {r.outward.max():.4g}), goes outward "
        f"{measure_outward_share(r):.2f}, monotone {r.monotone.mean():.3g}, "
        f"cosine {r.cosine.mean():.4g}"
        for name, r in found.items()
    )


def claim_star(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether only good minima pull retraining straight back (§5.1, Fig. 2)."""
    clouds = _clouds(spec["good_clouds"], sources)
    good = {name: measure_retraining(cloud) for name, cloud in clouds.items()}
    bad = _full_space(spec["bad_clouds"], sources)
    nearest, pulled = span(r.outward.mean() for r in good.values())
    pushed, farthest = span(r.outward.mean() for r in bad.values())
    left = {name: float(measure_remainders(cloud).mean()) for name, cloud in clouds.items()}
    _, most_left = span(left.values())
    low, high = span([nearest, pulled, pushed, farthest])
    return Claim(
        "horoi-star",
        "Good minima pull retraining straight back; bad and memorization minima let it go outward "
        "first",
        "",
        "max over epochs of |theta - optimum| over its value at the jump, mean over jumps: "
        "smallest of the bad and memorization minima minus largest of the good",
        pushed - pulled,
        low,
        high,
        f"{_describe_retraining(good | bad)}; left of the jump at the end: "
        + list_cases(list(left), list(left.values())),
        f"the mean is at most {OUTWARD} for every good minimum and above for every other, and "
        f"around every good minimum at most {BACK} of the jump is left at the end, in the mean",
        judge(pulled <= OUTWARD < pushed and most_left <= BACK, testable),
    )


def claim_continuity(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether PHATE keeps trajectories whole and t-SNE and UMAP shatter them (§1, §4)."""
    won, torn, details = [], [], []
    for entry in spec["clouds"]:
        for metric, found in _by_metric(entry, sources).items():
            for rival in ("tsne", "umap"):
                won.append(compare_continuity(found["phate"], found[rival]))
                torn.append(is_torn(found[rival], found["phate"]))
            lines = (
                f"{m} " + " ".join(f"{name} {e.continuity[name]:.3g}" for name in CONTINUITY)
                for m, e in found.items()
            )
            details.append(f"{entry['cloud']} {metric}: " + ", ".join(lines))
    shares = [float(np.mean(list(case.values()))) for case in won]
    low, high = span(shares)
    return Claim(
        "horoi-phate-continuity",
        "PHATE keeps trajectories whole; t-SNE and UMAP shatter them",
        "",
        "share of comparisons (share of long steps, longest gap, graph components, order along "
        "trajectories; against t-SNE and UMAP; each cloud and metric) in which PHATE is at least "
        "as good",
        float(np.mean(shares)),
        low,
        high,
        "; ".join(details),
        "PHATE is at least as good in every comparison, and each time better than t-SNE and than "
        "UMAP by one of the first three at least",
        judge(low == 1.0 and all(torn), testable),
    )


def compare_continuity(ours: Embedding, rival: Embedding) -> dict[str, bool]:
    """Return, for each statistic, whether the first embedding is at least as continuous."""
    return {
        name: ours.continuity[name] >= rival.continuity[name]
        if name == "order"
        else ours.continuity[name] <= rival.continuity[name]
        for name in CONTINUITY
    }


def is_torn(rival: Embedding, ours: Embedding) -> bool:
    """Tell whether the first embedding is more torn than the second by any measure of tearing."""
    return any(
        rival.continuity[name] > ours.continuity[name] for name in CONTINUITY if name != "order"
    )


def _by_metric(entry: dict, sources: Sources) -> dict[str, dict[str, Embedding]]:
    """Return the embeddings of a cloud by metric and method, where all three methods have one.

    Of several by one method the one that the paper shows: centered cosines, the smallest knn.
    """
    names: dict[str, dict[str, str]] = {}
    for name, technique in sorted(entry["embeddings"].items(), key=_rank):
        names.setdefault(technique["metric"], {}).setdefault(technique["method"], name)
    complete = {m: members for m, members in names.items() if set(members) >= _COMPARED}
    if not complete:
        raise LossmapError(
            f"cloud '{entry['cloud']}': expected embeddings by phate, tsne and umap of one metric, "
            f"got {', '.join(entry['embeddings']) or 'none'}; add them under clouds"
        )
    return {
        metric: {
            method: load(sources[f"embedding/{name}"], Embedding)
            for method, name in members.items()
        }
        for metric, members in complete.items()
    }


_COMPARED = {"phate", "tsne", "umap"}


def _rank(item: tuple[str, dict]) -> tuple[bool, float, str]:
    name, technique = item
    return technique.get("cosine_space") == "raw", technique.get("knn", 0), name


def _histories(entries: Sequence[dict], sources: Sources) -> dict[str, list[History]]:
    """Return the curves of runs by their label, in the order of the configuration."""
    found: dict[str, list[History]] = {}
    for entry in entries:
        history = load_part(sources[f"trajectory/{entry['run']}"], Trajectory, "history")
        found.setdefault(entry["label"], []).append(history)
    return found


def claim_adam_norm(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether Adam's weights grow much larger than SGD's (§5.2, Fig. 9)."""
    norms = {
        label: np.array([history.theta_norm[-1] for history in found])
        for label, found in _histories(spec["runs"], sources).items()
    }
    _require_labels(norms, [ADAM, PLAIN, MOMENTUM])
    adam = norms.pop(ADAM)
    largest = np.max([values.mean() for values in norms.values()])
    ratios = adam / largest
    return Claim(
        "horoi-adam-norm",
        "Adam's weights grow much larger than those of SGD and SGD with momentum",
        "",
        "L2 norm of the final weights: Adam over the larger of SGD's and SGD with momentum's mean",
        float(ratios.mean()),
        float(ratios.min()),
        float(ratios.max()),
        list_cases([ADAM, *norms], [float(v.mean()) for v in (adam, *norms.values())]),
        f"the ratio of the means is at least {MUCH_LARGER:g}",
        judge(float(ratios.mean()) >= MUCH_LARGER, testable),
    )


def claim_sgd_direction(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether SGD and SGD_M go in similar directions, SGD_M straighter (§5.2, Fig. 4a)."""
    (entry,) = spec["clouds"]
    cloud = load(sources[f"distance/{entry['cloud']}"], Cloud)
    cosines, detours = measure_net_cosines(cloud), measure_detours(cloud)
    labels = [run["label"] for run in entry["runs"]]
    seeds = [run["seed"] for run in entry["runs"]]
    _require_labels(labels, [PLAIN, MOMENTUM])
    plain, momentum = (
        [index for index, found in enumerate(labels) if found == label]
        for label in (PLAIN, MOMENTUM)
    )
    same = np.array([cosines[i, j] for i in plain for j in momentum if seeds[i] == seeds[j]])
    other = np.array([cosines[i, j] for i in plain for j in momentum if seeds[i] != seeds[j]])
    if not (len(same) and len(other)):
        raise LossmapError(
            f"cloud '{entry['cloud']}': expected runs of {PLAIN} and {MOMENTUM} from the same two "
            f"seeds or more, got seeds {', '.join(map(str, seeds))}; add runs to it"
        )
    straighter = detours[momentum].mean() < detours[plain].mean()
    return Claim(
        "horoi-sgd-direction",
        "SGD and SGD with momentum from one seed go in similar directions, the latter straighter",
        "",
        "cosine between the net displacements of SGD and SGD with momentum from one seed, mean "
        "over seeds",
        float(same.mean()),
        float(same.min()),
        float(same.max()),
        f"different seeds: {other.mean():.4g} ({other.min():.4g} to {other.max():.4g}); path "
        "length over net displacement: "
        + list_cases(
            [PLAIN, MOMENTUM],
            [float(detours[plain].mean()), float(detours[momentum].mean())],
        ),
        f"the mean is at least {SIMILAR:g} and above every cosine of different seeds, and with "
        "momentum path length over net displacement is smaller",
        judge(same.mean() >= SIMILAR and same.min() > other.max() and bool(straighter), testable),
    )


def _require_labels(found: Iterable[str], wanted: Sequence[str]) -> None:
    labels = list(dict.fromkeys(found))
    missing = [label for label in wanted if label not in labels]
    if missing:
        raise LossmapError(
            f"claims of section 5.2: no run is trained by {missing[0]}, only by "
            f"{', '.join(labels)}; name runs of every optimizer"
        )


def claim_adam_spread(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether final weights of Adam lie farther apart than the others' (§5.2, Fig. 4c)."""
    (entry,) = spec["clouds"]
    cloud = load(sources[f"distance/{entry['cloud']}"], Cloud)
    groups: dict[str, list[str]] = {}
    for run in entry["runs"]:
        groups.setdefault(run["label"], []).append(run["run"])
    _require_labels(groups, [ADAM, PLAIN, MOMENTUM])
    spread = measure_final_spread(cloud, groups)
    _, others = span(value for label, value in spread.items() if label != ADAM)
    return Claim(
        "horoi-adam-spread",
        "Final weights reached by Adam from different seeds lie farther apart than the others'",
        "",
        "mean L2 distance between the final weights of different seeds: Adam over the larger of "
        "the others",
        spread[ADAM] / others,
        float("nan"),
        float("nan"),
        list_cases(list(spread), list(spread.values())),
        "the ratio is above 1",
        judge(spread[ADAM] > others, testable),
    )


def _embedded(name: str, sources: Sources) -> Retraining:
    found = load(sources[f"embedding/{name}"], Embedding)
    return measure_embedded_retraining(found.points, found.origins)


def _picture(entry: dict) -> str:
    """Return the embedding that the paper shows: PHATE on centered cosines, the smallest knn."""
    shown = {
        name: technique["knn"]
        for name, technique in entry["embeddings"].items()
        if technique["method"] == "phate"
        and (technique["metric"], technique["cosine_space"]) == ("cosine", "centered")
    }
    if not shown:
        raise LossmapError(
            f"cloud '{entry['cloud']}': expected an embedding by phate of centered cosines, got "
            f"{', '.join(entry['embeddings']) or 'none'}; add phate-cosine under clouds"
        )
    return min(shown, key=shown.__getitem__)


def claim_null_control(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether the pictures tell a landscape from none (ours; NUMERICS of this project).

    Where random walks or a straight shrinking displacement give the picture of the cloud, the
    picture says nothing; where it disagrees with the curves in the full space, it misleads.
    """
    gaps, details = [], []
    for entry in spec["clouds"]:
        nulls = [null for null in spec["null_clouds"] if null["of"] == entry["cloud"]]
        if not nulls:
            raise LossmapError(
                f"cloud '{entry['cloud']}': expected a null model of it, got "
                f"{', '.join(null['cloud'] for null in spec['null_clouds'])}; add one to "
                "null_clouds of horoi-null-control"
            )
        (full,) = _full_space([entry], sources).values()
        shares = {
            m["cloud"]: _pattern_shares(_embedded(_picture(m), sources)) for m in (entry, *nulls)
        }
        shares["full space"] = _pattern_shares(full)
        gaps.append(measure_gap(*shares.values()))
        details.append(
            ", ".join(f"{name}: {out:.2f} / {petals:.2f}" for name, (out, petals) in shares.items())
            + f", graph components {_components([entry, *nulls], sources)}"
        )
    low, high = span(gaps)
    return Claim(
        "horoi-null-control",
        "(ours) The patterns of the embeddings say something about the landscape",
        "",
        "shares of jumps drawn as outward first and as petals: smallest difference, over clouds "
        "and their null models, of the one that differs more; 0 where the picture disagrees with "
        "the full space",
        low,
        low,
        high,
        f"outward first / petals: {'; '.join(details)}",
        f"every cloud differs from both nulls by at least {SHARE_GAP:g} in one share and from its "
        f"own full space by less than {SHARE_GAP:g} in both",
        judge(low >= SHARE_GAP, testable),
    )


def _pattern_shares(retraining: Retraining) -> np.ndarray:
    return np.array([measure_outward_share(retraining), measure_petal_share(retraining)])


def measure_gap(own: np.ndarray, *others: np.ndarray) -> float:
    """Return how far the shares of a picture are from those of its nulls, or 0, or NaN.

    Parameters
    ----------
    own : float64 (shares,)
    others : likewise, of the nulls and, the last, of the full space; 0 is returned where `own`
        differs from that by `SHARE_GAP` or more in any share
    """
    # Shares are fractions of few jumps: 0.35 - 0.1 is to be 0.25.
    *gaps, error = (np.round(np.abs(own - other).max(), 9) for other in others)
    low, _ = span([*gaps, error])
    if np.isnan(low):
        return low
    return span(gaps)[0] if error < SHARE_GAP else 0.0


def _components(members: Sequence[dict], sources: Sources) -> str:
    found = [load(sources[f"embedding/{_picture(member)}"], Embedding) for member in members]
    return " / ".join(str(e.diagnostics.get("graph_components", "unknown")) for e in found)


def claim_robustness(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether the pattern belongs to the minimum or to a setting (§5.3)."""
    shares, details = [], []
    for entry in spec["clouds"]:
        (full,) = _full_space([entry], sources).values()
        settings = [n for n, t in entry["embeddings"].items() if t["method"] == "phate"]
        if not settings:
            raise LossmapError(
                f"cloud '{entry['cloud']}': expected embeddings by phate, got "
                f"{', '.join(entry['embeddings']) or 'none'}; add them under clouds"
            )
        drawn = {name: measure_outward_share(_embedded(name, sources)) for name in settings}
        shares.append(measure_agreement(list(drawn.values()), measure_outward_share(full)))
        details.append(list_cases(list(drawn), list(drawn.values())))
    crossed = _describe_retraining(_full_space(spec["crossed_clouds"], sources))
    low, high = span(shares)
    return Claim(
        "horoi-robustness",
        "The pattern is a property of the minimum, not of a setting of the embedding",
        "",
        "share of settings of PHATE (cosine of centered or raw weights, euclidean; three knn) that "
        "draw most jumps as the full space has them, outward first or not; smallest over minima",
        low,
        low,
        high,
        f"share of jumps drawn outward first: {'; '.join(details)}; weight decay and augmentation "
        f"crossed: {crossed}",
        f"the share is at least {AGREE:.2f} for every minimum",
        judge(low >= AGREE, testable),
    )


def measure_agreement(drawn: Sequence[float], truth: float) -> float:
    """Return the share of settings on whose picture most jumps do what they do, or NaN."""
    shares = np.array(drawn)
    alike = (shares > MAJORITY) == (truth > MAJORITY)
    return float(np.where(np.isnan(shares + truth), np.nan, alike).mean())


def claim_accuracy(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure how much better good minima generalize, and the fit of random labels (§5.1)."""
    good, bad, random = (
        {
            e["run"]: load_part(sources[f"trajectory/{e['run']}"], Trajectory, "history")
            for e in spec[f"{kind}_runs"]
        }
        for kind in ("good", "bad", "memorization")
    )
    if len(good) != len(bad):
        raise LossmapError(
            f"horoi-accuracy: {len(good)} good_runs and {len(bad)} bad_runs, expected pairs from "
            "one data set and initialization; name as many of each"
        )
    gaps = [
        float(better.test_accuracy[-1] - worse.test_accuracy[-1])
        for better, worse in zip(good.values(), bad.values(), strict=True)
    ]
    fitted, _ = span(history.train_accuracy[-1] for history in random.values())
    low, high = span(gaps)
    details = "; ".join(
        f"{run}: test {h.test_accuracy[-1]:.3f}, train {h.train_accuracy[-1]:.3f}, training loss "
        f"{h.train_loss[-1]:.3g}"
        for run, h in (good | bad | random).items()
    )
    return Claim(
        "horoi-accuracy",
        "Weight decay and augmentation raise the test accuracy by about ten points; random labels "
        "are fitted",
        "CIFAR-10: good 0.95, bad 0.85; CIFAR-100: good 0.70, bad 0.60",
        "smallest difference of test accuracy, good minus bad, over data sets and initializations",
        low,
        low,
        high,
        details,
        f"every difference is at least {MIN_GAP:g} and random labels are fitted to at least "
        f"{FITS:g}",
        judge(low >= MIN_GAP and fitted >= FITS, testable),
    )


CLAIMS = {
    "horoi-star": claim_star,
    "horoi-phate-continuity": claim_continuity,
    "horoi-adam-norm": claim_adam_norm,
    "horoi-sgd-direction": claim_sgd_direction,
    "horoi-adam-spread": claim_adam_spread,
    "horoi-null-control": claim_null_control,
    "horoi-robustness": claim_robustness,
    "horoi-accuracy": claim_accuracy,
}
