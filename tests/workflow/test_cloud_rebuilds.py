"""Partial rebuilds of jump-and-retrain, shown by the real Snakemake: no run is trained again."""

import pytest

pytestmark = pytest.mark.slow

CLOUD = "c10-memorization"
JUMPS = [f"jumps/{CLOUD}-d0", f"jumps/{CLOUD}-d1"]
DISTANCE, EMBEDDING, FIGURE = (
    f"distance/{CLOUD}",
    f"embedding/{CLOUD}-phate-cosine",
    "figure/my_cloud",
)
PANEL = (
    f"{{draw: embedding, embedding: {CLOUD}-phate-cosine, color: direction, marks: [jumps], "
    "title: TITLE}"
)
MINE = {"figures": f"{{my_cloud: {{columns: 1, panels: [{PANEL}]}}}}"}
REDRAWN = [EMBEDDING, FIGURE]
MEASURED = [DISTANCE, *REDRAWN]


@pytest.fixture(scope="module")
def project(shared_project):
    """Give a project in which one cloud has been embedded and drawn."""
    shared_project.snakemake("my_cloud", **MINE)
    return shared_project


def minima(**leaves):
    return {"minima": f"{{{CLOUD}: {{{', '.join(f'{k}: {v}' for k, v in leaves.items())}}}}}"}


def test_nothing_is_planned_without_a_change(project):
    assert project.planned("my_cloud", **MINE) == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"clouds": f"{{{CLOUD}: {{embeddings: {{phate-cosine: {{knn: 4}}}}}}}}"}, REDRAWN),
        ({"techniques": "{phate-cosine: {knn: 4}}"}, REDRAWN),
        ({"techniques": "{tsne-cosine: {perplexity: 3}}"}, []),
        ({"clouds": f"{{{CLOUD}: {{embeddings: {{pca: {{}}}}}}}}"}, []),
        ({"figures": MINE["figures"].replace("TITLE", "other")}, [FIGURE]),
        ({"style": "{point_size: 3.0}"}, [FIGURE]),
        (minima(step_sizes="[0.25, 0.5, 1.0]"), [*JUMPS, *MEASURED]),
        (minima(lr=0.01), [*JUMPS, *MEASURED]),
        (minima(directions="[1]"), MEASURED),
        ({"jumps": "{per_job: 1}"}, []),
        ({"runs": "{c10-wresnet-good: {seed: 9}}"}, []),
    ],
    ids=str,
)
def test_a_changed_value_rebuilds_what_it_enters_and_never_trains_a_run(project, config, expected):
    assert project.planned("my_cloud", **MINE | config) == sorted(expected)


def test_a_new_step_size_trains_only_what_is_new(project):
    before = {name: project.path(*name.split("/")).stat().st_ino for name in JUMPS}
    done = project.snakemake("my_cloud", **MINE | minima(step_sizes="[0.5, 0.75, 1.0]"))
    said = [line for line in done.stderr.splitlines() if f"{CLOUD}-d" in line and " step " in line]
    kept = [line for line in said if "kept from before" in line]
    assert len(kept) == 4, "two directions, two step sizes"
    trained = {line.partition(" step ")[2].split()[0] for line in said if " epoch " in line}
    assert trained == {"0.75"}
    assert all(project.path(*name.split("/")).stat().st_ino != before[name] for name in JUMPS)
    assert project.planned("my_cloud", **MINE | minima(step_sizes="[0.5, 0.75, 1.0]")) == []


def test_a_refused_technique_costs_the_others_of_its_cloud_nothing(project):
    techniques = "{pca: {}, umap-cosine: {neighbors: 999}}"
    mine = MINE | {"clouds": f"{{{CLOUD}: {{embeddings: {techniques}}}}}"}
    refused, saved = (project.path("embedding", f"{CLOUD}-{n}") for n in ("umap-cosine", "pca"))
    targets = [str(path.relative_to(project.folder)) for path in (refused, saved)]
    project.snakemake("my_cloud", **MINE)
    before = project.path("figure", "my_cloud").stat()
    done = project.snakemake(*targets, "my_cloud", "--keep-going", check=False, **mine)
    assert done.returncode != 0
    said = {line.partition("error: ")[2] for line in done.stderr.splitlines() if "999" in line}
    (line,) = {line for line in said if line}
    assert line.startswith(f"{targets[0]}: method 'umap': neighbors is 999, but only ")
    assert saved.exists()
    assert not refused.exists()
    assert project.planned(*targets, "my_cloud", **mine) == [f"embedding/{refused.stem}"]
    assert project.path("figure", "my_cloud").stat().st_mtime_ns == before.st_mtime_ns
