"""Networks as people write them, each with a habit that snapshots and landscapes must survive."""

import itertools
import random
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

CALLS = itertools.count(1)


class Small(nn.Module):
    """A convolution, what a subclass does with its output, and a linear layer."""

    def __init__(self, classes: int, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)
        self.norm = nn.Identity()
        self.head = nn.Linear(4, classes)
        self.register()

    def register(self) -> None:
        """Make what `habit` needs."""

    def habit(self, x: torch.Tensor) -> torch.Tensor:
        """Do with (n, 4, 6, 6) what the network is here for."""
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.habit(self.norm(self.conv(x)))
        return self.head(x.relu().mean((2, 3)))


def factory(kind: type[Small]):
    """Return what a configuration names."""

    def make(*, classes: int, channels: int, width: float) -> nn.Module:
        return kind(classes, channels)

    return make


class AssignedMean(Small):
    def register(self):
        self.register_buffer("m", torch.zeros(4, 1, 1))

    def habit(self, x):
        if self.training:
            self.m = 0.9 * self.m + 0.1 * x.mean((0, 2, 3)).view(4, 1, 1)
        return x - self.m


class AssignedMeanAlways(AssignedMean):
    def habit(self, x):
        centered = x - self.m
        self.m = 0.9 * self.m + 0.1 * x.detach().mean((0, 2, 3)).view(4, 1, 1)
        return centered


class WarmUp(Small):
    def register(self):
        self.register_buffer("steps", torch.tensor(0))

    def habit(self, x):
        if self.training:
            self.steps += 1
        return x * (self.steps / 10).clamp(max=1.0)


class AssignedCounter(WarmUp):
    def habit(self, x):
        if self.training:
            self.steps = self.steps + 1
        return x * (self.steps / 10).clamp(max=1.0)


class DoubleMean(AssignedMean):
    def register(self):
        self.register_buffer("m", torch.zeros(4, 1, 1, dtype=torch.float64))

    def habit(self, x):
        return super().habit(x).float()


class Flag(Small):
    def register(self):
        self.register_buffer("started", torch.tensor(False))

    def habit(self, x):
        scale = torch.where(self.started, 2.0, 0.5)
        if self.training:
            self.started.fill_(True)
        return x * scale


class Complex(Small):
    def register(self):
        self.register_buffer("phase", torch.ones((), dtype=torch.complex64))

    def habit(self, x):
        if self.training:
            self.phase = self.phase * torch.exp(torch.tensor(0.1j))
        return x * self.phase.real


class Half(Small):
    def register(self):
        self.register_buffer("m", torch.zeros(4, 1, 1, dtype=torch.bfloat16))
        self.register_buffer("small", torch.zeros(3, dtype=torch.uint8))

    def habit(self, x):
        if self.training:
            self.m = 0.9 * self.m + 0.1 * x.detach().mean((0, 2, 3)).view(4, 1, 1).bfloat16()
            self.small[1] += 1
        return x - self.m + self.small.sum() / 100


class NotPersistent(AssignedMean):
    def register(self):
        self.register_buffer("m", torch.zeros(4, 1, 1), persistent=False)


class SharedInPlace(Small):
    def register(self):
        self.other = nn.Module()
        self.register_buffer("m", torch.zeros(4, 1, 1))
        self.other.register_buffer("m", self.m)

    def habit(self, x):
        if self.training:
            self.m.mul_(0.9).add_(0.1 * x.detach().mean((0, 2, 3)).view(4, 1, 1))
        return x - self.other.m


class SharedAssigned(SharedInPlace):
    def habit(self, x):
        self.m = 0.9 * self.m + 0.1
        return x - self.other.m


class CumulativeNorm(Small):
    def register(self):
        self.norm = nn.BatchNorm2d(4, momentum=None)


class ConstrainedWeight(Small):
    """As EEGNet's layers: the constraint is a new tensor at every pass."""

    def habit(self, x):
        self.head.weight.data = torch.renorm(self.head.weight.data, 2, 0, 0.3)
        return x


class ConstrainedInPlace(Small):
    def habit(self, x):
        with torch.no_grad():
            self.head.weight.clamp_(-0.2, 0.2)
        return x


class Tied(Small):
    def register(self):
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.b.weight = self.a.weight

    def habit(self, x):
        return self.b(self.a(x))


class Spectral(Small):
    def register(self):
        nn.utils.spectral_norm(self.conv)


class SpectralParametrized(Small):
    def register(self):
        self.conv = parametrizations.spectral_norm(self.conv)


