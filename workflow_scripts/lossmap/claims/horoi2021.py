"""The claims of horoi2021, one function each.

Curves in the full space of the weights are the evidence; an embedding is an illustration that has
to agree with them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lossmap.artifacts.claims import Number
from lossmap.artifacts.distance import Cloud
from lossmap.artifacts.embedding import CONTINUITY, Embedding
from lossmap.claims.bootstrap import bootstrap_difference, bootstrap_mean
from lossmap.claims.cases import CloudCase, EmbeddingCase, RunCase
from lossmap.claims.declare import Clouds, Measured, Reading, Runs, claim
from lossmap.claims.ledger import NO_INFORMATION, NOT_TESTABLE, list_numbers, span
from lossmap.errors import LossmapError
from lossmap.geometry.nulls import MODELS
from lossmap.geometry.order import correlate_ranks, measure_temporal_share
from lossmap.geometry.paths import trajectory_rows
from lossmap.geometry.retraining import (
    Retraining,
    Return,
    measure_detours,
    measure_embedded_retraining,
    measure_embedded_return,
    measure_enclosed_areas,
    measure_final_spread,
    measure_net_cosines,
    measure_return,
    measure_turns,
)

OUTWARD = 1.01
"""A retraining goes outward if it comes farther from the optimum than 1.01 of its jump."""
PETAL, RETURNS = math.cos(math.pi / 4), 0.9
"""A petal stays within 45 degrees of its jump and ends at 0.9 of its length or less."""
LOSS_BACK = 0.1
"""Nats by which the training loss may end above the minimum's after retraining."""
SHARE_GAP = 0.25
"""Shares of jumps that differ by less count as equal."""
MUCH_LARGER = 2.0
MIN_Z = 5.0
"""Standard deviations by which the cosines of one seed lie above those of different seeds."""
AGREE = 8 / 9
MIN_TREES, LONG_TRAJECTORY = 5, 20
"""Of a shorter trajectory ten nearest neighbors are half or more."""
MIN_GAP, FITS, NEAR_PRINTED = 0.05, 0.99, 0.02
"""Half of the paper's ten points between good and bad; the accuracy of a network that memorizes."""
PRINTED = {"cifar10": {"good": 0.95, "bad": 0.85}, "cifar100": {"good": 0.70, "bad": 0.60}}
PLAIN, MOMENTUM, ADAM = "SGD", "SGD with momentum", "Adam"
"""The optimizers of section 5.2, as the specification calls them."""
WALKS, STRAIGHT = "walks", "straight"


def measure_outward_share(retraining: Retraining) -> float:
    """Return the share of jumps whose retraining goes beyond `OUTWARD` times the jump, or NaN."""
    outward = retraining.outward
    return float(np.where(np.isnan(outward), np.nan, outward > OUTWARD).mean())


def measure_petal_share(retraining: Retraining) -> float:
    """Return the share of jumps that are petals, or NaN.

    A petal does not go outward, stays within 45 degrees of its jump, in the mean over epochs, and
    returns.
    """
    outward, cosine, left = retraining.outward, retraining.cosine, retraining.remaining
    petals = (outward <= OUTWARD) & (cosine >= PETAL) & (left <= RETURNS)
    return float(np.where(np.isnan(outward + cosine + left), np.nan, petals).mean())


def _by_direction(directions: np.ndarray, values: np.ndarray) -> dict[int, float]:
    """Return values of jumps by direction, the mean over its step sizes."""
    return {int(seed): float(values[directions == seed].mean()) for seed in np.unique(directions)}


def _groups(found: Mapping[str, Mapping[int, float]]) -> list[np.ndarray]:
    """Return the values of each cloud, for the bootstrap."""
    return [np.array(list(values.values())) for values in found.values()]


def _ends(cases: Sequence[CloudCase]) -> dict[str, dict[int, float]]:
    """Return *along* at the last epoch by cloud and direction."""
    returns = {case.name: measure_return(case.cloud) for case in cases}
    return {name: _by_direction(r.direction, r.along[:, -1]) for name, r in returns.items()}


