"""Jumps are the definition's, retraining is a plain loop's, and kills leave no trace."""

import logging
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from lossmap.artifacts import store
from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.curves import SNAPSHOT_CURVES
from lossmap.artifacts.jumps import Jumps
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import read_provenance, stream
from lossmap.errors import LossmapError
from lossmap.network import checkpoint, classification, jumps, training
from lossmap.network.images import draw_epoch, move_images, take_batch
from lossmap.network.jumps import jump_and_retrain
from lossmap.network.parameters import create_network, describe_network

EPOCHS, STEPS = 2, [0.25, 0.5, 1.0]


@pytest.fixture
def spec(spec):
    """Give the specification of one direction of a small wide residual network."""
    spec["network"]["factory"] = "lossmap.network.models.wide_resnet:wide_resnet10_2"
    spec["optimizer"] |= {"lr": 0.01, "weight_decay": 1.0e-3}
    return spec | {"epochs": EPOCHS, "step_sizes": STEPS, "direction": 7, "ignore": "bias_bn"}


@pytest.fixture
def minimum(dataset, spec):
    """Give parameters and running statistics that some training led to."""
    run = training.Run(dataset, spec, "cpu")
    run.advance()
    return {name: values.copy() for name, values in run.rows().items()}


@pytest.fixture
def retrain(dataset, minimum, spec, log, tmp_path):
    """Give a function that makes jump artifacts and returns the path of the last."""

    def make(folder="a", directions=(7,), code="c0de", **changes):
        specs = {d: spec | {"direction": d} | changes for d in directions}
        made = {
            tmp_path / folder / "jumps" / f"min-d{d}.h5": Provenance(
                canonical_json(one), code, {"trajectory/min": "f00d"}
            )
            for d, one in specs.items()
        }
        jump_and_retrain(dataset, minimum, made, "cpu", log)
        return list(made)[-1]

    return make


def read(path):
    with stream(path, Jumps) as file:
        return {name: file[name][()] for name in file}


def filters_of(vector, dataset, spec):
    """Return each filter of each weight, and the parameters that have one axis, by brute force."""
    network = create_network(describe_network(spec["network"], dataset))
    filters, single = [], []
    for _, _, shape, part in network.layout.parts():
        values = np.float64(vector[part]).reshape(shape)
        (single if len(shape) == 1 else filters).extend(values)
    return filters, single


def test_a_jump_is_the_step_times_a_filter_normalized_direction(dataset, minimum, spec, retrain):
    found = read(retrain())
    of_direction, single = filters_of(found["direction"], dataset, spec)
    of_minimum, _ = filters_of(minimum["thetas"], dataset, spec)
    lengths = [[np.linalg.norm(f) for f in filters] for filters in (of_direction, of_minimum)]
    np.testing.assert_allclose(*lengths, rtol=1e-5)
    assert not np.any(single)
    for step, theta in zip(STEPS, found["thetas"][:, 0], strict=True):
        expected = minimum["thetas"].astype(np.float64) + step * found["direction"].astype(
            np.float64
        )
        np.testing.assert_allclose(theta, expected, rtol=1e-6, atol=1e-7)


def test_a_direction_is_that_of_its_seed_whatever_the_others(retrain):
    alone = read(retrain("alone", directions=(3,)))
    among = read(retrain("among", directions=(1, 3)))
    other = read(retrain("other", directions=(4,)))
    np.testing.assert_array_equal(alone["thetas"], among["thetas"])
    assert alone["direction_seed"] == 3
    assert not np.array_equal(alone["direction"], other["direction"])


def test_retraining_is_that_of_a_plain_loop(dataset, minimum, spec, retrain):
    found = read(retrain())
    network = create_network(describe_network(spec["network"], dataset))
    network.buffers.copy_(torch.from_numpy(minimum["buffers"]))
    network.theta.copy_(torch.from_numpy(found["thetas"][1, 0]))
    module, images = network.module, move_images(dataset, "train", "cpu", 2)
    rule = torch.optim.SGD(module.parameters(), 0.01, momentum=0.9, weight_decay=1e-3)
    for epoch in range(EPOCHS):
        plan = draw_epoch(images, spec["seed"], epoch, spec["augmentation"])
        module.train()
        for start in range(0, len(images), spec["batch_size"]):
            inputs, labels = take_batch(images, plan, slice(start, start + spec["batch_size"]))
            rule.zero_grad(set_to_none=False)
            cross_entropy(module(inputs), labels).backward()
            rule.step()
        np.testing.assert_allclose(
            found["thetas"][1, epoch + 1], network.theta.numpy(), rtol=1e-4, atol=1e-6
        )


