"""Networks with a memory: what they remember is in snapshots and set back, or they are refused."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.jumps import Jumps
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load_part, stream
from lossmap.artifacts.trajectory import Trajectory, load_layouts
from lossmap.errors import LossmapError
from lossmap.geometry.plane import fit_basis
from lossmap.network import capture
from lossmap.network.factory import build_network
from lossmap.network.images import draw_epoch, take_batch
from lossmap.network.jumps import jump_and_retrain, load_minimum
from lossmap.network.surface import evaluate_grid, open_surface, project_trajectory
from lossmap.network.training import Run

ASSIGNED = ["assignedmean", "assignedmeanalways", "assignedcounter", "inbackward", "recurrent"]
OF_ANY_TYPE = ["warmup", "doublemean", "flag", "complex", "half", "empty", "expanded", "scheduled"]
IN_PLACE = ["sharedinplace", "notpersistent", "cumulativenorm", "scaledbybuffer", "queue", "tied"]
WEIGHTS = ["constrainedweight", "constrainedinplace", "spectral", "spectralparametrized"]
OTHERS = ["pythondraws", "lastseen", "scaleonce", "norm_hand"]
EVALUATION = {"images": 30, "batch": 30, "seed": 2}


@pytest.fixture
def spec(spec):
    spec["optimizer"] |= {"lr": 0.05}
    return spec | {"metrics": {"images": 30}, "epochs": 2}


@pytest.fixture
def train(tmp_path, dataset, spec, train_through):
    """Give a function that trains a network of `own_networks`, killed before an epoch or not."""

    def make(name, folder="a", killed_before=None):
        artifact = tmp_path / folder / "trajectory" / "own.h5"
        whole = spec | {"network": spec["network"] | {"factory": f"own_networks:{name}"}}
        return train_through(dataset, whole, artifact, killed_before)

    return make


def find_basis(artifact, row=-1):
    options = {"method": "pca", "window": None, "seeds": [4], "ignore": "bias_bn"}
    with stream(artifact, Trajectory) as run:
        thetas, epochs = run["thetas"][()], run["epochs"][()]
    return fit_basis(thetas, epochs, row, load_layouts(artifact)[0], options)


@pytest.mark.parametrize("name", [*ASSIGNED, *OF_ANY_TYPE, *IN_PLACE, *WEIGHTS, *OTHERS])
def test_center_is_the_runs_own_loss_and_a_killed_run_ends_in_the_same_bytes(
    train, dataset, log, name
):
    artifact = train(name)
    assert artifact.read_bytes() == train(name, "killed", killed_before=1).read_bytes()
    history, basis = load_part(artifact, Trajectory, "history"), find_basis(artifact)
    options = {"evaluation": EVALUATION, "bn_statistics": "center"}
    surface = open_surface(artifact, dataset, basis, options, "cpu")
    grid = evaluate_grid(surface, basis, 3, 0.5, log)
    assert grid.loss[1, 1] == pytest.approx(history.train_loss[-1], rel=1e-7)
    with stream(artifact, Trajectory) as run:
        rows = run["thetas"], run["buffers"]
        found = project_trajectory(surface, basis, *rows, log, run.get("other_buffers"))
    np.testing.assert_allclose(found.loss[1:], history.train_loss[1:], rtol=1e-7)


@pytest.mark.parametrize("name", ["assignedmean", "assignedcounter", "constrainedweight", "queue"])
def test_training_is_that_of_a_plain_loop(dataset, spec, name):
    spec["network"]["factory"] = f"own_networks:{name}"
    run = Run(dataset, spec, "cpu")
    plain = build_network(**spec["network"], classes=3, channels=3).train()
    options = {k: v for k, v in spec["optimizer"].items() if k != "name"}
    optimizer = torch.optim.SGD(plain.parameters(), **options)
    plan = draw_epoch(run.feed.images, spec["seed"], 0, spec["augmentation"])
    for start in range(0, len(run.feed), spec["batch_size"]):
        inputs, labels = take_batch(run.feed.images, plan, slice(start, start + spec["batch_size"]))
        optimizer.zero_grad()
        cross_entropy(plain(inputs), labels).backward()
        for buffer in plain.buffers():
            buffer.detach_()
        optimizer.step()
    run.advance()
    found = run.network.module.state_dict()
    for key, values in plain.state_dict().items():
        torch.testing.assert_close(found[key], values, rtol=1e-4, atol=1e-6)


def test_measuring_a_snapshot_changes_nothing(dataset, spec):
    spec["network"]["factory"] = "own_networks:assignedmeanalways"
    often, once = Run(dataset, spec, "cpu"), Run(dataset, spec, "cpu")
    for _ in range(3):
        often.measure()
    for run in (often, once):
        run.advance()
    for name, values in often.rows().items():
        np.testing.assert_array_equal(values, once.rows()[name])


def test_every_batch_is_measured_at_the_state_of_the_snapshot(train, dataset):
    artifact = train("assignedmeanalways")
    basis, losses = find_basis(artifact), []
    for batch in (30, 7, 1):
        options = {"evaluation": EVALUATION | {"batch": batch}, "bn_statistics": "center"}
        surface = open_surface(artifact, dataset, basis, options, "cpu")
        losses.append(surface.evaluate(torch.from_numpy(basis.center))[0])
    assert losses == pytest.approx(losses[:1] * 3, rel=1e-6)


@pytest.mark.parametrize("name", ["warmup", "assignedmean", "scheduled"])
def test_retrainings_of_one_minimum_share_nothing(train, tmp_path, dataset, spec, log, name):
    spec["network"]["factory"] = f"own_networks:{name}"
    minimum, found = load_minimum(train(name)), []
    for folder, steps in {"alone": [0.5], "after": [0.25, 0.5]}.items():
        whole = spec | {"step_sizes": steps, "direction": 7, "ignore": "bias_bn"}
        path = tmp_path / folder / "jumps" / "own.h5"
        made = {path: Provenance(canonical_json(whole), "c0de", {})}
        jump_and_retrain(dataset, minimum, made, "cpu", log)
        with stream(path, Jumps) as file:
            found.append(file["thetas"][-1])
    np.testing.assert_array_equal(*found)


def test_bytes_of_other_buffers_are_where_the_file_says(train):
    with stream(train("half"), Trajectory) as run:
        layout = {key: run[f"other_layout/{key}"][()].tolist() for key in ("name", "dtype")}
        offsets = dict(zip(layout["name"], run["other_layout/offset"][()], strict=True))
        last, shapes = run["other_buffers"][-1], run["other_layout/shape"][()]
    assert layout == {"name": [b"m", b"small"], "dtype": [b"bfloat16", b"uint8"]}
    assert shapes.tolist() == [[4, 1, 1, 0], [3, 0, 0, 0]]
    assert last[offsets[b"small"] :].tolist() == [0, 6, 0]  # 2 epochs of 3 updates


REFUSED = {
    "sharedassigned": "buffer 'm' is shared by 2 modules and assigned anew",
    "othershape": r"buffer 'm' is float32 \(\) before a pass and float32 \(4, 1, 1\) after it",
    "othertype": r"buffer 'steps' is int64 \(\) before a pass and float32 \(\) after it",
    "gone": "buffer 'm' is float32 .* and gone after it",
    "lazy": "'m' comes or goes in a pass, .*; register it in __init__",
    "grows": "'extra.bias' comes or goes in a pass",
    "newparameter": "parameter 'head.weight' is another object after a pass",
    "overlapping": r"'conv.weight' and 'start' share memory, .*\.clone\(\)",
    "tiedbydata": "'a.weight' and 'b.weight' share memory",
    "sparse": "buffer 'table' is sparse or quantized",
    "pythoncounter": "network 'own_networks:pythoncounter': 'calls' changes from pass to pass",
    "latecounter": "'calls' changes from pass to pass, .*register_buffer",
    "plaintensor": "'m' changes from pass to pass",
    "inlist": "every tensor that can learn among parameters.*nn.ModuleList",
    "history": "'seen' changes from pass to pass",
    "plainnumbers": "'book' changes from pass to pass",
    "owngenerator": "'draw' changes from pass to pass, .*global generators",
    "owntorchgenerator": "'draw' changes from pass to pass",
    "teacher": "'teacher.weight' changes from pass to pass",
    "firstbatch": "the same batch gives another result .*it changes 'ready'",
    "outside": "the same batch gives another result when it passes again",
    "ontheclass": "the same batch gives another result when it passes again",
    "alwaysdrops": "AlwaysDrops draws random numbers in evaluation mode, .*self.training",
    "samplesnoise": r"layer 'noise' \(Noise\) draws random numbers in evaluation mode",
    "numpynoise": "NumpyNoise draws random numbers in evaluation mode",
    "fractional": r"layer 'pool' \(FractionalMaxPool2d\) draws random numbers",
    "alwaystrains": r"layer 'norm' \(BatchNorm2d\) is in training mode in evaluation",
}


@pytest.mark.parametrize("name", REFUSED)
def test_memory_outside_of_buffers_is_refused_in_one_line(dataset, spec, name):
    spec["network"]["factory"] = f"own_networks:{name}"
    with pytest.raises(LossmapError, match=REFUSED[name]) as caught:
        Run(dataset, spec, "cpu")
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)  # what comes then is the remedy


@pytest.mark.parametrize("name", ["small", "pythondraws"])
def test_the_trial_leaves_no_trace(dataset, spec, name):
    spec["network"]["factory"] = f"own_networks:{name}"
    torch.manual_seed(8)
    expected = torch.rand(3)
    torch.manual_seed(8)
    rows = Run(dataset, spec, "cpu").rows()
    assert torch.equal(torch.rand(3), expected)
    plain = build_network(**spec["network"], classes=3, channels=3)
    vector = torch.nn.utils.parameters_to_vector(plain.parameters()).detach()
    np.testing.assert_array_equal(rows["thetas"], vector)


def test_change_in_evaluation_is_said(dataset, spec, caplog):
    spec["network"]["factory"] = "own_networks:assignedmeanalways"
    Run(dataset, spec, "cpu")
    assert "changes 'm' in evaluation mode too; set back afterwards" in caplog.text


def test_landscape_that_does_not_repeat_is_refused(train, dataset, log):
    artifact = train("small")
    basis, passes = find_basis(artifact), []
    options = {"evaluation": EVALUATION, "bn_statistics": "batch"}
    surface = open_surface(artifact, dataset, basis, options, "cpu")

    def remember(_, __, outputs):
        passes.append(None)
        return outputs * 1.1 if len(passes) > 5 else outputs

    surface.network.module.register_forward_hook(remember)
    with pytest.raises(LossmapError, match=r"the landscape does not repeat: .*register_buffer"):
        evaluate_grid(surface, basis, 3, 0.5, log)


@pytest.mark.parametrize("name", ["assignedmean", "assignedcounter", "constrainedweight"])
def test_captured_updates_find_what_forward_assigned(recordings, dataset, spec, name):
    spec["network"]["factory"] = f"own_networks:{name}"
    with capture.disabled():
        eager = Run(dataset, spec, "cpu")
        eager.advance()
    replayed = Run(dataset, spec, "cpu")
    places = [held.view.data_ptr() for held in replayed.network.held]
    replayed.advance()
    assert len(recordings) == 2
    for key, values in eager.rows().items():
        np.testing.assert_array_equal(replayed.rows()[key], values)
    now = [
        dict(replayed.network.module.named_buffers()),
        dict(replayed.network.module.named_parameters()),
    ]
    tensors = {**now[0], **now[1]}
    assert places == [tensors[held.name].data_ptr() for held in replayed.network.held]