def _is_retrained(case: CloudCase) -> bool:
    """Tell whether retraining was no hotter than the end of training, and has the loss back."""
    if case.rates is not None and case.rates[0] > case.rates[1] * (1 + 1e-9):
        return False
    return not _excess_loss(case.cloud) > LOSS_BACK


def _excess_loss(cloud: Cloud) -> float:
    """Return the training loss at the end of retraining minus that of the minimum, mean."""
    last = [rows[-1] for rows in trajectory_rows(cloud.origins.trajectory)]
    losses = cloud.origins.train_loss
    return float(losses[last].mean() - losses[cloud.origins.is_optimum > 0].mean())


def _judged_retraining(*groups: Sequence[CloudCase]) -> str | None:
    retrained = all(_is_retrained(case) for group in groups for case in group)
    return None if retrained else NOT_TESTABLE


@claim(
    "horoi-star",
    says="Good minima pull retraining straight back; bad and memorization minima do so less",
    statistic="along = <r_e, r_0> / |r_0|^2 at the last epoch, with r_e the way from the optimum: "
    "mean of the bad minima, and of the memorization minima, minus mean of the good; the smaller "
    "difference",
    rule="both differences are above 0 in 95% of draws by minimum and direction; not testable "
    "where the rate of retraining is above the last of training, or the training loss ends more "
    f"than {LOSS_BACK:g} nats above the minimum's",
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
    good, bad, memorization = map(_ends, (good_clouds, bad_clouds, memorization_clouds))
    differences = {
        name: bootstrap_difference(_groups(others), _groups(good))
        for name, others in (("bad", bad), ("memorization", memorization))
    }
    value, low, high = min(
        differences.values(), key=lambda found: (not np.isnan(found[0]), found[1])
    )
    everyone = (*good_clouds, *bad_clouds, *memorization_clouds, *crossed_clouds)
    numbers = [
        *list_numbers("minus good", {n: mean for n, (mean, _, _) in differences.items()}),
        *list_numbers("minus good, least", {n: least for n, (_, least, _) in differences.items()}),
        *list_numbers("along at the end", _ends(everyone)),
    ]
    for case in everyone:
        numbers += _describe_return(case.name, measure_return(case.cloud))
        numbers += list_numbers("training loss above", {case.name: _excess_loss(case.cloud)})
    found = _judged_retraining(good_clouds, bad_clouds, memorization_clouds)
    return Measured(value, low, high, numbers, low > 0, verdict=found)


def _describe_return(name: str, found: Return) -> list[Number]:
    across = _by_direction(found.direction, found.across[:, -1])
    return list_numbers("across at the end", {name: across})


@claim(
    "horoi-outward",
    says="Bad and memorization minima let retraining go outward first; good ones do not",
    statistic="largest along over epochs, mean over step sizes, median over directions: smallest "
    "of the bad and memorization minima minus largest of the good",
    rule=f"above {OUTWARD:g} for every bad and memorization minimum, at most that for every good",
    on={
        "good_clouds": Clouds("minimum"),
        "bad_clouds": Clouds("minimum"),
        "memorization_clouds": Clouds("minimum"),
    },
)
def outward(
    good_clouds: Sequence[CloudCase],
    bad_clouds: Sequence[CloudCase],
    memorization_clouds: Sequence[CloudCase],
) -> Measured:
    """Measure whether retraining first leaves the minimum, in the full space (§5.1, Fig. 2)."""
    good, others = _farthest(good_clouds), _farthest((*bad_clouds, *memorization_clouds))
    medians = {name: float(np.median(list(each.values()))) for name, each in others.items()}
    best = {name: float(np.median(list(each.values()))) for name, each in good.items()}
    (low, _), (_, high) = span(medians.values()), span(best.values())
    return Measured(
        low - high,
        *span([*medians.values(), *best.values()]),
        list_numbers("largest along", good | others),
        low > OUTWARD and high <= OUTWARD,
        verdict=_judged_retraining(good_clouds, bad_clouds, memorization_clouds),
    )


def _farthest(cases: Sequence[CloudCase]) -> dict[str, dict[int, float]]:
    """Return the largest *along* over epochs by cloud and direction."""
    returns = {case.name: measure_return(case.cloud) for case in cases}
    return {name: _by_direction(r.direction, r.along.max(axis=1)) for name, r in returns.items()}


@claim(
    "horoi-picture",
    says="Retraining is drawn as petals around good minima and as open paths around the others",
    statistic="area that a trajectory encloses in the picture over its length squared (0 = out and "
    "back on one ray): mean of the bad minima minus mean of the good",
    rule="the difference is above 0 in 95% of draws by minimum and direction; where random walks "
    "with the minima's own step lengths differ so too, the picture carries no information",
    on={
        "good_clouds": Clouds("minimum"),
        "bad_clouds": Clouds("minimum"),
        "null_clouds": Clouds("model"),
    },
)
def picture(
    good_clouds: Sequence[CloudCase],
    bad_clouds: Sequence[CloudCase],
    null_clouds: Sequence[CloudCase],
) -> Measured:
    """Measure what figure 2 draws, and whether it needs a landscape (§5.1, Fig. 2)."""
    good, bad = _areas(good_clouds), _areas(bad_clouds)
    value, low, high = bootstrap_difference(_groups(bad), _groups(good))
    numbers = list_numbers("enclosed area", good | bad)
    lows = {}
    for model in MODELS:
        calm, open_ = (
            _areas([null for null in null_clouds if null.model == model and null.of in real])
            for real in (good, bad)
        )
        numbers += list_numbers(f"enclosed area of {model}", calm | open_)
        if calm and open_:
            mean, lows[model], _ = bootstrap_difference(_groups(open_), _groups(calm))
            # Steps of good with lengths of bad are of good here: below 0 the lengths decide.
            numbers += list_numbers("bad minus good", {model: mean})
    ranks = {case.name: _agree_on_order(case) for case in (*good_clouds, *bad_clouds)}
    numbers += list_numbers("rank correlation of drawn distance and along", ranks)
    found = NO_INFORMATION if low > 0 and lows.get(WALKS, -1.0) > 0 else None
    return Measured(value, low, high, numbers, low > 0, verdict=found)


def _areas(cases: Sequence[CloudCase]) -> dict[str, dict[int, float]]:
    found = {}
    for case in cases:
        shown = _picture(case).embedding
        starts = [rows[0] for rows in trajectory_rows(shown.origins.trajectory)]
        areas = measure_enclosed_areas(shown.points, shown.origins.trajectory)
        found[case.name] = _by_direction(shown.origins.direction[starts], areas)
    return found


def _agree_on_order(case: CloudCase) -> float:
    """Return how the drawn distance from the center follows *along*, mean over jumps."""
    shown = _picture(case).embedding
    paths = list(trajectory_rows(shown.origins.trajectory))
    center = shown.points[[rows[-1] for rows in paths]].mean(axis=0)
    along = measure_return(case.cloud).along
    return float(
        np.mean(
            [
                correlate_ranks(np.linalg.norm(shown.points[rows] - center, axis=1), truth)
                for rows, truth in zip(paths, along, strict=True)
            ]
        )
    )


@claim(
    "horoi-phate-continuity",
    says="PHATE keeps trajectories whole; t-SNE and UMAP shatter them",
    statistic="share of comparisons with t-SNE and with UMAP that PHATE wins or ties: on trees, of "
    "the means over trees of long steps, longest gap, graph components and order along branches; "
    f"on clouds whose trajectories have more than {LONG_TRAJECTORY} points, of the share of "
    "temporal neighbors among the ten nearest",
    rule="PHATE is at least as good in every comparison, and on trees better than either by one of "
    f"the first three; not testable with fewer than {MIN_TREES} trees",
    on={"trees": Clouds("tree"), "clouds": Clouds("minimum", "runs")},
)
def continuity(trees: Sequence[CloudCase], clouds: Sequence[CloudCase]) -> Measured:
    """Measure whether PHATE keeps trajectories whole and t-SNE and UMAP shatter them (§1, §4)."""
    means, numbers = _average_trees(trees)
    won = [w for rival in RIVALS for w in compare_continuity(means["phate"], means[rival]).values()]
    torn = [is_torn(means[rival], means["phate"]) for rival in RIVALS]
    for case in clouds:
        for metric, found in _by_metric(case).items():
            shares = {method: _temporal_share(each) for method, each in found.items()}
            named = {f"{case.name} {metric} {m}": v for m, v in shares.items() if v is not None}
            numbers += list_numbers("temporal neighbors among the nearest", named)
            if named:
                won += [shares["phate"] >= shares[rival] for rival in RIVALS]
    share = float(np.mean(won))
    found = None if len(trees) >= MIN_TREES else NOT_TESTABLE
    nan = float("nan")
    return Measured(share, nan, nan, numbers, share == 1.0 and all(torn), verdict=found)


RIVALS = ("tsne", "umap")


def _average_trees(
    trees: Sequence[CloudCase],
) -> tuple[dict[str, dict[str, float]], list[Number]]:
    """Return each statistic by method, its mean over trees, and every number."""
    scores: dict[str, dict[str, dict[int, float]]] = {}
    for case in trees:
        for found in _by_metric(case).values():
            for method, embedding in found.items():
                for name in CONTINUITY:
                    kept = scores.setdefault(method, {}).setdefault(name, {})
                    kept[case.seed] = embedding.continuity[name]
    numbers = [
        number
        for name in CONTINUITY
        for number in list_numbers(name, {method: found[name] for method, found in scores.items()})
    ]
    means = {
        method: {name: float(np.mean(list(values.values()))) for name, values in found.items()}
        for method, found in scores.items()
    }
    return means, numbers


def _temporal_share(embedding: Embedding) -> float | None:
    """Return the share of temporal neighbors, None where trajectories are too short for one."""
    trajectory = embedding.origins.trajectory
    if min(len(rows) for rows in trajectory_rows(trajectory)) <= LONG_TRAJECTORY:
        return None
    return measure_temporal_share(embedding.points, trajectory)


def compare_continuity(ours: Mapping[str, float], rival: Mapping[str, float]) -> dict[str, bool]:
    """Return, for each statistic, whether the first embedding is at least as continuous."""
    return {
        name: ours[name] >= rival[name] if name == "order" else ours[name] <= rival[name]
        for name in CONTINUITY
    }


def is_torn(rival: Mapping[str, float], ours: Mapping[str, float]) -> bool:
    """Tell whether the first embedding is more torn than the second by any measure of tearing."""
    return any(rival[name] > ours[name] for name in CONTINUITY if name != "order")


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
    found: dict[str, dict[int, float]] = {}
    for case in runs:
        found.setdefault(case.label, {})[case.seed] = _last(case, "theta_norm")
    _require_labels(found, [ADAM, PLAIN, MOMENTUM])
    norms = {label: np.array(list(values.values())) for label, values in found.items()}
    adam = norms.pop(ADAM)
    ratios = adam / np.max([values.mean() for values in norms.values()])
    return Measured(
        float(ratios.mean()),
        float(ratios.min()),
        float(ratios.max()),
        list_numbers("norm of the final weights", found),
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
        [
            *(
                number
                for case_name, values in (
                    ("one seed", same),
                    ("different seeds", other),
                    ("SGD and Adam", adam),
                )
                for number in list_numbers("cosine", {case_name: dict(enumerate(values))})
            ),
            *list_numbers("standard deviations above", {"one seed": z}),
        ],
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
    numbers = list_numbers("path over net displacement", found)
    return Measured(value, low, high, numbers, low > 1)


@claim(
    "horoi-smooth",
    says="Adam's trajectory is smooth, SGD's is scattered",
    statistic="mean angle between consecutive steps in the full space: SGD's minus Adam's",
    rule="the difference is above 0 in 95% of draws by seed, and so it is in the picture of single "
    "runs by the published solver of PHATE's last step",
    on={"clouds": Clouds("runs", count=1), "single_clouds": Clouds("runs")},
)
def smooth(clouds: Sequence[CloudCase], single_clouds: Sequence[CloudCase]) -> Measured:
    """Measure whether Adam goes smoothly and SGD does not (§5.2, Fig. 3).

    The picture follows its solver: stochastic descent, as in PHATE's own call, or SMACOF.
    """
    (case,) = clouds
    _require_labels([run.label for run in case.runs], [PLAIN, ADAM])
    turns: dict[str, dict[int, float]] = {}
    angles = measure_turns(case.cloud.euclidean, case.cloud.origins.trajectory)
    for run, angle in zip(case.runs, angles, strict=True):
        turns.setdefault(run.label, {})[run.seed] = float(angle)
    value, low, high = bootstrap_difference(*(_groups({"": turns[n]}) for n in (PLAIN, ADAM)))
    drawn = {solver: _drawn_turns(single_clouds, solver) for solver in ("sgd", "smacof")}
    numbers = list_numbers("mean turn, radians", turns)
    for solver, found in drawn.items():
        numbers += list_numbers(f"mean turn in the picture by {solver}", found)
    agrees = {solver: low > 0 and found[PLAIN] > found[ADAM] for solver, found in drawn.items()}
    other = drawn["smacof"][PLAIN] - drawn["smacof"][ADAM]
    return Measured(
        value,
        low,
        high,
        numbers,
        agrees["sgd"],
        other=Reading("picture by SMACOF, difference there", other, agrees["smacof"]),
    )


def _distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points, axis=-1)


def _drawn_turns(cases: Sequence[CloudCase], solver: str) -> dict[str, float]:
    """Return the mean turn in the pictures of single runs, by optimizer."""
    found = {}
    for case in cases:
        chosen = [e for e in case.embeddings if e.technique.get("mds_solver") == solver]
        if not chosen:
            raise LossmapError(
                f"cloud '{case.name}': expected an embedding by phate with mds_solver {solver}, "
                f"got {_list_embeddings(case)}; add one under clouds"
            )
        shown = chosen[0].embedding
        turns = measure_turns(_distances(shown.points), shown.origins.trajectory)
        found[case.runs[0].label] = float(turns.mean())
    _require_labels(found, [PLAIN, ADAM])
    return found


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
    ratios, numbers = [], []
    for metric in ("euclidean", "cosine"):
        spread = measure_final_spread(case.cloud, groups, metric)
        numbers += list_numbers(f"mean {metric} distance", spread)
        _, others = span(value for label, value in spread.items() if label != ADAM)
        ratios.append(spread[ADAM] / others)
    low, high = span(ratios)
    return Measured(low, low, high, numbers, low > 1)


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
    statistic="shares of jumps drawn as outward first and as petals, means over ten seeds of each "
    "null: difference of good from random walks and of bad from straight returns, each the larger "
    "of the two shares; the smallest over minima",
    rule=f"it is at least {SHARE_GAP:g}; where the two nulls of a minimum do not differ by "
    f"{SHARE_GAP:g} from each other, the picture carries no information",
    on={
        "good_clouds": Clouds("minimum"),
        "bad_clouds": Clouds("minimum"),
        "null_clouds": Clouds("model", models=("good_clouds", "bad_clouds")),
    },
)
def null_control(
    good_clouds: Sequence[CloudCase],
    bad_clouds: Sequence[CloudCase],
    null_clouds: Sequence[CloudCase],
) -> Measured:
    """Measure whether the pictures can tell a landscape from none (ours).

    A picture that draws random walks as it draws straight returns cannot tell either from anything.
    """
    gaps, apart, numbers = [], [], []
    for cases, opposite in ((good_clouds, WALKS), (bad_clouds, STRAIGHT)):
        for case in cases:
            shares = {case.name: {case.seed: _pattern_shares(case)}}
            for model in (WALKS, STRAIGHT):
                shares[model] = _null_shares(case, model, null_clouds)
            means = {n: np.mean(list(found.values()), axis=0) for n, found in shares.items()}
            gaps.append(measure_gap(means[case.name], means[opposite]))
            apart.append(measure_gap(means[WALKS], means[STRAIGHT]))
            numbers += _describe_shares(case.name, shares)
            numbers += list_numbers("gap between the nulls", {case.name: apart[-1]})
    low, high = span(gaps)
    found = None if span(apart)[0] >= SHARE_GAP or math.isnan(low) else NO_INFORMATION
    return Measured(low, low, high, numbers, low >= SHARE_GAP, verdict=found)