def test_the_jump_point_is_measured_with_the_statistics_of_the_minimum(
    dataset, minimum, spec, retrain
):
    found = read(retrain())
    network = create_network(describe_network(spec["network"], dataset))
    network.buffers.copy_(torch.from_numpy(minimum["buffers"]))
    network.theta.copy_(torch.from_numpy(found["thetas"][2, 0]))
    images = move_images(dataset, "test", "cpu")
    network.module.eval()
    with torch.no_grad():
        logits = network.module(images.normalize(images.pixels))
    expected = float(cross_entropy(logits, images.labels))
    assert found["test_loss"][2, 0] == pytest.approx(expected, rel=1e-5)


def test_curves_and_weights_have_every_epoch_of_every_step(retrain, minimum):
    found = read(retrain())
    assert found["thetas"].shape == (len(STEPS), EPOCHS + 1, len(minimum["thetas"]))
    assert found["epochs"].tolist() == [0, 1, 2]
    norms = np.linalg.norm(found["thetas"].astype(np.float64), axis=2)
    np.testing.assert_allclose(found["theta_norm"], norms, rtol=1e-6)
    for name in SNAPSHOT_CURVES:
        assert np.isfinite(found[name]).all()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(owner, name, count, make):
    """Run `make` in a child that dies when it calls a function for the count-th time."""
    child = os.fork()
    if child:
        return os.WTERMSIG(os.waitpid(child, 0)[1])
    plain, calls = getattr(owner, name), 0

    def trapped(*arguments, **keywords):
        nonlocal calls
        calls += 1
        if calls == count:
            die()
        return plain(*arguments, **keywords)

    setattr(owner, name, trapped)
    try:
        make()
    finally:
        os._exit(0)


MOMENTS = [
    (classification, "take_batch", 1),
    (classification, "take_batch", 5),
    (classification, "take_batch", 8),  # within the second step size
    (checkpoint.Checkpoint, "_replace_state", 1),
    (checkpoint.Checkpoint, "_replace_state", 4),
    (checkpoint.Checkpoint, "rows", 2),  # while the rows are joined
    (checkpoint.Checkpoint, "rows", 6),
    (jumps, "save", 1),
    (os, "link", 1),
    (shutil, "rmtree", 1),
    (shutil, "rmtree", 2),
]


@pytest.mark.parametrize(
    ("owner", "name", "count"), MOMENTS, ids=[f"{name} {count}" for _, name, count in MOMENTS]
)
def test_a_killed_job_ends_in_the_same_bytes(owner, name, count, retrain):
    undisturbed = retrain("whole").read_bytes()
    assert kill_at(owner, name, count, lambda: retrain("killed")) == signal.SIGKILL
    assert kill_at(classification, "take_batch", 2, lambda: retrain("killed")) in (
        0,
        signal.SIGKILL,
    )
    assert retrain("killed").read_bytes() == undisturbed


@pytest.fixture
def trained(monkeypatch):
    """Give the list of the runs that are trained, by name."""
    found, plain = [], jumps.train_to_end

    def noting(run, *rest):
        found.append(run.spec["run"])
        return plain(run, *rest)

    monkeypatch.setattr(jumps, "train_to_end", noting)
    return found


def test_a_new_step_size_trains_only_what_is_new(retrain, trained):
    fresh = retrain("fresh").read_bytes()
    path = retrain("grown", step_sizes=[0.25, 1.0])
    path.unlink()  # as Snakemake does before it makes an artifact anew
    trained.clear()
    assert retrain("grown").read_bytes() == fresh
    assert trained == ["min-d7 step 0.5"]


def test_a_job_of_several_directions_makes_anew_only_what_changed(retrain, trained):
    path = retrain(directions=(1, 2))
    trained.clear()
    path.unlink()
    retrain(directions=(1, 2, 3))
    assert {name.partition(" ")[0] for name in trained} == {"min-d3"}


@pytest.mark.parametrize("change", [{"epochs": 1}, {"seed": 6}, {"code": "other"}])
def test_what_another_recipe_trained_is_not_used(retrain, trained, change):
    retrain()
    trained.clear()
    retrain(**change)
    assert len(trained) == len(STEPS)
    folder = retrain(**change).parents[1] / ".resume" / "jumps"
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1, "the old one is cleared"


