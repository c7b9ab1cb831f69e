import numpy as np
import pytest

from lossmap.artifacts.curves import CURVES
from lossmap.artifacts.distance import Origins
from lossmap.errors import LossmapError
from lossmap.geometry.distances import measure_cloud_geometry
from lossmap.geometry.retraining import (
    measure_detours,
    measure_embedded_retraining,
    measure_embedded_return,
    measure_enclosed_areas,
    measure_final_spread,
    measure_net_cosines,
    measure_retraining,
    measure_return,
    measure_turns,
)

OPTIMUM = np.array([10.0, 20.0, 30.0])


def make_cloud(paths, optimum=None, sources=("run",), direction=None):
    """Return the cloud of hand-made paths, float64 (points, 3) each, around an optimum."""
    rows = np.concatenate([*([optimum[None]] if optimum is not None else []), *paths])
    before = len(rows) - sum(len(path) for path in paths)
    trajectory = np.r_[[-1] * before, np.repeat(range(len(paths)), [len(p) for p in paths])]
    trajectory = trajectory.astype(np.int64)
    source = np.maximum(trajectory, 0) if len(sources) > 1 else 0 * trajectory
    origins = Origins(
        is_optimum=(trajectory < 0).astype(np.int8),
        trajectory=trajectory,
        source=source,
        direction=np.where(trajectory < 0, -1, 40 + trajectory),
        step_size=np.where(trajectory < 0, np.nan, 0.25 * (1 + trajectory)),
        epoch=np.arange(len(rows)),
        **{name: np.full(len(rows), np.nan) for name in CURVES},
        sources=list(sources),
    )
    return measure_cloud_geometry({"rows": rows}, origins)


def around(*offsets):
    return OPTIMUM + np.array(offsets, float)


STRAIGHT = around([4, 0, 0], [2, 0, 0], [1, 0, 0])
OUTWARD = around([0, 2, 0], [0, 4, 0], [0, 6, 0], [0, 1, 0])
TURNING = around([1, 0, 0], [0, 1.5, 0], [-2, 0, 0])


def test_straight_way_back():
    found = measure_retraining(make_cloud([STRAIGHT], OPTIMUM))

    assert found.outward == pytest.approx([1])
    assert found.monotone == pytest.approx([1])
    assert found.cosine == pytest.approx([1])
    assert found.angle == pytest.approx([0], abs=1e-6)


def test_way_outward_first():
    found = measure_retraining(make_cloud([STRAIGHT, OUTWARD], OPTIMUM))

    assert found.outward == pytest.approx([1, 3])
    assert found.monotone == pytest.approx([1, 1 / 3])
    assert found.cosine == pytest.approx([1, 1])
    assert found.direction.tolist() == [40, 41]
    assert found.step_size.tolist() == [0.25, 0.5]


def test_turning_around_the_optimum():
    found = measure_retraining(make_cloud([TURNING], OPTIMUM))

    assert found.outward == pytest.approx([2])
    assert found.monotone == pytest.approx([0])
    assert found.cosine == pytest.approx([-0.5])
    assert found.angle == pytest.approx([np.pi])


def test_reaching_the_optimum_exactly_leaves_no_direction_there():
    found = measure_retraining(make_cloud([around([4, 0, 0], [2, 0, 0], [0, 0, 0])], OPTIMUM))

    assert found.cosine == pytest.approx([1])
    assert found.monotone == pytest.approx([1])


def test_embedding_is_seen_from_the_centroid_of_last_points():
    cloud = make_cloud([np.ones((3, 3))] * 2 + np.arange(18).reshape(2, 3, 3) / 9)
    points = np.array([[3, 0], [4, 0], [1, 0], [0, 2], [-2, 0], [-1, 0]], float)
    found = measure_embedded_retraining(points, cloud.origins)

    assert found.outward == pytest.approx([4 / 3, 1])
    assert found.monotone == pytest.approx([0.5, 0.5])
    assert found.cosine == pytest.approx([1, 0])
    assert found.angle == pytest.approx([0, np.pi / 2])


@pytest.mark.parametrize("path", [STRAIGHT[:1], around([0, 0, 0], [1, 0, 0])])
def test_trajectory_without_jump_or_epoch_is_named(path):
    with pytest.raises(LossmapError, match=r"direction 40, step 0.25: \d points"):
        measure_retraining(make_cloud([path], OPTIMUM))


def test_cloud_without_optimum_is_refused():
    with pytest.raises(LossmapError, match="the cloud of run has 0"):
        measure_retraining(make_cloud([STRAIGHT]))


RUNS = make_cloud(
    [
        np.array([[1.0, 0, 0], [2, 0, 0], [3, 0, 0]]),
        np.array([[1.0, 0, 0], [1, 3, 0], [5, 3, 0]]),
        np.array([[1.0, 0, 0], [1, 1, 0], [0, 0, 0.5]]),
    ],
    sources=("a", "b", "c"),
)


