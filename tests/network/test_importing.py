"""An imported run is the same as one that was trained here, from the same weights."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.recording import SnapshotRecorder
from lossmap.artifacts.store import load, load_part, stream
from lossmap.artifacts.trajectory import Trajectory, load_layouts, read_snapshot
from lossmap.errors import LossmapError
from lossmap.geometry.plane import fit_basis
from lossmap.network.importing import import_run
from lossmap.network.parameters import create_network, describe_network
from lossmap.network.surface import evaluate_grid, open_surface, project_trajectory
from lossmap.network.training import train_run


@pytest.fixture
def trained(tmp_path, dataset, spec, log):
    """Give a run that was trained here."""
    path = tmp_path / "trajectory" / "tiny.h5"
    train_run(dataset, spec, "cpu", path, Provenance(canonical_json(spec), "c0de", {}), log)
    return path


def imported_spec(spec, epochs, file="mine.h5") -> dict:
    return {
        "run": "mine",
        "network": spec["network"],
        "checkpoints": [{"epoch": epoch, "files": [file]} for epoch in epochs],
        "metrics": spec["metrics"],
    }


def bring(folder, dataset, spec, files, log):
    path = folder / "trajectory" / "mine.h5"
    provenance = Provenance(canonical_json(spec), "c0de", {})
    import_run(dataset, files, "cpu", path, provenance, log)
    return path


def record(trained, dataset, spec, path):
    """Record the snapshots of a run as its own training loop would have."""
    network = create_network(describe_network(spec["network"], dataset))
    with stream(trained, Trajectory) as run, SnapshotRecorder(path, network.module) as recorder:
        for row, epoch in enumerate(run["epochs"]):
            network.load(read_snapshot(run, row))
            recorder.record(int(epoch))
        return [int(epoch) for epoch in run["epochs"]]


@pytest.mark.parametrize("statistics", ["batch", "center", "recalibrate"])
def test_planes_grids_and_projections_equal_those_of_the_run_trained_here(
    tmp_path, dataset, spec, log, trained, statistics
):
    epochs = record(trained, dataset, spec, tmp_path / "mine.h5")
    brought = imported_spec(spec, epochs)
    brought["network"] = spec["network"] | {"seed": spec["seed"]}  # also of the measured images
    mine = bring(tmp_path, dataset, brought, {"mine.h5": tmp_path / "mine.h5"}, log)
    made = []
    for path in (trained, mine):
        layout, _ = load_layouts(path)
        with stream(path, Trajectory) as run:
            basis = fit_basis(run["thetas"], run["epochs"][()], 3, layout, {"method": "pca"})
            evaluation = {"images": 12, "batch": 6, "seed": 0}
            how = {"bn_statistics": statistics, "evaluation": evaluation}
            surface = open_surface(path, dataset, basis, how, "cpu")
            grid = evaluate_grid(surface, basis, 3, 1.0, log)
            seen = run["thetas"], run["buffers"], log, run.get("other_buffers")
            projection = project_trajectory(surface, basis, *seen)
        made.append((basis, grid, projection))
    for one, other in zip(*made, strict=True):
        for name, values in vars(one).items():
            np.testing.assert_array_equal(values, getattr(other, name), name)
    history, own = (load_part(path, Trajectory, "history") for path in (mine, trained))
    np.testing.assert_array_equal(history.train_loss[1:], own.train_loss[1:])
    np.testing.assert_array_equal(history.test_accuracy[1:], own.test_accuracy[1:])
    np.testing.assert_array_equal(history.theta_norm, own.theta_norm)


def test_center_at_epoch_0_of_a_loaded_network_has_statistics(
    tmp_path, dataset, spec, log, trained
):
    record(trained, dataset, spec, tmp_path / "mine.h5")
    files = {"mine.h5": tmp_path / "mine.h5"}
    mine = bring(tmp_path, dataset, imported_spec(spec, [0, 1, 2]), files, log)
    layout, _ = load_layouts(mine)
    with stream(mine, Trajectory) as run:
        basis = fit_basis(run["thetas"], run["epochs"][()], 0, layout, {"method": "pca"})
    how = {"bn_statistics": "center", "evaluation": {"images": 12, "batch": 6, "seed": 0}}
    surface = open_surface(mine, dataset, basis, how, "cpu")
    assert np.isfinite(surface.evaluate(surface.to_device(basis.center))[0])


def save_epochs(folder, dataset, spec, count):
    """Save networks of different seeds as checkpoints; return the files and the networks."""
    files, networks = {}, []
    for epoch in range(count):
        described = describe_network(spec["network"] | {"seed": epoch}, dataset)
        networks.append(create_network(described).module)
        files[f"e{epoch}.pt"] = folder / f"e{epoch}.pt"
        torch.save(networks[-1].state_dict(), folder / f"e{epoch}.pt")
    return files, networks


def spec_of_files(spec, files) -> dict:
    checkpoints = [{"epoch": int(name[1:-3]), "files": [name]} for name in files]
    return imported_spec(spec, []) | {"checkpoints": checkpoints, "metrics": None}


def test_losses_are_those_of_plain_pytorch_with_pixels_normalized_as_said(
    tmp_path, dataset, spec, log
):
    files, networks = save_epochs(tmp_path, dataset, spec, 2)
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    brought = spec_of_files(spec, files) | {"normalize": {"mean": mean, "std": std}}
    history = load_part(bring(tmp_path, dataset, brought, files, log), Trajectory, "history")
    shares = torch.from_numpy(dataset.test_images).float() / 255
    images = ((shares - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2)
    for network, loss in zip(networks, history.test_loss, strict=True):
        with torch.no_grad():
            plain = cross_entropy(network.eval()(images), torch.from_numpy(dataset.test_labels))
        assert loss == pytest.approx(float(plain), abs=1e-6)


def test_wrong_number_of_means_is_one_line(tmp_path, dataset, spec, log):
    files, _ = save_epochs(tmp_path, dataset, spec, 1)
    brought = spec_of_files(spec, files) | {"normalize": {"mean": [0.1], "std": [0.2]}}
    with pytest.raises(LossmapError, match=r"runs\.mine\.normalize: 1 means .* have 3 channels"):
        bring(tmp_path, dataset, brought, files, log)


def test_killed_import_goes_on_after_the_last_checkpoint(tmp_path, dataset, spec, log):
    files, _ = save_epochs(tmp_path, dataset, spec, 3)
    good = files["e2.pt"].read_bytes()
    files["e2.pt"].write_bytes(b"torn")
    with pytest.raises(LossmapError, match=r"e2\.pt"):
        bring(tmp_path, dataset, spec_of_files(spec, files), files, log)
    files["e2.pt"].write_bytes(good)
    for name in ("e0.pt", "e1.pt"):
        files[name].unlink()
    found = load(bring(tmp_path, dataset, spec_of_files(spec, files), files, log), Trajectory)
    assert found.thetas.shape[0] == len(found.history.train_loss) == 3
    assert not list((tmp_path / ".resume" / "trajectory").glob("*/"))


def test_loss_that_is_not_finite_names_the_checkpoint(tmp_path, dataset, spec, log):
    files, networks = save_epochs(tmp_path, dataset, spec, 1)
    state = {name: 1e30 * values for name, values in networks[0].state_dict().items()}
    torch.save(state, files["e0.pt"])
    with pytest.raises(LossmapError, match=r"e0\.pt \(epoch 0\): its training loss is"):
        bring(tmp_path, dataset, spec_of_files(spec, files), files, log)


def make_plain(num_classes: int, hidden: int) -> nn.Module:
    """Return a network, as a factory that knows nothing of our keywords does."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, hidden), nn.ReLU(), nn.Linear(hidden, num_classes)
    )


def test_factory_is_called_with_its_own_arguments_alone(dataset):
    described = {"factory": f"{__name__}:make_plain", "seed": 0}
    arguments = {"num_classes": 3, "hidden": 5}
    network = create_network(describe_network(described | {"arguments": arguments}, dataset))
    assert network.layout.size == 193 * 5 + 6 * 3
    wrong = copy.deepcopy(arguments) | {"depth": 2}
    with pytest.raises(LossmapError, match="under 'arguments' of the run"):
        create_network(describe_network(described | {"arguments": wrong}, dataset))