def _pattern_shares(case: CloudCase) -> np.ndarray:
    """Return the shares of jumps drawn as outward first and as petals, float64 (2,)."""
    seen = _measure_picture(_picture(case))
    return np.array([measure_outward_share(seen), measure_petal_share(seen)])


def _null_shares(case: CloudCase, model: str, nulls: Sequence[CloudCase]) -> dict[int, np.ndarray]:
    found = {
        null.seed: _pattern_shares(null)
        for null in nulls
        if (null.of, null.model) == (case.name, model)
    }
    if not found:
        raise LossmapError(
            f"cloud '{case.name}': expected a null model of '{model}' among null_clouds, got none; "
            "name one"
        )
    return found


def _describe_shares(name: str, shares: Mapping[str, Mapping[int, np.ndarray]]) -> list[Number]:
    numbers = []
    for index, pattern in enumerate(("outward first", "petals")):
        for who, found in shares.items():
            case = who if who == name else f"{name} {who}"
            values = {seed: float(value[index]) for seed, value in found.items()}
            numbers += list_numbers(f"share of {pattern}", {case: values})
    return numbers


def measure_gap(own: np.ndarray, other: np.ndarray) -> float:
    """Return how far two pictures' shares are apart: the larger difference, or NaN."""
    # Shares are fractions of few jumps: 0.35 - 0.1 is to be 0.25.
    return float(np.round(np.abs(own - other).max(), 9))