class PythonDraws(Small):
    """Stochastic depth by Python's and NumPy's own generators."""

    def habit(self, x):
        if self.training and random.random() < 0.5:
            x = x * float(np.random.rand())  # noqa: NPY002 - as people do
        return x


class LastSeen(Small):
    """Keeps what passed last for people to look at; nothing depends on it."""

    def habit(self, x):
        self.last, self.last_mean = x, float(x.detach().mean())
        return x


class PythonCounter(Small):
    def register(self):
        self.calls = 0

    def habit(self, x):
        self.calls += 1
        return x * min(1.0, self.calls / 1000)


class LateCounter(PythonCounter):
    def habit(self, x):
        self.calls += 1
        return x if self.calls < 10**6 else -x


class PlainTensor(Small):
    def register(self):
        self.m = torch.zeros(4, 1, 1)

    def habit(self, x):
        self.m = 0.9 * self.m + 0.1 * x.detach().mean((0, 2, 3)).view(4, 1, 1)
        return x - self.m


class InList(Small):
    def register(self):
        self.norms = [nn.BatchNorm2d(4)]

    def habit(self, x):
        return self.norms[0](x)


class History(Small):
    def register(self):
        self.seen = {"means": []}

    def habit(self, x):
        self.seen["means"].append(float(x.detach().mean()))
        return x - self.seen["means"][0]


class OwnGenerator(Small):
    def register(self):
        self.draw = np.random.default_rng(0)

    def habit(self, x):
        return x + float(self.draw.normal()) if self.training else x


class Outside(Small):
    """Remembers in its module, where no attribute shows it."""

    def habit(self, x):
        return x * (1 + 1e-3 * next(CALLS))


class Teacher(Small):
    """A moving average of a trained layer, in parameters that are not trained."""

    def register(self):
        self.teacher = nn.Linear(4, 4).requires_grad_(False)
        self.student = nn.Linear(4, 4)

    def habit(self, x):
        with torch.no_grad():
            self.teacher.weight.lerp_(self.student.weight, 0.1)
        return self.teacher(self.student(x.movedim(1, 3))).movedim(3, 1)


class FirstBatch(Small):
    """Takes its scale from the first images it sees."""

    def register(self):
        self.scale, self.ready = nn.Parameter(torch.ones(4, 1, 1)), False

    def habit(self, x):
        if not self.ready:
            self.scale.data.copy_(1 / (x.detach().std((0, 2, 3)).view(4, 1, 1) + 1e-3))
            self.ready = True
        return x * self.scale


class OtherShape(Small):
    def register(self):
        self.register_buffer("m", torch.zeros(()))

    def habit(self, x):
        self.m = 0.9 * self.m + 0.1 * x.detach().mean((0, 2, 3)).view(4, 1, 1)
        return x - self.m


class OtherType(WarmUp):
    def habit(self, x):
        self.steps = self.steps + 0.5
        return x * self.steps


class Gone(AssignedMean):
    def habit(self, x):
        centered = x if self.m is None else x - self.m
        self.m = None
        return centered


class Lazy(Small):
    def habit(self, x):
        if not hasattr(self, "m"):
            self.register_buffer("m", x.detach().mean((0, 2, 3)).view(4, 1, 1))
        return x - self.m


class NewParameter(Small):
    def habit(self, x):
        self.head.weight = nn.Parameter(self.head.weight.detach().clamp(-0.2, 0.2))
        return x


class Grows(Small):
    def habit(self, x):
        if not hasattr(self, "extra"):
            self.extra = nn.Linear(6, 6)
        return self.extra(x)


class Overlapping(Small):
    def register(self):
        self.register_buffer("start", self.conv.weight.detach())

    def habit(self, x):
        return x * self.start.abs().mean()


class TiedByData(Tied):
    def register(self):
        super().register()
        self.b = nn.Linear(6, 6)
        self.b.weight.data = self.a.weight.data


class Sparse(Small):
    def register(self):
        self.register_buffer("table", torch.eye(6).to_sparse())


class AlwaysDrops(Small):
    def habit(self, x):
        return functional.dropout(x, 0.5)


class SamplesNoise(Small):
    def register(self):
        self.noise = Noise()

    def habit(self, x):
        return self.noise(x)


class Noise(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


class NumpyNoise(Small):
    def habit(self, x):
        return x + float(np.random.normal())  # noqa: NPY002 - as people do


class HandNorm(nn.Module):
    """A batch norm by hand, which torch knows nothing of."""

    def __init__(self, features: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, features, 1, 1))
        self.register_buffer("var", torch.ones(1, features, 1, 1))

    def forward(self, x):
        mean, var = self.mean, self.var
        if self.training:
            mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True)
            self.mean = 0.9 * self.mean + 0.1 * mean.detach()
            self.var = 0.9 * self.var + 0.1 * var.detach()
        return (x - mean) / (var + 1e-5).sqrt()


