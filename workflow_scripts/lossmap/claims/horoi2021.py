"""The claims of horoi2021, one function each.

Curves in the full space of the weights are the evidence; an embedding is an illustration that has
to agree with them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lossmap.artifacts.embedding import CONTINUITY, Embedding
from lossmap.claims.bootstrap import bootstrap_difference, bootstrap_mean
from lossmap.claims.cases import CloudCase, EmbeddingCase, RunCase
from lossmap.claims.declare import Clouds, Measured, Runs, claim
from lossmap.claims.ledger import list_cases, span
from lossmap.errors import LossmapError
from lossmap.geometry.retraining import (
    Retraining,
    Return,
    measure_detours,
    measure_embedded_retraining,
    measure_final_spread,
    measure_net_cosines,
    measure_retraining,
    measure_return,
)

OUTWARD = 1.01
"""A retraining goes outward if it comes farther from the optimum than 1.01 of its jump."""
PETAL = math.cos(math.pi / 4)
MAJORITY = 0.5
SHARE_GAP = 0.25
"""Shares of jumps that differ by less count as equal."""
MUCH_LARGER = 2.0
MIN_Z = 5.0
"""Standard deviations by which the cosines of one seed lie above those of different seeds."""
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


def _full_space(clouds: Sequence[CloudCase]) -> dict[str, Retraining]:
    return {case.name: measure_retraining(case.cloud) for case in clouds}


def _describe_retraining(found: Mapping[str, Retraining]) -> str:
    return "; ".join(
        f"{name}: outward {r.outward.mean():.4g} (largest {r.outward.max():.4g}), goes outward "
        f"{measure_outward_share(r):.2f}, monotone {r.monotone.mean():.3g}, "
        f"cosine {r.cosine.mean():.4g}"
        for name, r in found.items()
    )


@claim(
    "horoi-star",
    says="Good minima pull retraining straight back; bad and memorization minima do so less",
    statistic="along = <r_e, r_0> / |r_0|^2 at the last epoch, with r_e the way from the optimum: "
    "mean of the bad minima, and of the memorization minima, minus mean of the good; the smaller "
    "difference",
    rule="both differences are above 0 in 95% of draws by minimum and direction",
    on={
        "good_clouds": Clouds("minimum"),
        "bad_clouds": Clouds("minimum"),
        "memorization_clouds": Clouds("minimum"),
        "crossed_clouds": Clouds("minimum"),
    },
)
def star(
    good_clouds: Sequence[CloudCase],
    bad_clouds: Sequence[CloudCase],
    memorization_clouds: Sequence[CloudCase],
    crossed_clouds: Sequence[CloudCase],
) -> Measured:
    """Measure whether good minima pull retraining farther back than others (§5.1, Fig. 2).

    The crossed minima, of weight decay or augmentation alone, decide nothing: they show which part
    of the difference these two explain.
    """
    good, bad, memorization, crossed = (
        {case.name: measure_return(case.cloud) for case in cases}
        for cases in (good_clouds, bad_clouds, memorization_clouds, crossed_clouds)
    )
    differences = {
        "bad": _compare_returns(bad, good),
        "memorization": _compare_returns(memorization, good),
    }
    value, low, high = min(
        differences.values(), key=lambda found: (not np.isnan(found[0]), found[1])
    )
    compared = ", ".join(
        f"{name} minus good {mean:.4g} ({lowest:.4g} to {highest:.4g})"
        for name, (mean, lowest, highest) in differences.items()
    )
    drifts = "; ".join(
        f"{name}: along {d.along[:, -1].mean():.4g} (largest {d.along.max():.4g}), "
        f"across {d.across[:, -1].mean():.4g}"
        for name, d in (good | bad | memorization | crossed).items()
    )
    return Measured(value, low, high, f"{compared}; {drifts}", low > 0)


def _compare_returns(
    others: Mapping[str, Return], good: Mapping[str, Return]
) -> tuple[float, float, float]:
    """Return how much less far the others come back: difference of means and its interval."""
    groups = [[_by_direction(drift) for drift in found.values()] for found in (others, good)]
    return bootstrap_difference(*groups)


def _by_direction(found: Return) -> np.ndarray:
    """Return *along* at the end by direction, the mean over its step sizes."""
    last = found.along[:, -1]
    return np.array([last[found.direction == seed].mean() for seed in np.unique(found.direction)])


@claim(
    "horoi-phate-continuity",
    says="PHATE keeps trajectories whole; t-SNE and UMAP shatter them",
    statistic="share of comparisons (share of long steps, longest gap, graph components, order "
    "along trajectories; against t-SNE and UMAP; each cloud and metric) in which PHATE is at least "
    "as good",
    rule="PHATE is at least as good in every comparison, and each time better than t-SNE and than "
    "UMAP by one of the first three at least",
    on={"clouds": Clouds("minimum", "runs", "tree")},
)
def continuity(clouds: Sequence[CloudCase]) -> Measured:
    """Measure whether PHATE keeps trajectories whole and t-SNE and UMAP shatter them (§1, §4)."""
    won, torn, details = [], [], []
    for case in clouds:
        for metric, found in _by_metric(case).items():
            for rival in ("tsne", "umap"):
                won.append(compare_continuity(found["phate"], found[rival]))
                torn.append(is_torn(found[rival], found["phate"]))
            lines = (
                f"{m} " + " ".join(f"{name} {e.continuity[name]:.3g}" for name in CONTINUITY)
                for m, e in found.items()
            )
            details.append(f"{case.name} {metric}: " + ", ".join(lines))
    shares = [float(np.mean(list(each.values()))) for each in won]
    low, high = span(shares)
    return Measured(float(np.mean(shares)), low, high, "; ".join(details), low == 1.0 and all(torn))


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


def _by_metric(case: CloudCase) -> dict[str, dict[str, Embedding]]:
    """Return the embeddings of a cloud by metric and method, where all three methods have one.

    Of several by one method the one that the paper shows: centered cosines, the smallest knn.
    """
    found: dict[str, dict[str, EmbeddingCase]] = {}
    for each in sorted(case.embeddings, key=_rank):
        by_method = found.setdefault(each.technique["metric"], {})
        by_method.setdefault(each.technique["method"], each)
    complete = {m: members for m, members in found.items() if set(members) >= _COMPARED}
    if not complete:
        raise LossmapError(
            f"cloud '{case.name}': expected embeddings by phate, tsne and umap of one metric, "
            f"got {_list_embeddings(case)}; add them under clouds"
        )
    return {
        metric: {method: each.embedding for method, each in members.items()}
        for metric, members in complete.items()
    }


_COMPARED = {"phate", "tsne", "umap"}


def _rank(case: EmbeddingCase) -> tuple[bool, float, str]:
    technique = case.technique
    return technique.get("cosine_space") == "raw", technique.get("knn", 0), case.name


def _list_embeddings(case: CloudCase) -> str:
    return ", ".join(each.name for each in case.embeddings) or "none"


@claim(
    "horoi-adam-norm",
    says="Adam's weights grow much larger than those of SGD and SGD with momentum",
    statistic="L2 norm of the final weights: Adam over the larger of SGD's and SGD with momentum's "
    "mean",
    rule=f"the ratio of the means is at least {MUCH_LARGER:g}",
    on={"runs": Runs()},
)
def adam_norm(runs: Sequence[RunCase]) -> Measured:
    """Measure whether Adam's weights grow much larger than SGD's (§5.2, Fig. 9)."""
    found: dict[str, list[float]] = {}
    for case in runs:
        found.setdefault(case.label, []).append(case.history.theta_norm[-1])
    _require_labels(found, [ADAM, PLAIN, MOMENTUM])
    norms = {label: np.array(values) for label, values in found.items()}
    adam = norms.pop(ADAM)
    ratios = adam / np.max([values.mean() for values in norms.values()])
    return Measured(
        float(ratios.mean()),
        float(ratios.min()),
        float(ratios.max()),
        list_cases([ADAM, *norms], [float(v.mean()) for v in (adam, *norms.values())]),
        float(ratios.mean()) >= MUCH_LARGER,
    )


@claim(
    "horoi-sgd-direction",
    says="SGD and SGD with momentum from one seed go in similar directions",
    statistic="cosine between the net displacements of SGD and SGD with momentum from one seed: "
    "smallest over seeds minus largest of different seeds and of SGD and Adam",
    rule=f"the difference is above 0, and the mean of one seed is at least {MIN_Z:g} standard "
    "deviations of different seeds above their mean",
    on={"clouds": Clouds("runs", count=1)},
)
def sgd_direction(clouds: Sequence[CloudCase]) -> Measured:
    """Measure whether SGD and SGD_M of one seed go in similar directions (§5.2, Fig. 4a)."""
    (case,) = clouds
    cosines = measure_net_cosines(case.cloud)
    _require_labels([run.label for run in case.runs], [PLAIN, MOMENTUM, ADAM])
    same, other = (_pair_up(case, cosines, MOMENTUM, one_seed) for one_seed in (True, False))
    adam = np.concatenate([_pair_up(case, cosines, ADAM, one_seed) for one_seed in (True, False)])
    if not (len(same) and len(other)):
        seeds = ", ".join(str(run.seed) for run in case.runs)
        raise LossmapError(
            f"cloud '{case.name}': expected runs of {PLAIN} and {MOMENTUM} from the same two "
            f"seeds or more, got seeds {seeds}; add runs to it"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        z = float(np.divide(same.mean() - other.mean(), other.std()))
    gap = float(same.min() - max(other.max(), adam.max()))
    return Measured(
        gap,
        float(same.min()),
        float(same.max()),
        f"one seed: {_describe(same)}; different seeds: {_describe(other)}; SGD and Adam: "
        f"{_describe(adam)}; z: {z:.3g}",
        gap > 0 and z >= MIN_Z,
    )


def _pair_up(case: CloudCase, cosines: np.ndarray, label: str, one_seed: bool) -> np.ndarray:
    """Return the cosines between SGD and another optimizer, of one seed or of different ones."""
    return np.array(
        [
            cosines[i, j]
            for i, plain in enumerate(case.runs)
            for j, other in enumerate(case.runs)
            if (plain.label, other.label) == (PLAIN, label)
            and (plain.seed == other.seed) == one_seed
        ]
    )


def _describe(values: np.ndarray) -> str:
    return f"{values.mean():.4g} ({values.min():.4g} to {values.max():.4g})"


@claim(
    "horoi-sgd-straighter",
    says="SGD with momentum goes straighter than SGD",
    statistic="path length over net displacement: SGD over SGD with momentum, mean over seeds",
    rule="the ratio is above 1 in 95% of draws by seed",
    on={"clouds": Clouds("runs", count=1)},
)
def sgd_straighter(clouds: Sequence[CloudCase]) -> Measured:
    """Measure whether momentum straightens the way (§5.2, Fig. 4a)."""
    (case,) = clouds
    detours = measure_detours(case.cloud)
    _require_labels([run.label for run in case.runs], [PLAIN, MOMENTUM])
    found = {
        label: {r.seed: d for r, d in zip(case.runs, detours, strict=True) if r.label == label}
        for label in (PLAIN, MOMENTUM)
    }
    seeds = [seed for seed in found[PLAIN] if seed in found[MOMENTUM]]
    if not seeds:
        raise LossmapError(
            f"cloud '{case.name}': no seed has runs of both {PLAIN} and {MOMENTUM}; add runs to it"
        )
    ratios = np.array([found[PLAIN][seed] / found[MOMENTUM][seed] for seed in seeds])
    value, low, high = bootstrap_mean(ratios)
    means = [float(np.mean(list(found[label].values()))) for label in (PLAIN, MOMENTUM)]
    details = list_cases([PLAIN, MOMENTUM], means)
    return Measured(value, low, high, details, low > 1)


def _require_labels(found: Iterable[str], wanted: Sequence[str]) -> None:
    labels = list(dict.fromkeys(found))
    missing = [label for label in wanted if label not in labels]
    if missing:
        raise LossmapError(
            f"claims of section 5.2: no run is trained by {missing[0]}, only by "
            f"{', '.join(labels)}; name runs of every optimizer"
        )


@claim(
    "horoi-adam-spread",
    says="Final weights reached by Adam from different seeds lie farther apart than the others'",
    statistic="mean distance between the final weights of different seeds, L2 and 1 - cosine: Adam "
    "over the larger of the others; the smaller ratio",
    rule="both ratios are above 1",
    on={"clouds": Clouds("runs", count=1)},
)
def adam_spread(clouds: Sequence[CloudCase]) -> Measured:
    """Measure whether final weights of Adam lie farther apart than the others' (§5.2, Fig. 4c).

    The L2 distance grows with the norms, which are another claim; the cosine does not.
    """
    (case,) = clouds
    groups: dict[str, list[str]] = {}
    for run in case.runs:
        groups.setdefault(run.label, []).append(run.name)
    _require_labels(groups, [ADAM, PLAIN, MOMENTUM])
    ratios, details = [], []
    for metric in ("euclidean", "cosine"):
        spread = measure_final_spread(case.cloud, groups, metric)
        details.append(f"{metric}: {list_cases(list(spread), list(spread.values()))}")
        _, others = span(value for label, value in spread.items() if label != ADAM)
        ratios.append(spread[ADAM] / others)
    low, high = span(ratios)
    return Measured(low, low, high, "; ".join(details), low > 1)


def _measure_picture(case: EmbeddingCase) -> Retraining:
    return measure_embedded_retraining(case.embedding.points, case.embedding.origins)


def _picture(case: CloudCase) -> EmbeddingCase:
    """Return the embedding that the paper shows: PHATE on centered cosines, the smallest knn."""
    shown = [
        each
        for each in case.embeddings
        if each.technique["method"] == "phate"
        and (each.technique["metric"], each.technique["cosine_space"]) == ("cosine", "centered")
    ]
    if not shown:
        raise LossmapError(
            f"cloud '{case.name}': expected an embedding by phate of centered cosines, got "
            f"{_list_embeddings(case)}; add phate-cosine under clouds"
        )
    return min(shown, key=lambda each: each.technique["knn"])


@claim(
    "horoi-null-control",
    says="(ours) The patterns of the embeddings say something about the landscape",
    statistic="shares of jumps drawn as outward first and as petals: smallest difference, over "
    "clouds and their null models, of the one that differs more; 0 where the picture disagrees "
    "with the full space",
    rule=f"every cloud differs from both nulls by at least {SHARE_GAP:g} in one share and from its "
    f"own full space by less than {SHARE_GAP:g} in both",
    on={"clouds": Clouds("minimum"), "null_clouds": Clouds("model", models="clouds")},
)
def null_control(clouds: Sequence[CloudCase], null_clouds: Sequence[CloudCase]) -> Measured:
    """Measure whether the pictures can tell a landscape from none (ours; NUMERICS of this project).

    Where random walks or a straight shrinking displacement give the picture of the cloud, the
    picture says nothing; where it disagrees with the curves in the full space, it misleads.
    """
    gaps, details = [], []
    for case in clouds:
        members = [case, *(null for null in null_clouds if null.of == case.name)]
        pictures = [_picture(member) for member in members]
        shares = {
            member.name: _pattern_shares(_measure_picture(picture))
            for member, picture in zip(members, pictures, strict=True)
        }
        shares["full space"] = _pattern_shares(measure_retraining(case.cloud))
        gaps.append(measure_gap(*shares.values()))
        details.append(
            ", ".join(f"{name}: {out:.2f} / {petals:.2f}" for name, (out, petals) in shares.items())
            + f", graph components {_list_components(pictures)}"
        )
    low, high = span(gaps)
    return Measured(
        low,
        low,
        high,
        f"outward first / petals: {'; '.join(details)}",
        low >= SHARE_GAP,
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


def _list_components(pictures: Sequence[EmbeddingCase]) -> str:
    found = [case.embedding.diagnostics.get("graph_components", "unknown") for case in pictures]
    return " / ".join(map(str, found))


@claim(
    "horoi-robustness",
    says="The pattern is a property of the minimum, not of a setting of the embedding",
    statistic="share of settings of PHATE (cosine of centered or raw weights, euclidean; three "
    "knn) that draw most jumps as the full space has them, outward first or not; smallest over "
    "minima",
    rule=f"the share is at least {AGREE:.2f} for every minimum",
    on={"clouds": Clouds("minimum"), "crossed_clouds": Clouds("minimum")},
)
def robustness(clouds: Sequence[CloudCase], crossed_clouds: Sequence[CloudCase]) -> Measured:
    """Measure whether the pattern belongs to the minimum or to a setting (§5.3)."""
    shares, details = [], []
    for case in clouds:
        settings = [each for each in case.embeddings if each.technique["method"] == "phate"]
        if not settings:
            raise LossmapError(
                f"cloud '{case.name}': expected embeddings by phate, got "
                f"{_list_embeddings(case)}; add them under clouds"
            )
        drawn = [measure_outward_share(_measure_picture(each)) for each in settings]
        truth = measure_outward_share(measure_retraining(case.cloud))
        shares.append(measure_agreement(drawn, truth))
        details.append(list_cases([each.name for each in settings], drawn))
    low, high = span(shares)
    return Measured(
        low,
        low,
        high,
        f"share of jumps drawn outward first: {'; '.join(details)}; weight decay and augmentation "
        f"crossed: {_describe_retraining(_full_space(crossed_clouds))}",
        low >= AGREE,
    )


def measure_agreement(drawn: Sequence[float], truth: float) -> float:
    """Return the share of settings whose picture shows most jumps as they really move, or NaN."""
    shares = np.array(drawn)
    alike = (shares > MAJORITY) == (truth > MAJORITY)
    return float(np.where(np.isnan(shares + truth), np.nan, alike).mean())


@claim(
    "horoi-accuracy",
    says="Weight decay and augmentation raise the test accuracy by about ten points; random labels "
    "are fitted",
    paper="CIFAR-10: good 0.95, bad 0.85; CIFAR-100: good 0.70, bad 0.60",
    statistic="smallest difference of test accuracy, good minus bad, over data sets and "
    "initializations",
    rule=f"every difference is at least {MIN_GAP:g} and random labels are fitted to at least "
    f"{FITS:g}",
    on={"good_runs": Runs(), "bad_runs": Runs(pairs="good_runs"), "memorization_runs": Runs()},
)
def accuracy(
    good_runs: Sequence[RunCase], bad_runs: Sequence[RunCase], memorization_runs: Sequence[RunCase]
) -> Measured:
    """Measure how much better good minima generalize, and the fit of random labels (§5.1)."""
    gaps = [
        float(better.history.test_accuracy[-1] - worse.history.test_accuracy[-1])
        for better, worse in zip(good_runs, bad_runs, strict=True)
    ]
    fitted, _ = span(case.history.train_accuracy[-1] for case in memorization_runs)
    low, high = span(gaps)
    details = "; ".join(
        f"{case.name}: test {case.history.test_accuracy[-1]:.3f}, "
        f"train {case.history.train_accuracy[-1]:.3f}, "
        f"training loss {case.history.train_loss[-1]:.3g}"
        for case in (*good_runs, *bad_runs, *memorization_runs)
    )
    return Measured(low, low, high, details, low >= MIN_GAP and fitted >= FITS)