@claim(
    "horoi-robustness",
    says="The pattern is a property of the minimum, not of a setting of the embedding",
    statistic="share of distinct settings of PHATE (cosine of centered or raw weights, euclidean; "
    "neighbors) in which along at the end, bad minus good, has the sign of the full space",
    rule=f"the share is at least {AGREE:.2f}; not testable where the full space shows none",
    on={
        "good_clouds": Clouds("minimum", count=1),
        "bad_clouds": Clouds("minimum", count=1),
        "crossed_clouds": Clouds("minimum"),
    },
)
def robustness(
    good_clouds: Sequence[CloudCase],
    bad_clouds: Sequence[CloudCase],
    crossed_clouds: Sequence[CloudCase],
) -> Measured:
    """Measure whether the pattern belongs to the minimum or to a setting (§5.3)."""
    (good,), (bad,) = good_clouds, bad_clouds
    ends = _ends((good, bad, *crossed_clouds))
    truth, low, high = bootstrap_difference(
        *(_groups({"": ends[case.name]}) for case in (bad, good))
    )
    drawn = {case.name: _drawn_returns(case) for case in (good, bad)}
    shared = sorted(drawn[good.name].keys() & drawn[bad.name].keys())
    if not shared:
        raise LossmapError(
            f"clouds '{good.name}' and '{bad.name}': expected embeddings by phate of the same "
            f"settings, got {_list_embeddings(good)}, {_list_embeddings(bad)}; add them under "
            "clouds"
        )
    differences = {key: drawn[bad.name][key] - drawn[good.name][key] for key in shared}
    share = measure_agreement(list(differences.values()), truth)
    return Measured(
        share,
        float("nan"),
        float("nan"),
        [
            *list_numbers("drawn along, bad minus good", differences),
            *list_numbers("in the full space", {"bad minus good": truth}),
            *list_numbers("in the full space, 95% of draws", {"from": low, "to": high}),
            *list_numbers("along at the end", ends),
        ],
        share >= AGREE,
        verdict=None if low > 0 or high < 0 or math.isnan(truth) else NOT_TESTABLE,
    )


