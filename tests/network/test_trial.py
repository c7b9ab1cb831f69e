"""A network that does not fit ends in one line before anything is computed with it."""

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lossmap.errors import LossmapError
from lossmap.network.classification import MeasuredImages
from lossmap.network.parameters import create_network, describe_network
from lossmap.network.training import Run, evaluate_batches


class Net(nn.Module):
    """Convolution, batch norm, pooling, classifier; `change` is what one test is about."""

    def __init__(self, classes: int, channels: int, change=None):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, classes)
        self.change = change

    def logits(self, x):
        """(n, channels, height, width) to (n, classes)."""
        return self.classifier(functional.relu(self.norm(self.conv(x))).mean((2, 3)))

    def forward(self, x):
        """Pass, changed."""
        return self.change(self, x) if self.change else self.logits(x)


def changed(change):
    """Return a factory of networks whose forward is `change(network, images)`."""
    return lambda *, classes, channels, width: Net(classes, channels, change)


def sequence(*layers):
    """Return a factory that makes anew a chain of layers, each given as (class, arguments)."""
    return lambda **_: nn.Sequential(*(kind(*given) for kind, *given in layers))


def with_tensor(name, make, change):
    """Return a factory of networks that hold one more tensor."""

    def build(*, classes, channels, width):
        network = Net(classes, channels, change)
        tensor = make()
        is_module = isinstance(tensor, nn.Module | nn.Parameter | list)
        if is_module or tensor.requires_grad:
            setattr(network, name, tensor)
        else:
            network.register_buffer(name, tensor)
        return network

    return build


def scripted(**_):
    with pytest.warns():
        return torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)))


def on_meta(*, classes, channels, width):
    with torch.device("meta"):
        return Net(classes, channels)


