"""The claims of horoi2021, one function each: artifacts in, a row of the ledger out.

Curves in the full space of the weights are the evidence; an embedding is an illustration that has
to agree with them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lossmap.artifacts.distance import load_distance
from lossmap.artifacts.embedding import CONTINUITY, Embedding, load_embedding
from lossmap.artifacts.trajectory import History, load_history
from lossmap.claims.ledger import Claim, judge, list_cases, span
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
MAJORITY = 0.5
SHARE_GAP = 0.25
"""Shares of jumps that differ by less are called alike."""
MUCH_LARGER = 2.0
SIMILAR = 0.5
AGREE = 8 / 9
MIN_GAP, FITS = 0.05, 0.99
"""Half of the paper's ten points between good and bad; the accuracy of a network that memorizes."""


def measure_outward_share(retraining: Retraining) -> float:
    """Return the share of jumps whose retraining goes beyond `OUTWARD` times the jump."""
    return float(np.mean(retraining.outward > OUTWARD))


def _full_space(entries: Sequence[dict], sources: Sources) -> dict[str, Retraining]:
    names = [entry["cloud"] for entry in entries]
    return {n: measure_retraining(load_distance(sources[f"distance/{n}"])) for n in names}


def _describe_retraining(found: Mapping[str, Retraining]) -> str:
    return "; ".join(
        f"{name}: outward {r.outward.mean():.4g} (largest {r.outward.max():.4g}), goes outward "
        f"{measure_outward_share(r):.2f}, monotone {r.monotone.mean():.3g}, "
        f"cosine {r.cosine.mean():.4g}"
        for name, r in found.items()
    )


def claim_star(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether only good minima pull retraining straight back (§5.1, Fig. 2)."""
    good = _full_space(spec["good_clouds"], sources)
    bad = _full_space(spec["bad_clouds"], sources)
    pulled = [float(r.outward.mean()) for r in good.values()]
    pushed = [float(r.outward.mean()) for r in bad.values()]
    holds = max(pulled) <= OUTWARD < min(pushed)
    return Claim(
        "horoi-star",
        "Good minima pull retraining straight back; bad and memorization minima let it go outward "
        "first",
        "",
        "max over epochs of |theta - optimum| over its value at the jump, mean over jumps: "
        "smallest of the bad and memorization minima minus largest of the good",
        min(pushed) - max(pulled),
        min(pulled + pushed),
        max(pulled + pushed),
        _describe_retraining(good | bad),
        f"the mean is at most {OUTWARD} for every good minimum and above for every other",
        judge(holds, testable),
    )


def claim_continuity(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether PHATE keeps trajectories whole and t-SNE and UMAP shatter them (§1, §4)."""
    won, details = [], []
    for entry in spec["clouds"]:
        for metric, found in _by_metric(entry, sources).items():
            for rival in ("tsne", "umap"):
                won.append(compare_continuity(found["phate"], found[rival]))
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
        "PHATE is at least as good in every comparison",
        judge(low == 1.0, testable),
    )


def compare_continuity(ours: Embedding, rival: Embedding) -> dict[str, bool]:
    """Return, for each statistic, whether the first embedding is at least as continuous."""
    return {
        name: ours.continuity[name] >= rival.continuity[name]
        if name == "order"
        else ours.continuity[name] <= rival.continuity[name]
        for name in CONTINUITY
    }


def _by_metric(entry: dict, sources: Sources) -> dict[str, dict[str, Embedding]]:
    """Return the embeddings of a cloud by metric and method, where all three methods have one."""
    found: dict[str, dict[str, Embedding]] = {}
    for name, technique in entry["embeddings"].items():
        members = found.setdefault(technique["metric"], {})
        if technique["method"] not in members:  # the settings that differ have longer names
            members[technique["method"]] = load_embedding(sources[f"embedding/{name}"])
    wanted = {"phate", "tsne", "umap"}
    return {metric: members for metric, members in found.items() if wanted <= set(members)}


def _histories(entries: Sequence[dict], sources: Sources) -> dict[str, list[History]]:
    """Return the curves of runs by their label, in the order of the configuration."""
    found: dict[str, list[History]] = {}
    for entry in entries:
        history = load_history(sources[f"trajectory/{entry['run']}"])
        found.setdefault(entry["label"], []).append(history)
    return found


def claim_adam_norm(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether Adam's weights grow much larger than SGD's (§5.2, Fig. 9)."""
    norms = {
        label: np.array([history.theta_norm[-1] for history in found])
        for label, found in _histories(spec["runs"], sources).items()
    }
    adam = norms.pop("Adam")
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
        list_cases(["Adam", *norms], [float(v.mean()) for v in (adam, *norms.values())]),
        f"the ratio of the means is at least {MUCH_LARGER:g}",
        judge(float(ratios.mean()) >= MUCH_LARGER, testable),
    )


def claim_sgd_direction(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether SGD and SGD_M go in similar directions, SGD_M straighter (§5.2, Fig. 4a)."""
    (entry,) = spec["clouds"]
    cloud = load_distance(sources[f"distance/{entry['cloud']}"])
    cosines, detours = measure_net_cosines(cloud), measure_detours(cloud)
    labels = np.array([run["label"] for run in entry["runs"]])
    seeds = np.array([run["seed"] for run in entry["runs"]])
    plain, momentum = (np.flatnonzero(labels == label) for label in dict.fromkeys(labels))
    same = np.array([cosines[i, j] for i in plain for j in momentum if seeds[i] == seeds[j]])
    other = np.array([cosines[i, j] for i in plain for j in momentum if seeds[i] != seeds[j]])
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
            [labels[plain[0]], labels[momentum[0]]],
            [float(detours[plain].mean()), float(detours[momentum].mean())],
        ),
        f"the mean is at least {SIMILAR:g} and above every cosine of different seeds, and with "
        "momentum path length over net displacement is smaller",
        judge(same.mean() >= SIMILAR and same.min() > other.max() and bool(straighter), testable),
    )


