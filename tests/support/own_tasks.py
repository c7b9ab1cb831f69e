"""Tasks as people write them: other data, other networks, other losses than those of images."""

import torch
from torch import nn
from torch.nn import functional


class Task:
    """Fixed batches of made-up data; a subclass says what they are."""

    loss_label = "squared error"

    def __init__(self, seed: int = 0):
        self.seed = seed

    def batches(self, split: str) -> list:
        generator = torch.Generator().manual_seed(self.seed + (split == "test"))
        count = 4 if split == "train" else 1
        return [self.draw(generator) for _ in range(count)]


class Table(Task):
    """Rows of floats in three classes, an MLP with batch norm."""

    loss_label = "cross-entropy (nats)"

    def network(self):
        hidden = [nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Linear(8, 3))

    def draw(self, generator):
        rows = torch.randn(12, 5, generator=generator)
        return rows, rows[:, :3].argmax(1)

    def loss(self, network, batch):
        rows, classes = batch
        return functional.cross_entropy(network(rows), classes, reduction="none")

    def measures(self, network, batch):
        rows, classes = batch
        return {"accuracy": (network(rows).argmax(1) == classes).float()}


class Regression(Task):
    """A linear map and its noise; what it computes has a closed form."""

    loss_label = "squared error (m²)"

    def network(self):
        return nn.Linear(3, 1)

    def draw(self, generator):
        inputs = torch.randn(10, 3, generator=generator)
        noise = 0.1 * torch.randn(10, generator=generator)
        return {"x": inputs, "y": inputs @ torch.tensor([1.0, -2.0, 0.5]) + 1.0 + noise}

    def loss(self, network, batch):
        return (network(batch["x"])[:, 0] - batch["y"]) ** 2


class Text(Task):
    """Sentences of integer tokens, padded, in two classes; dropout."""

    loss_label = "cross-entropy (nats)"

    def network(self):
        return Reader()

    def draw(self, generator):
        lengths = torch.randint(2, 7, (9,), generator=generator)
        tokens = torch.randint(1, 20, (9, 6), generator=generator)
        tokens[torch.arange(6) >= lengths[:, None]] = 0
        return tokens, (tokens > 10).sum(1) > (tokens > 0).sum(1) / 2

    def loss(self, network, batch):
        tokens, positive = batch
        logits = network(tokens)
        return functional.binary_cross_entropy_with_logits(
            logits, positive.float(), reduction="none"
        )

    def measures(self, network, batch):
        tokens, positive = batch
        return {"accuracy": ((network(tokens) > 0) == positive).double()}


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 6, padding_idx=0)
        self.drop, self.head = nn.Dropout(0.1), nn.Linear(6, 1)

    def forward(self, tokens):
        known = (tokens > 0).float()[..., None]
        mean = (self.words(tokens) * known).sum(1) / known.sum(1)
        return self.head(self.drop(mean))[:, 0]


class Segmentation(Task):
    """A class for every pixel; the loss of an image is the mean over its pixels."""

    loss_label = "cross-entropy (nats per pixel)"

    def network(self):
        hidden = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Conv2d(4, 2, 1))

    def draw(self, generator):
        images = torch.randn(6, 1, 7, 7, generator=generator)
        return images, (functional.avg_pool2d(images, 3, 1, 1)[:, 0] > 0).long()

    def loss(self, network, batch):
        images, masks = batch
        pixels = functional.cross_entropy(network(images), masks, reduction="none")
        return pixels.flatten(1).mean(1)


class Autoencoder(Task):
    """A batch is one tensor."""

    loss_label = "reconstruction error"

    def network(self):
        return nn.Sequential(nn.Linear(6, 2), nn.Tanh(), nn.Linear(2, 6))

    def batches(self, split):
        return super().batches(split) if split == "train" else []

    def draw(self, generator):
        return torch.randn(8, 6, generator=generator)

    def loss(self, network, batch):
        return (network(batch) - batch).square().mean(1)


class WithDict(Table):
    """A network that returns a dict and takes keywords."""

    def network(self):
        return Heads()

    def loss(self, network, batch):
        rows, classes = batch
        return functional.cross_entropy(network(rows=rows)["logits"], classes, reduction="none")

    def measures(self, network, batch):
        rows, classes = batch
        return {"accuracy": network(rows=rows)["logits"].argmax(1) == classes}


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, *, rows):
        features = self.body(rows).tanh()
        return {"logits": self.head(features), "features": features}


TASKS = {
    "table": Table,
    "regression": Regression,
    "text": Text,
    "segmentation": Segmentation,
    "autoencoder": Autoencoder,
    "dict": WithDict,
}


def make_task(kind: str, seed: int = 0) -> Task:
    """Return what a configuration names."""
    return TASKS[kind](seed)
