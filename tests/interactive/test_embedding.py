import numpy as np
import pytest

from lossmap.interactive.embedding import MOST_FRAMES, MOST_POINTS, draw_embedding, thin


def cloud(trajectories=3, epochs=4):
    count = trajectories * epochs
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, 2)), {
        "trajectory": np.repeat(np.arange(trajectories), epochs),
        "epoch": np.tile(np.arange(epochs), trajectories),
        "loss": np.linspace(0.01, 10.0, count),
        "direction": np.repeat(np.arange(trajectories), epochs),
        "run": np.repeat([f"run{i}" for i in range(trajectories)], epochs),
        "accuracy": np.full(count, np.nan),
    }


def test_colors_are_those_that_are_known():
    figure = draw_embedding(*cloud())
    (menu,) = figure.layout.updatemenus
    labels = [button.label for button in menu.buttons]
    assert labels == ["epoch", "training loss (nats)", "direction", "run"]


def test_colors_by_loss_are_logarithmic():
    points, columns = cloud()
    (menu,) = draw_embedding(points, columns).layout.updatemenus
    (values,) = menu.buttons[1].args[0]["marker.color"]
    assert values == pytest.approx(np.log10(columns["loss"]), rel=1e-5)


def test_slider_selects_what_has_happened_until_then():
    points, columns = cloud()
    figure = draw_embedding(points, columns)
    chosen = {frame.name: frame.data[0].selectedpoints for frame in figure.frames}
    assert list(chosen) == ["0", "1", "2", "3"]
    assert (np.flatnonzero(columns["epoch"] <= 1) == chosen["1"]).all()
    assert len(chosen["3"]) == len(points)


def test_lines_join_no_two_trajectories():
    figure = draw_embedding(*cloud(trajectories=3, epochs=4))
    assert np.isnan(figure.data[0].x).sum() == 3
    assert len(figure.data[0].x) == 3 * 4 + 3


def test_slider_has_few_stops_and_ends_at_the_last_epoch():
    figure = draw_embedding(*cloud(2, 200))
    assert len(figure.frames) <= MOST_FRAMES + 1
    assert figure.frames[-1].name == "199"


def test_hover_says_loss_direction_and_run():
    points = draw_embedding(*cloud()).data[1]
    assert "training loss (nats) %{customdata[1]:.4g}" in points.hovertemplate
    assert points.text[-1] == "run2"


def test_large_clouds_keep_the_ends_of_every_trajectory():
    epochs = 150
    trajectory = np.repeat(np.arange(100), epochs)
    epoch = np.tile(np.arange(epochs), 100)
    rows = thin(trajectory, epoch)
    assert len(rows) < 1.2 * MOST_POINTS
    for index in range(100):
        kept = epoch[rows][trajectory[rows] == index]
        assert (kept.min(), kept.max()) == (0, epochs - 1)
    assert (thin(trajectory[:300], epoch[:300]) == np.arange(300)).all()