class OwnNorm(nn.BatchNorm2d):
    """A subclass that normalizes by itself: by the mean alone."""

    def forward(self, x):
        mean = self.running_mean
        if self.training:
            mean = x.mean((0, 2, 3))
            self.running_mean = (1 - self.momentum) * self.running_mean + (
                self.momentum * mean.detach()
            )
        return x - mean.view(1, -1, 1, 1)


class NormAndRelu(nn.BatchNorm2d):
    """A subclass that adds to torch's own."""

    def forward(self, x):
        return super().forward(x).relu()


def with_norm(norm) -> type[Small]:
    """Return a network with this normalization after its convolution."""

    class WithNorm(Small):
        def register(self):
            self.norm = norm(4)

    return WithNorm


def instance_norm(features: int) -> nn.Module:
    return nn.InstanceNorm2d(features, affine=True, track_running_stats=True)


def _pruned(conv: nn.Conv2d) -> nn.Conv2d:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return prune.random_unstructured(conv, "weight", 0.5)


class OwnWeights(nn.Conv2d):
    """Computes its weights before torch's own forward."""

    def forward(self, x):
        return self._conv_forward(x, self.weight * self.weight.abs(), self.bias)


def _weight_normed(conv: nn.Conv2d) -> nn.Conv2d:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated, and in much code all the same
        return nn.utils.weight_norm(conv)


def _halved(conv: nn.Conv2d) -> nn.Conv2d:
    conv.forward = lambda x: conv._conv_forward(x, conv.weight / 2, conv.bias)
    return conv


def _scaled_after(conv: nn.Conv2d) -> nn.Conv2d:
    conv.register_forward_hook(lambda conv, inputs, output: 2 * output)
    return conv


def _from_plain_weight(conv: nn.Conv2d) -> nn.Conv2d:
    raw = conv.weight.detach().clone()
    del conv.weight
    conv.raw, conv.weight = nn.Parameter(raw), raw
    conv.register_forward_pre_hook(lambda conv, _: setattr(conv, "weight", conv.raw.tanh()))
    return conv


def _own_module(conv: nn.Conv2d) -> nn.Conv2d:
    own = OwnWeights(3, 4, 3)
    own.load_state_dict(conv.state_dict())
    return own


def _parametrized(conv: nn.Conv2d) -> nn.Conv2d:
    return parametrizations.weight_norm(conv)


COMPUTED_WEIGHTS = {
    "pruned": _pruned,
    "spectral": nn.utils.spectral_norm,
    "weight_norm": _weight_normed,
    "parametrized": _parametrized,
    "spectral parametrized": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "own forward": _halved,
    "hook after": _scaled_after,
    "plain weight": _from_plain_weight,
    "own module": _own_module,
}


class ParentWrites(Small):
    """The weights of the convolution are written by the module around it."""

    def register(self):
        self.norm = nn.BatchNorm2d(4)
        self.base = nn.Parameter(self.conv.weight.detach().clone())

    def forward(self, x):
        self.conv.weight.data = self.base.data.tanh()
        return super().forward(x)


class ScaledByBuffer(Small):
    def register(self):
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("scale", torch.ones(()))

    def habit(self, x):
        if self.training:
            self.scale.mul_(0.9)
        return x * (2 * self.scale)


class PrunedNorm(Small):
    def register(self):
        self.norm = nn.BatchNorm2d(4)
        prune.random_unstructured(self.norm, "weight", 0.5)


class PrunedBias(Small):
    def register(self):
        self.norm = nn.BatchNorm2d(4)
        prune.random_unstructured(self.conv, "bias", 0.5)


class SharedWeight(Small):
    """Two convolutions before two norms hold one weight."""

    def register(self):
        self.norm, self.again, self.norm2 = (
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.BatchNorm2d(4),
        )
        self.third, self.norm3 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.third.weight = self.again.weight

    def habit(self, x):
        return self.norm3(self.third(self.norm2(self.again(x)).relu()))


class SharedNorm(Small):
    """One norm after two convolutions."""

    def register(self):
        self.norm, self.again = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1)

    def habit(self, x):
        return self.norm(self.again(x.relu()))


class Frozen(Small):
    """Keeps its norm in evaluation mode, as people do who train on pretrained weights."""

    def register(self):
        self.norm = nn.BatchNorm2d(4)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


class AlwaysTrains(Small):
    """Its norm goes back to training mode."""

    def register(self):
        self.norm = nn.BatchNorm2d(4)

    def habit(self, x):
        self.norm.train()
        return x