ONE = Net(3, 3)
FLAT = (nn.Flatten,)
# kind: (factory, what is found, the remedy)
UNFIT = {
    "tuple": (changed(lambda n, x: (n.logits(x), x)), "a tuple of 2", "return the logits alone"),
    "list": (changed(lambda n, x: [n.logits(x)]), "a list of 1", "return the logits alone"),
    "dict": (changed(lambda n, x: {"out": n.logits(x)}), "a dict with 'out'", "the logits alone"),
    "nothing": (changed(lambda n, x: None), "a NoneType", "return the logits alone"),
    "tuple in training mode alone": (
        changed(lambda n, x: (n.logits(x), x) if n.training else n.logits(x)),
        "in training mode, got a tuple of 2",
        "in either mode",
    ),
    "tuple in evaluation mode alone": (
        changed(lambda n, x: n.logits(x) if n.training else (n.logits(x), x)),
        "in evaluation mode, got a tuple of 2",
        "in either mode",
    ),
    "7 outputs": (lambda channels, **_: Net(7, channels), "shape (2, 7)", "outputs, here 3"),
    "1000 outputs": (lambda channels, **_: Net(1000, channels), "(2, 1000)", "outputs, here 3"),
    "pixels of one": (changed(lambda n, x: n.logits(x)[..., None, None]), "(2, 3, 1, 1)", ".flat"),
    "map of logits": (sequence((nn.Conv2d, 3, 3, 1)), "(2, 3, 8, 8)", "average over the pixels"),
    "transposed": (changed(lambda n, x: n.logits(x).T), "shape (3, 2)", "one row of logits for"),
    "loss": (changed(lambda n, x: n.logits(x).mean()), "shape ()", "one row of logits for each"),
    "half of the batch": (changed(lambda n, x: n.logits(x)[1:]), "(1, 3)", "one row of logits"),
    "a batch of fixed size": (
        changed(lambda n, x: n.logits(x).view(2, 3)),
        "[2, 3]",
        "forward must",
    ),
    "one image squeezed": (
        changed(lambda n, x: n.logits(x).squeeze()),
        "float32 (1, 3), in evaluation mode, got shape (3,)",
        "write flatten(1) for squeeze()",
    ),
    "classes": (changed(lambda n, x: n.logits(x).argmax(1)), "torch.int64", "logits themselves"),
    "float64 logits": (changed(lambda n, x: n.logits(x).double()), "torch.float64", ".float()"),
    "bfloat16 logits": (changed(lambda n, x: n.logits(x).bfloat16()), "torch.bfloat16", ".float()"),
    "sparse logits": (changed(lambda n, x: n.logits(x).to_sparse()), "sparse_coo", "dense"),
    "probabilities": (changed(lambda n, x: n.logits(x).softmax(1)), "probabilities", "the softmax"),
    "NaN": (changed(lambda n, x: n.logits(x.sqrt())), "6 that are not finite", "initialize it"),
    "another image size": (
        sequence(FLAT, (nn.Linear, 3 * 32 * 32, 3)),
        "float32 (2, 3, 8, 8), got RuntimeError: mat1 and mat2",
        "it is made for images of 32 x 32 pixels and 3 channels: average",
    ),
    "another number of channels": (
        lambda classes, **_: Net(classes, 1),
        "to have 1 channels",
        "it is made for images of 8 x 8 pixels and 1 channel: give its first layer",
    ),
    "view of channels-last": (
        changed(lambda n, x: n.logits(x.view(len(x), -1).view_as(x))),
        "view size is not compatible",
        "write x.flatten(1) for x.view(…)",
    ),
    "two arguments": (sequence((nn.Bilinear, 3, 3, 3)), "'input2'", "and nothing else"),
    "tokens": (sequence(FLAT, (nn.Embedding, 256, 3)), "'indices'", "a network of tokens cannot"),
    "whole numbers": (
        with_tensor("e", lambda: nn.Embedding(9, 3), lambda n, x: n.e(x.long()).mean((1, 2, 3))),
        "index out of range",
        "a network of tokens cannot be used",
    ),
    "float64 buffer": (
        with_tensor("b", lambda: torch.ones(1).double(), lambda n, x: n.logits(x * n.b)),
        "(double) and bias type (float)",
        "buffer 'b' is torch.float64: call .float() on it",
    ),
    "float64 parameters": (lambda **_: Net(3, 3).double(), "of torch.float64", "call .float()"),
    "another device": (changed(lambda n, x: n.logits(x.to("meta"))), "meta", "forward must"),
    "exit in forward": (changed(lambda n, x: sys.exit(2)), "SystemExit: 2", "forward must"),
    "lazy parameters": (sequence(FLAT, (nn.LazyLinear, 3)), "lazy '1.weight'", "nn.Linear for"),
    "lazy buffers": (
        sequence((nn.LazyBatchNorm2d, 1e-5, 0.1, False), (Net, 3, 3)),
        "lazy '0.running_mean'",
        "name the number",
    ),
    "meta parameters": (on_meta, "meta 'conv.weight'", "make it on the CPU"),
    "scripted": (scripted, "RecursiveScriptModule", "return the module that it was made from"),
    "scripted inside": (lambda **_: nn.Sequential(scripted()), "RecursiveScriptM", "return the m"),
    "compiled": (lambda **_: torch.compile(Net(3, 3)), "OptimizedModule", "return the module"),
    "class": (lambda **_: Net, "the class Net itself", "return the network"),
    "exit in the factory": (lambda **_: sys.exit(2), "SystemExit: 2", "let it accept these"),
    "numpy's random numbers": (
        with_tensor("n", lambda: torch.from_numpy(np.random.randn(3)).float(), None),  # noqa: NPY002
        "another 'n' at the second",
        "seed what draws inside of the function",
    ),
    "one network for all": (lambda **_: ONE, "the same 'conv.weight' again", "inside of the func"),
    "one layer for all": (lambda **_: nn.Sequential(ONE), "the same '0.conv.weight'", "inside of"),
    "images changed in place": (
        changed(lambda n, x: n.logits(x.sub_(1.0))),
        "images changed in place",
        "change a copy",
    ),
    "images clamped in place": (
        sequence((nn.Hardtanh, -9.0, 9.0, True), (Net, 3, 3)),
        "images changed in place",
        "change a copy",
    ),
    "images changed behind autograd": (
        changed(lambda n, x: n.logits((x.data.mul_(2.0), x)[1])),
        "images changed in place",
        "change a copy",
    ),
    "detached": (changed(lambda n, x: n.logits(x).detach()), "ones that do not", "remove detach()"),
    "layers in a list": (
        with_tensor("s", lambda: [nn.Linear(3, 3)], lambda n, x: n.s[0](n.logits(x))),
        "one of shape (3, 3) that is not",
        "nn.ModuleList",
    ),
    "changed before backward": (
        changed(lambda n, x: n.logits(x).sigmoid_().mul_(n.classifier.bias).exp().sub_(x.mean())),
        "modified by an inplace operation",
        "mend forward",
    ),
    "infinite gradient": (
        with_tensor("r", lambda: nn.Parameter(torch.zeros(3)), lambda n, x: n.logits(x) + n.r**0.5),
        "some of 'r' that are not",
        "takes a root",
    ),
    "strided 1x1 convolution": (
        sequence((nn.Conv2d, 3, 4, 3), (nn.Conv2d, 4, 8, 1, 2), FLAT, (nn.Linear, 72, 3)),
        "one on 4, whose backward damages",
        "x[:, :, ::2, ::2]",
    ),
    "strided 1x1 convolution without a layer": (
        with_tensor(
            "w",
            lambda: nn.Parameter(torch.ones(3, 3, 1, 1)),
            lambda n, x: n.logits(functional.conv2d(x * 2.0, n.w, stride=(1, 2))),
        ),
        "one on 3, whose backward damages",
        "the same map",
    ),
    "five axes": (
        with_tensor("f", lambda: nn.Parameter(torch.zeros([1] * 5)), None),
        "parameter 'f' has 5 axes",
        "fewer",
    ),
}