def test_a_damaged_second_name_is_trained_anew(retrain, trained):
    path = retrain()
    whole = path.read_bytes()
    (kept,) = path.parents[1].glob(".resume/jumps/*/finished.h5")
    kept.unlink()
    kept.write_bytes(whole[: len(whole) // 2])
    trained.clear()
    assert retrain().read_bytes() == whole
    assert len(trained) == len(STEPS)


def flip(path, offset):
    """Change one byte of a file, and of no other that shares its bytes."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_one_damaged_byte_of_a_large_second_name_is_never_used(
    retrain, trained, monkeypatch, share, caplog
):
    fresh = retrain("fresh").read_bytes()
    path = retrain("grown", step_sizes=[0.25, 1.0])
    path.unlink()
    (kept,) = path.parents[1].glob(".resume/jumps/*/finished.h5")
    flip(kept, int(share * kept.stat().st_size))
    for limit in ("VERIFY_BYTES", "SEALED_BYTES"):  # as if it were larger than what is verified
        monkeypatch.setattr(store, limit, 1)
    trained.clear()
    assert retrain("grown").read_bytes() == fresh
    assert len(trained) == len(STEPS)
    assert f"{kept}: damaged or of another run; nothing of it is used" in caplog.text


@pytest.mark.parametrize("other", [{"direction": 8}, {"seed": 6}, {"inputs": "another"}], ids=str)
def test_the_second_name_of_another_run_is_never_used(retrain, trained, other, dataset, minimum):
    fresh = retrain("fresh").read_bytes()
    path = retrain("grown", step_sizes=[0.25, 1.0])
    (kept,) = path.parents[1].glob(".resume/jumps/*/finished.h5")
    found = read_provenance(path)
    path.unlink()
    inputs = {"trajectory/min": other["inputs"]} if "inputs" in other else found.inputs
    changed = found.parameters() | {k: v for k, v in other.items() if k != "inputs"}
    theirs = path.parents[2] / "theirs" / "jumps" / path.name
    made = {theirs: Provenance(canonical_json(changed), found.code, inputs)}
    jump_and_retrain(dataset, minimum, made, "cpu", logging.getLogger())
    kept.unlink()
    shutil.copy(theirs, kept)
    trained.clear()
    assert retrain("grown").read_bytes() == fresh
    assert len(trained) == len(STEPS)


@pytest.mark.parametrize("name", ["thetas.f32", "buffers.f32", "state.h5"])
def test_a_damaged_resume_point_of_one_step_size_trains_that_one_anew(retrain, name, caplog):
    fresh = retrain("fresh").read_bytes()
    killed = kill_at(classification, "take_batch", 8, lambda: retrain("killed"))  # in the second
    assert killed == signal.SIGKILL
    folder = next((retrain("fresh").parents[2] / "killed").glob(".resume/jumps/*/step-0_25"))
    flip(folder / name, 700)
    caplog.clear()
    assert retrain("killed").read_bytes() == fresh
    said = [line for line in caplog.messages if "training begins anew" in line]
    assert [line.partition(":")[0] for line in said] == [str(folder)]


def test_rows_that_are_damaged_after_training_make_no_artifact(retrain, monkeypatch):
    plain = jumps.train_to_end

    def damaging(run, point, log):
        plain(run, point, log)
        if run.spec["run"].endswith("step 1"):
            flip(point.folder / "thetas.f32", 100)

    monkeypatch.setattr(jumps, "train_to_end", damaging)
    with pytest.raises(LossmapError, match="step-1_0: damaged since it was trained; run again"):
        retrain()


def test_nothing_but_the_second_name_is_left(retrain):
    path = retrain()
    (folder,) = (p for p in (path.parents[1] / ".resume" / "jumps").iterdir() if p.is_dir())
    assert [left.name for left in folder.iterdir()] == ["finished.h5"]
    assert (folder / "finished.h5").samefile(path), "no second copy on the disk"


def test_a_file_system_without_hard_links_will_do(retrain, monkeypatch):
    whole = retrain("with").read_bytes()

    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert retrain("without").read_bytes() == whole
    assert retrain("without").read_bytes() == whole


def test_a_divergence_names_the_jump(retrain, spec):
    with pytest.raises(LossmapError, match=r"'min-d7 step 0.25' diverged.*lower optimizer.lr"):
        retrain(optimizer=spec["optimizer"] | {"lr": 1e30})