def claim_adam_spread(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether final weights of Adam lie farther apart than the others' (§5.2, Fig. 4c)."""
    (entry,) = spec["clouds"]
    cloud = load_distance(sources[f"distance/{entry['cloud']}"])
    groups: dict[str, list[str]] = {}
    for run in entry["runs"]:
        groups.setdefault(run["label"], []).append(run["run"])
    spread = measure_final_spread(cloud, groups)
    others = max(value for label, value in spread.items() if label != "Adam")
    return Claim(
        "horoi-adam-spread",
        "Final weights reached by Adam from different seeds lie farther apart than the others'",
        "",
        "mean L2 distance between the final weights of different seeds: Adam over the larger of "
        "the others",
        spread["Adam"] / others,
        float("nan"),
        float("nan"),
        list_cases(list(spread), list(spread.values())),
        "the ratio is above 1",
        judge(spread["Adam"] > others, testable),
    )


def _embedded(name: str, sources: Sources) -> Retraining:
    found = load_embedding(sources[f"embedding/{name}"])
    return measure_embedded_retraining(found.points, found.origins)


def _picture(entry: dict) -> str:
    """Return the embedding that the paper shows: PHATE on centred cosines, the smallest knn."""
    shown = {
        name: technique["knn"]
        for name, technique in entry["embeddings"].items()
        if technique["method"] == "phate"
        and (technique["metric"], technique["cosine_space"]) == ("cosine", "centred")
    }
    return min(shown, key=shown.__getitem__)


def claim_null_control(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether the pictures tell a landscape from none (ours; NUMERICS of this project).

    Where random walks or a straight shrinking displacement give the picture of the cloud, the
    picture says nothing; where it disagrees with the curves in the full space, it misleads.
    """
    gaps, details = [], []
    for entry in spec["clouds"]:
        own = measure_outward_share(_embedded(_picture(entry), sources))
        nulls = {
            null["cloud"]: measure_outward_share(_embedded(_picture(null), sources))
            for null in spec["null_clouds"]
            if null["of"] == entry["cloud"]
        }
        (full,) = _full_space([entry], sources).values()
        truth = measure_outward_share(full)
        distance = min(abs(own - share) for share in nulls.values())
        gaps.append(distance if abs(own - truth) < SHARE_GAP else 0.0)
        details.append(
            f"{entry['cloud']}: embedded {own:.2f}, full space {truth:.2f}, "
            + list_cases(list(nulls), list(nulls.values()))
            + f", graph components {_components(entry, spec['null_clouds'], sources)}"
        )
    low, high = span(gaps)
    return Claim(
        "horoi-null-control",
        "(ours) The patterns of the embeddings say something about the landscape",
        "",
        "share of jumps drawn as outward first: smallest difference between a cloud and its null "
        "models, 0 where the picture disagrees with the full space",
        low,
        low,
        high,
        "; ".join(details),
        f"every cloud differs from both nulls by at least {SHARE_GAP:g} and from its own full "
        f"space by less than {SHARE_GAP:g}",
        judge(low >= SHARE_GAP, testable),
    )


def _components(entry: dict, nulls: Sequence[dict], sources: Sources) -> str:
    members = [entry, *(null for null in nulls if null["of"] == entry["cloud"])]
    found = [load_embedding(sources[f"embedding/{_picture(member)}"]) for member in members]
    return " / ".join(str(int(e.diagnostics["graph_components"])) for e in found)


def claim_robustness(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether the pattern belongs to the minimum or to a setting (§5.3)."""
    shares, details = [], []
    for entry in spec["clouds"]:
        (full,) = _full_space([entry], sources).values()
        truth = measure_outward_share(full) > MAJORITY
        settings = [n for n, t in entry["embeddings"].items() if t["method"] == "phate"]
        drawn = {name: measure_outward_share(_embedded(name, sources)) for name in settings}
        shares.append(float(np.mean([(share > MAJORITY) == truth for share in drawn.values()])))
        details.append(list_cases(list(drawn), list(drawn.values())))
    crossed = _describe_retraining(_full_space(spec["crossed_clouds"], sources))
    low, high = span(shares)
    return Claim(
        "horoi-robustness",
        "The pattern is a property of the minimum, not of a setting of the embedding",
        "",
        "share of settings of PHATE (cosine of centred or raw weights, euclidean; three knn) that "
        "draw most jumps as the full space has them, outward first or not; smallest over minima",
        low,
        low,
        high,
        f"share of jumps drawn outward first: {'; '.join(details)}; weight decay and augmentation "
        f"crossed: {crossed}",
        f"the share is at least {AGREE:.2f} for every minimum",
        judge(low >= AGREE, testable),
    )


def claim_accuracy(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure how much better good minima generalize, and the fit of random labels (§5.1)."""
    good, bad, random = (
        {e["run"]: load_history(sources[f"trajectory/{e['run']}"]) for e in spec[f"{kind}_runs"]}
        for kind in ("good", "bad", "memorization")
    )
    gaps = [
        float(better.test_accuracy[-1] - worse.test_accuracy[-1])
        for better, worse in zip(good.values(), bad.values(), strict=True)
    ]
    fitted = [float(history.train_accuracy[-1]) for history in random.values()]
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
        "smallest difference of test accuracy, good minus bad, over data sets and initialisations",
        low,
        low,
        high,
        details,
        f"every difference is at least {MIN_GAP:g} and random labels are fitted to at least "
        f"{FITS:g}",
        judge(low >= MIN_GAP and min(fitted) >= FITS, testable),
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