class Doubled(Net):
    """Holds what has no place of its own in a vector, in front of all else."""

    def __init__(self):
        super().__init__(3, 3)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        """Pass, scaled."""
        return self.scale * self.logits(x) + self.nothing.sum() + self.rows.sum()


def with_odd_parameters(**_):
    network = Doubled()
    odd = {"nothing": nn.Parameter(torch.zeros(0)), "rows": nn.Parameter(torch.zeros(0, 4))}
    network._parameters = odd | network._parameters
    return network


SIZES = {"classes": 3, "channels": 3, "width": 1.0}
FIT = {
    "plain": changed(None),
    "empty and 0-dimensional parameters": with_odd_parameters,
    "traced by fx": lambda **_: torch.fx.symbolic_trace(Net(3, 3)),
    "several GPUs": lambda **_: nn.DataParallel(Net(3, 3)),
    "logarithms of probabilities": changed(lambda n, x: n.logits(x).log_softmax(1)),
    "zeros": changed(lambda n, x: 0.0 * n.logits(x)),
    "dropout": sequence((Net, 3, 3), (nn.Dropout, 0.5)),
    "weight norm": lambda **_: nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(192, 3))
    ),
    "pixels taken first": changed(lambda n, x: n.logits(x[:, :, ::2, ::2])),
    "transposed convolution": sequence(
        (nn.ConvTranspose2d, 3, 4, 1, 2), (nn.Conv2d, 4, 3, 1), (Net, 3, 3)
    ),
}


@pytest.fixture
def create(monkeypatch, dataset):
    """Create the network of a factory for the images of a data set."""

    count = len(dataset.train_labels)

    def create(factory, images=dataset, batch_size=count):
        module = ModuleType("nets")
        module.make = factory
        monkeypatch.setitem(sys.modules, "nets", module)
        spec = describe_network({"factory": "nets:make", "width": 1.0, "seed": 3}, images)
        return create_network(spec, "cpu", images, batch_size)

    return create


@pytest.mark.parametrize("kind", UNFIT)
def test_network_that_does_not_fit_is_refused_in_one_line(create, kind):
    factory, found, remedy = UNFIT[kind]
    with pytest.raises(LossmapError) as caught:
        create(factory)
    line = str(caught.value)
    assert "\n" not in line
    assert "expected " in line
    assert found in line
    assert remedy in line.rpartition("; ")[2]