class Ghost(nn.BatchNorm2d):
    """Normalizes parts of each batch by themselves."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        return torch.cat([super(Ghost, self).forward(part) for part in x.chunk(2)])


class Fractional(Small):
    def register(self):
        self.pool = nn.FractionalMaxPool2d(2, output_size=3)

    def habit(self, x):
        return self.pool(x)


class Leaky(Small):
    def register(self):
        self.leak = nn.RReLU()

    def habit(self, x):
        return self.leak(x)


class OwnTorchGenerator(Small):
    def register(self):
        self.draw = torch.Generator().manual_seed(0)

    def habit(self, x):
        return x + torch.randn((), generator=self.draw)


class PlainNumbers(Small):
    """A dataclass-like thing with a counter inside."""

    def register(self):
        self.book = Book()

    def habit(self, x):
        self.book.pages += 1
        return x


class Book:
    pages = 0


class OnTheClass(Small):
    calls = 0

    def habit(self, x):
        OnTheClass.calls += 1
        return x * (1 + OnTheClass.calls / 100)


class InBackward(Small):
    """Assigns a buffer anew in a hook on the gradient."""

    def register(self):
        self.register_buffer("m", torch.zeros(()))

    def habit(self, x):
        if x.requires_grad:
            x.register_hook(self.see)
        return x + self.m

    def see(self, gradient):
        self.m = self.m + gradient.abs().mean()


class Recurrent(Small):
    """Carries a hidden state from batch to batch."""

    def register(self):
        self.register_buffer("hidden", torch.zeros(4))
        self.cell = nn.GRUCell(4, 4)

    def habit(self, x):
        self.hidden = self.cell(x.mean((0, 2, 3)), self.hidden.detach()).detach()
        return x + self.hidden.view(4, 1, 1)


class Queue(Small):
    """A memory bank with a pointer, as in MoCo."""

    def register(self):
        self.register_buffer("queue", torch.zeros(16, 4))
        self.register_buffer("place", torch.zeros(1, dtype=torch.long))

    def habit(self, x):
        if self.training:
            start = int(self.place)
            self.queue[start] = x.detach().mean((0, 2, 3))
            self.place[0] = (start + 1) % 16
        return x + self.queue.mean(0).view(4, 1, 1)


class Empty(Small):
    """Buffers without elements, and one that is None."""

    def register(self):
        self.register_buffer("nothing", torch.zeros(0))
        self.register_buffer("none", None)
        self.register_buffer("number", torch.zeros(0, 3, dtype=torch.int32))


class Expanded(Small):
    def register(self):
        self.register_buffer("ids", torch.arange(6).expand(4, 6))

    def habit(self, x):
        return x + self.ids.sum() / 1000


class ScaleOnce(Small):
    """Data-dependent initialization with its flag in a buffer, as ActNorm should."""

    def register(self):
        self.scale = nn.Parameter(torch.ones(4, 1, 1))
        self.register_buffer("ready", torch.tensor(0, dtype=torch.uint8))

    def habit(self, x):
        if self.training and not self.ready:
            self.scale.data = 1 / (x.detach().std((0, 2, 3)).view(4, 1, 1) + 1e-3)
            self.ready.fill_(1)
        return x * self.scale


class Scheduled(Small):
    """A dropout rate that grows with a counter in a buffer."""

    def register(self):
        self.register_buffer("steps", torch.zeros((), dtype=torch.int32))

    def habit(self, x):
        if self.training:
            self.steps.add_(1)
        return functional.dropout(x, min(0.5, int(self.steps) / 20), self.training)


for _kind in [k for k in globals().values() if isinstance(k, type) and issubclass(k, Small)]:
    globals()[_kind.__name__.lower()] = factory(_kind)
for _name, _norm in {
    "hand": HandNorm,
    "own": OwnNorm,
    "relu": NormAndRelu,
    "instance": instance_norm,
    "sync": nn.SyncBatchNorm,
    "untracked": lambda features: nn.BatchNorm2d(features, track_running_stats=False),
    "ghost": Ghost,
    "cumulative": lambda features: nn.BatchNorm2d(features, momentum=None),
}.items():
    globals()[f"norm_{_name}"] = factory(with_norm(_norm))


def with_weights(compute) -> type[Small]:
    """Return a network with computed weights before a batch norm."""

    class WithWeights(Small):
        def register(self):
            self.conv = compute(self.conv)
            self.norm = nn.BatchNorm2d(4)

    return WithWeights


for _name, _compute in COMPUTED_WEIGHTS.items():
    globals()["weights_" + _name.replace(" ", "_")] = factory(with_weights(_compute))