def _drawn_returns(case: CloudCase) -> dict[str, float]:
    """Return *along* at the end in every picture by PHATE, by setting: equal ones count once."""
    found = {}
    for each in sorted(case.embeddings, key=lambda each: each.name):
        if each.technique["method"] == "phate":
            shown = each.embedding
            along = measure_embedded_return(shown.points, shown.origins).along[:, -1]
            found.setdefault(_setting_of(each), float(along.mean()))
    return found


def _setting_of(case: EmbeddingCase) -> str:
    """Return what tells one setting from another: a space of cosines is none of Euclid's."""
    unread = {"method", *({"cosine_space", "components"} if _is_euclidean(case) else ())}
    told = {key: value for key, value in case.technique.items() if key not in unread}
    return ", ".join(f"{key} {told[key]}" for key in sorted(told))


def _is_euclidean(case: EmbeddingCase) -> bool:
    return case.technique["metric"] == "euclidean"


def measure_agreement(drawn: Sequence[float], truth: float) -> float:
    """Return the share of settings whose difference has the sign of the truth, or NaN."""
    signs = np.sign(np.array(drawn))
    return float(np.where(np.isnan(signs + truth), np.nan, signs == np.sign(truth)).mean())


@claim(
    "horoi-accuracy",
    says="Weight decay and augmentation raise the test accuracy by about ten points; random labels "
    "are fitted",
    paper="CIFAR-10: good 0.95, bad 0.85; CIFAR-100: good 0.70, bad 0.60",
    statistic="smallest difference of test accuracy, good minus bad, over data sets and "
    "initializations",
    rule=f"every difference is at least {MIN_GAP:g} and random labels are fitted to at least "
    f"{FITS:g}; trained on all of CIFAR, every accuracy is within {NEAR_PRINTED:g} of the printed",
    on={"good_runs": Runs(), "bad_runs": Runs(pairs="good_runs"), "memorization_runs": Runs()},
)
def accuracy(
    good_runs: Sequence[RunCase], bad_runs: Sequence[RunCase], memorization_runs: Sequence[RunCase]
) -> Measured:
    """Measure how much better good minima generalize, and the fit of random labels (§5.1)."""
    tested = {case.name: _last(case, "test_accuracy") for case in (*good_runs, *bad_runs)}
    gaps = [
        tested[better.name] - tested[worse.name]
        for better, worse in zip(good_runs, bad_runs, strict=True)
    ]
    off = {
        case.name: tested[case.name] - PRINTED[case.whole][kind]
        for kind, cases in (("good", good_runs), ("bad", bad_runs))
        for case in cases
        if case.whole
    }
    everyone = (*good_runs, *bad_runs, *memorization_runs)
    fitted = {case.name: _last(case, "train_accuracy") for case in everyone}
    low, high = span(gaps)
    least, _ = span(fitted[case.name] for case in memorization_runs)
    near = all(abs(value) <= NEAR_PRINTED for value in off.values())
    return Measured(
        low,
        low,
        high,
        [
            *list_numbers("test accuracy", tested),
            *list_numbers("test accuracy minus the printed", off),
            *list_numbers("training accuracy", fitted),
            *list_numbers("training loss", {c.name: _last(c, "train_loss") for c in everyone}),
        ],
        low >= MIN_GAP and least >= FITS and near,
    )


def _last(case: RunCase, curve: str) -> float:
    return float(getattr(case.history, curve)[-1])