@pytest.mark.parametrize("kind", FIT)
def test_network_that_fits_is_as_new(create, kind):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    tried = create(FIT[kind])
    assert torch.equal(torch.get_rng_state(), before)
    torch.default_generator.manual_seed(3)
    for (_, found), (_, wanted) in zip(
        [*tried.module.named_parameters(), *tried.module.named_buffers()],
        [*(made := FIT[kind](**SIZES)).named_parameters(), *made.named_buffers()],
        strict=True,
    ):
        assert torch.equal(found, wanted)
    assert not tried.gradient.any()


@pytest.mark.parametrize("kind", ["strided 1x1 convolution", "tuple in training mode alone"])
def test_what_only_training_needs_is_not_asked_of_a_network_that_is_looked_at(create, kind):
    assert create(UNFIT[kind][0], batch_size=None).theta.numel() > 0


def test_empty_and_single_parameters_lie_where_the_layout_says(create):
    network = create(with_odd_parameters)
    assert network.layout.names[:2] == ["scale", "conv.weight"]
    stored = type(network.layout).from_tensors(network.layout.to_tensors())
    assert stored == network.layout
    parts = {name: network.theta[part] for name, _, _, part in network.layout.parts()}
    assert parts["scale"].tolist() == [1.0]
    assert torch.equal(parts["norm.weight"], torch.ones(6))


def few(dataset, train: int, test: int = 10):
    rows = np.arange(train) % 30
    labels = dataset.train_labels[rows]
    return replace(
        dataset,
        train_images=dataset.train_images[rows],
        train_labels=labels,
        test_images=dataset.test_images[:test],
        test_labels=dataset.test_labels[:test],
    )


@pytest.mark.parametrize(
    ("images", "batch", "remedy"),
    [
        (41, 20, "batch_size: 21"),
        (31, 15, "batch_size: 16"),
        (7, 2, "batch_size: 4"),
        (1, 4, "add"),
    ],
)
def test_last_batch_of_one_image_is_refused_under_batch_norm(
    create, dataset, images, batch, remedy
):
    last = f"got 1 in the last of {images} training images in batches of {batch}; "
    with pytest.raises(LossmapError, match=f"at least 2 images .*{last}.*{remedy}"):
        create(changed(None), few(dataset, images), batch)


def test_last_batch_of_one_image_needs_no_more_without_batch_norm(create, dataset):
    create(sequence(FLAT, (nn.Linear, 192, 3)), few(dataset, 41), 20)


def test_last_batch_of_one_image_is_tried_without_batch_norm(create, dataset):
    def center(network, x):
        if network.training and len(x) == 1:
            raise ValueError("no variance")
        return network.classifier(x.mean((2, 3)).repeat(1, 2))

    def build(**_):
        network = Net(3, 3, center)
        network.norm = nn.Identity()
        return network

    create(build, few(dataset, 41), 21)
    with pytest.raises(LossmapError, match=r"float32 \(1, 3, 8, 8\), got ValueError: no variance"):
        create(build, few(dataset, 41), 20)


def test_single_test_image_is_refused_under_batch_norm(create, dataset):
    with pytest.raises(LossmapError, match="got 1 in the test images; add images"):
        create(changed(None), few(dataset, 30, test=1), 10)


@pytest.mark.parametrize("count", [501, 1001])
def test_no_batch_of_one_image_is_measured(monkeypatch, dataset, spec, count):
    run = Run(dataset, spec, "cpu")
    seen = []
    run.network.module.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    evaluate_batches(
        run.network, run.task, MeasuredImages(run.feed.images, np.arange(count) % 30), "batch"
    )
    assert sum(seen) == count
    assert min(seen) > 1


def test_run_and_its_jumps_are_refused_before_the_first_pass(monkeypatch, dataset, spec):
    module = ModuleType("nets")
    module.make = changed(lambda n, x: (n.logits(x), x))
    monkeypatch.setitem(sys.modules, "nets", module)
    spec["network"] |= {"factory": "nets:make"}
    with pytest.raises(LossmapError, match="'nets:make': expected logits"):
        Run(dataset, spec, "cpu")
