"""What a researcher would write on a GPU: a DataLoader with workers, a loop, `loss.item()`.

Each measurement is a program of its own, run before or after ours on the same card: lossmap changes
how its process computes and keeps memory. Its transforms do what torchvision's do, in NumPy, one
image at a time.
"""

import argparse
import json
import time

import numpy as np
import torch
from materials import NETWORKS, draw_dataset
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from lossmap.network.factory import build_network


class Transformed(Dataset):
    """Images one at a time: padded, cropped and mirrored at random if asked; normalized."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, augmented: bool):
        self.images, self.labels, self.augmented = images, labels.tolist(), augmented
        self.mean = np.full(3, 0.5, np.float32)
        self.deviation = np.full(3, 0.3, np.float32)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.images[index]
        if self.augmented:
            height, width = image.shape[:2]
            padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
            row, column = torch.randint(0, 9, (2,)).tolist()
            image = padded[row : row + height, column : column + width]
            if torch.rand(()).item() < 0.5:
                image = image[:, ::-1]
        scaled = (image.astype(np.float32) / 255.0 - self.mean) / self.deviation
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1))), self.labels[index]


def build(network: str, width: float, device: str) -> torch.nn.Module:
    """Return a network on the device, in exact float32 as the others in the comparison."""
    torch.backends.cudnn.allow_tf32 = False
    options = {"classes": 10, "channels": 3, "width": width, "seed": 0}
    return build_network(NETWORKS[network], **options).to(device)


def load(images: int, size: int, batch: int, workers: int, training: bool) -> DataLoader:
    """Return the loader; its workers live on from one epoch to the next."""
    drawn = draw_dataset(images, size=size)
    return DataLoader(
        Transformed(drawn.train_images, drawn.train_labels, augmented=training),
        batch_size=batch,
        shuffle=training,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )


def train(given: argparse.Namespace) -> dict:
    """Return images per second of training."""
    module = build(given.network, given.width, given.device).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    loader = load(given.images, given.size, given.batch, given.workers, training=True)
    step, seen, started = 0, 0, time.perf_counter()
    while step < given.warm_up or time.perf_counter() - started < given.seconds:
        for batch in loader:
            inputs, targets = (tensor.to(given.device, non_blocking=True) for tensor in batch)
            optimizer.zero_grad()
            loss = cross_entropy(module(inputs), targets)
            loss.backward()
            optimizer.step()
            loss.item()
            step, seen = step + 1, seen + len(targets)
            if step == given.warm_up:
                seen, started = 0, time.perf_counter()
            if step > given.warm_up and time.perf_counter() - started >= given.seconds:
                break
    return {"images_per_second": seen / (time.perf_counter() - started)}


@torch.no_grad()
def evaluate(given: argparse.Namespace) -> dict:
    """Return seconds per point of a landscape: load a state, one pass over all images."""
    module = build(given.network, given.width, given.device).train()
    loader = load(given.images, given.size, given.batch, given.workers, training=False)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    points, started = -1, time.perf_counter()
    while points < 1 or time.perf_counter() - started < given.seconds:
        module.load_state_dict(state)
        total = 0.0
        for batch in loader:
            inputs, targets = (tensor.to(given.device, non_blocking=True) for tensor in batch)
            total += cross_entropy(module(inputs), targets, reduction="sum").item()
        points += 1
        if points == 0:  # one to warm up
            started = time.perf_counter()
    return {"seconds_per_point": (time.perf_counter() - started) / points}


def main() -> None:
    """Measure one of the two and print it as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["train", "evaluate"])
    parser.add_argument("--network", required=True)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm-up", type=int, default=30, help="steps before the clock runs")
    given = parser.parse_args()
    print(json.dumps({"train": train, "evaluate": evaluate}[given.what](given)))


if __name__ == "__main__":
    main()
