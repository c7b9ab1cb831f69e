"""What a researcher would write: the plain loops that lossmap is compared with.

Each runs in a process of its own, as it would at home: lossmap changes how its process keeps
memory, which helps a plain loop too.
"""

import multiprocessing
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lossmap.artifacts.dataset import Dataset as Images
from lossmap.network.factory import build_network

MEAN, DEVIATION = (0.5, 0.5, 0.5), (0.3, 0.3, 0.3)


def random_dataset() -> Images:
    """Give 1,000 random images, 32 x 32, of ten classes; their content changes no speed."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1000, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(1000, dtype=np.int64) % 10
    names = [str(label) for label in range(10)]
    return Images(images, labels, images[:10], labels[:10], names, np.full(3, 0.5), np.full(3, 0.3))


class Child:
    """A function in a process of its own.

    Called, it returns the seconds that the function took and what it returned.
    """

    def __init__(self, make: Callable, *arguments: object):
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make, arguments))
        self._process.start()

    def __call__(self, *arguments: object) -> tuple[float, object]:
        self._connection.send(arguments)
        return self._connection.recv()

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.send(None)
        self._process.join()


def _serve(connection, make: Callable, arguments: tuple) -> None:
    call = make(*arguments)
    while (given := connection.recv()) is not None:
        started = time.perf_counter()
        found = call(*given)
        connection.send((time.perf_counter() - started, found))


def alternate(rounds: int, *calls: Callable[[], float]) -> list[float]:
    """Return the median seconds of each call, in turn, so that a busy machine slows all alike."""
    seconds = [[call() for call in calls] for _ in range(rounds + 1)]
    return [median(column) for column in list(zip(*seconds[1:], strict=True))]  # one to warm up


def timed(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def make_point(network: dict, statistics: str, images, labels, threads: int) -> Callable:
    """Return the loss as a function of a state dict: load it, batches of 250, no gradients."""
    torch.set_num_threads(threads)
    module = build_network(**network).train(statistics == "batch")
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)

    def evaluate(state: dict[str, np.ndarray]) -> float:
        module.load_state_dict({n: torch.from_numpy(v) for n, v in state.items()}, strict=False)
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(images), 250):
                logits = module(images[start : start + 250])
                loss = cross_entropy(logits, labels[start : start + 250], reduction="sum")
                total += loss.item()
        return total / len(images)

    return evaluate


class _Augmented(Dataset):
    def __init__(self, images: np.ndarray, labels: np.ndarray, distorted: bool):
        self.images = [Image.fromarray(image) for image in images]
        self.labels = labels.tolist()
        distortions = [transforms.RandomRotation(45), transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)]
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                *(distortions if distorted else []),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, DEVIATION),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def make_epoch(
    network: dict, images, labels, distorted: bool, batch: int, threads: int, workers: int
) -> Callable:
    """Return one epoch of SGD with a DataLoader and torchvision's transforms; gives its loss."""
    torch.set_num_threads(threads)
    module = build_network(**network).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(
        _Augmented(images, labels, distorted),
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )

    def train() -> float:
        total = 0.0
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = cross_entropy(module(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total / len(loader)

    return train