def test_net_displacements_are_compared():
    net = np.array([[2, 0, 0], [4, 3, 0], [-1, 0, 0.5]])
    unit = net / np.linalg.norm(net, axis=1, keepdims=True)

    np.testing.assert_allclose(measure_net_cosines(RUNS), unit @ unit.T, atol=1e-12)


def test_detours():
    wanted = [1, 7 / 5, (1 + 1.5) / np.sqrt(1.25)]

    assert measure_detours(RUNS) == pytest.approx(wanted)
    assert measure_detours(make_cloud([TURNING[[0, 1, 0]]])).tolist() == [np.inf]


def test_final_spread_of_groups():
    ends = np.array([[3, 0, 0], [5, 3, 0], [0, 0, 0.5]])
    ab, ac, bc = (np.linalg.norm(ends[i] - ends[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    found = measure_final_spread(RUNS, {"two": ["a", "b"], "all": ["c", "a", "b"]})

    assert found == pytest.approx({"two": ab, "all": (ab + ac + bc) / 3})


@pytest.mark.parametrize("members", [["a"], ["a", "z"]])
def test_group_of_strangers_or_of_one_is_named(members):
    with pytest.raises(LossmapError, match="group 'SGD': expected two or more of a, b, c"):
        measure_final_spread(RUNS, {"SGD": members})


def test_return_along_and_across_the_jump():
    straight, circle = (
        around([4, 0, 0], [2, 0, 0], [0, 0, 0]),
        around([2, 0, 0], [1, 3, 0], [0, 0, -2]),
    )
    found = measure_return(make_cloud([straight, circle], OPTIMUM))

    np.testing.assert_allclose(found.along, [[1, 0.5, 0], [1, 0.5, 0]], atol=1e-9)
    np.testing.assert_allclose(found.across, [[0, 0, 0], [0, 1.5, 1]], atol=1e-6)
    assert found.direction.tolist() == [40, 41]
    assert found.step_size.tolist() == [0.25, 0.5]


def test_return_needs_a_jump_and_equal_numbers_of_epochs():
    with pytest.raises(LossmapError, match="no length"):
        measure_return(make_cloud([around([0, 0, 0], [1, 0, 0])], OPTIMUM))
    with pytest.raises(LossmapError, match="number of epochs"):
        measure_return(make_cloud([STRAIGHT, OUTWARD], OPTIMUM))


def test_return_in_a_picture_is_around_the_centroid_of_the_ends():
    paths = [np.array([[4.0, 0], [3, 1], [1, 0]]), np.array([[-4.0, 0], [-3, 1], [-1, 0]])]
    points = np.concatenate(paths)
    cloud = make_cloud([OPTIMUM + np.pad(path, ((0, 0), (0, 1))) for path in paths], OPTIMUM)
    rows = cloud.origins.trajectory >= 0
    origins = Origins(
        **{
            name: value[rows] if isinstance(value, np.ndarray) else value
            for name, value in vars(cloud.origins).items()
        }
    )
    found = measure_embedded_return(points, origins)

    np.testing.assert_allclose(found.along, [[1, 3 / 4, 1 / 4]] * 2)
    np.testing.assert_allclose(found.across[:, 1], 1 / 4)


def trajectories(*paths):
    lengths = [len(path) for path in paths]
    rows = np.repeat(np.arange(len(paths)), lengths)
    return np.concatenate([np.asarray(path, float) for path in paths]), rows


def test_enclosed_area_is_zero_on_a_ray_and_that_of_a_circle():
    angles = np.linspace(0, 2 * np.pi, 400)
    circle = 3 * np.column_stack([np.cos(angles), np.sin(angles)]) + 7
    ray = np.outer([4, 6, 1, 2], [1.0, 2.0])
    square = [[0, 0], [2, 0], [2, 2], [0, 2]]
    points, rows = trajectories(circle, ray, square, np.ones((3, 2)))

    found = measure_enclosed_areas(points, rows)
    np.testing.assert_allclose(found, [1 / (4 * np.pi), 0, 4 / 36, 0], rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose(measure_enclosed_areas(9 * points, rows), found, atol=1e-12)


def test_turns_are_the_angles_between_steps():
    straight, right, back = (
        [[0, 0], [1, 0], [3, 0]],
        [[0, 0], [2, 0], [2, 1]],
        [[0, 0], [2, 0], [1, 0]],
    )
    resting = [[5, 5], [5, 5], [6, 5], [6, 7]]
    points, rows = trajectories(straight, right, back, resting, [[1, 1], [1, 2]])
    distances = np.linalg.norm(points[:, None] - points, axis=-1)

    found = measure_turns(distances, rows)
    np.testing.assert_allclose(found[:4], [0, np.pi / 2, np.pi, np.pi / 2], atol=1e-7)
    assert np.isnan(found[4])
