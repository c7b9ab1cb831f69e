"""Seconds per point of a landscape, beside a plain PyTorch loop over the same images.

ResNet20 at full width, 11 x 11 points, 1,000 images 32 x 32, two threads.
LOSSMAP_BENCH_FULL=1 takes all points instead of nine.
"""

import os

import numpy as np
import pytest
import torch
from plain_loops import Child, alternate, make_point, random_dataset, timed

from lossmap.geometry.planes.fn import draw_filter_normalized
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.surface import LossSurface, spread_positions
from lossmap.network.throughput import count_forward_macs

NETWORK = {
    "factory": "lossmap.network.models.resnet:resnet20",
    "classes": 10,
    "channels": 3,
    "seed": 0,
    "width": 1.0,
}
EVALUATION = {"images": 1000, "batch": 250, "seed": 0}
THREADS, RESOLUTION = 2, 11
POINTS = RESOLUTION**2 if os.environ.get("LOSSMAP_BENCH_FULL") else 9
CLOSE = {"float32": 1e-5, "bf16": 2e-2}


class Landscape:
    """The points of a plane, by both ways."""

    def __init__(self, statistics: str, precision: str):
        fix_arithmetic(THREADS, "cpu")
        dataset = random_dataset()
        self.surface = LossSurface(dataset, NETWORK, EVALUATION, "recalibrate", "cpu")
        self.center = self.surface.network.theta.clone()
        self.surface.evaluate(self.center)  # leaves running statistics that fit the center
        buffers = self.surface.network.buffers.numpy().copy()
        self.surface = LossSurface(dataset, NETWORK, EVALUATION, statistics, "cpu", precision)
        self.surface.set_buffers(buffers)
        layout = self.surface.network.layout
        drawn = draw_filter_normalized(self.center.numpy(), layout, seed=0)
        self.first, self.second = torch.from_numpy(drawn)
        positions = spread_positions(RESOLUTION, 0.5)
        chosen = np.linspace(0, RESOLUTION**2 - 1, POINTS).round().astype(int)
        self.points = [(positions[k // RESOLUTION], positions[k % RESOLUTION]) for k in chosen]

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the images as the surface sees them, in its order, channels first."""
        inputs = torch.cat([inputs for inputs, _ in self.surface.batches])
        labels = torch.cat([labels for _, labels in self.surface.batches])
        return inputs.contiguous().numpy(), labels.numpy()

    def evaluate(self, alpha: float, beta: float) -> float:
        theta = self.center + float(alpha) * self.first + float(beta) * self.second
        return self.surface.evaluate(theta)[0]

    def state(self, alpha: float, beta: float) -> dict[str, np.ndarray]:
        theta = self.center + float(alpha) * self.first + float(beta) * self.second
        network = self.surface.network
        flats = ((network.layout, theta), (network.buffer_layout, network.buffers))
        return {
            name: flat[part].view(shape).numpy()
            for layout, flat in flats
            for name, _, shape, part in layout.parts()
        }


def measure_multiply_rate(dtype: torch.dtype) -> float:
    """Return the multiply-adds per second of a large matrix product: no convolution is faster."""
    left, right = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    (seconds,) = alternate(5, lambda: timed(lambda: left @ right))
    return 2048**3 / seconds


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("statistics", ["center", "batch"])
def test_a_point_of_the_landscape(benchmark, capsys, statistics, precision):
    landscape = Landscape(statistics, precision)
    images, labels = landscape.images()
    here = make_point(NETWORK, statistics, images, labels, THREADS)
    points = iter([landscape.points[0], *landscape.points])
    losses = {}

    with Child(make_point, NETWORK, statistics, images, labels, THREADS) as child:

        def ours() -> float:
            landscape.at = next(points)
            return timed(lambda: losses.update(ours=landscape.evaluate(*landscape.at)))

        def plain() -> float:
            seconds, losses["plain"] = child(landscape.state(*landscape.at))
            return seconds

        def plain_with_our_memory() -> float:
            state = landscape.state(*landscape.at)
            seconds = timed(lambda: losses.update(here=here(state)))
            for way in ("plain", "here"):
                assert losses["ours"] == pytest.approx(losses[way], rel=CLOSE[precision])
            return seconds

        found, usual, helped = alternate(POINTS, ours, plain, plain_with_our_memory)
    dtype = {"float32": torch.float32, "bf16": torch.bfloat16}[precision]
    macs = count_forward_macs(landscape.surface.network.module, (3, 32, 32))
    floor = len(images) * macs / measure_multiply_rate(dtype)
    benchmark.extra_info.update(ratio=usual / found, ratio_same_memory=helped / found)
    benchmark.pedantic(landscape.evaluate, args=landscape.points[0], rounds=3)
    with capsys.disabled():
        print(
            f"\nlandscape, {statistics}, {precision}: {found:.3f} s a point; plain {usual:.3f} s, "
            f"ratio {usual / found:.2f}; plain with our allocator {helped:.3f} s, "
            f"ratio {helped / found:.2f}; matrix products alone {floor:.3f} s"
        )
