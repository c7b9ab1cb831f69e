"""The trial of a network before anything is computed with it: a few images, forward and backward.

Owns the contract with a network, as `factory` owns that with the function that makes it, and the
wording of every breach. The trial is another network's than the one that is used afterwards, and
the random state is as before.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from lossmap.artifacts.dataset import Dataset
from lossmap.errors import LossmapError, kind_and_reason
from lossmap.network.images import Images, move_images
from lossmap.network.memory import is_out_of_memory

SIZES = (8, 16, 28, 32, 48, 64, 96, 128, 224, 256, 299)
"""Heights and widths that networks are made for: tried where one does not fit the images."""
HARMED_CHANNELS = range(2, 9)
"""Inputs of a strided 1x1 convolution whose backward damages the heap (CPU, torch 2.13)."""
_TOKENS = ("'indices'", "index out of range in self")
"""What an embedding says of numbers that are no tokens."""


def try_network(
    network: nn.Module, again: nn.Module, factory: str, dataset: Dataset, batch_size: int | None
) -> None:
    """Refuse a network that the data set or the rest of the workflow cannot work with.

    Parameters
    ----------
    network : what is going to be used, on the CPU; it is left alone
    again : what the factory returned at a second call, where it will be used; it is spoiled
    factory : named in the message
    dataset : whose first training images are tried
    batch_size : of the training; None where there is none and only its loss is evaluated

    Raises
    ------
    LossmapError
        The message says what was expected, what was found and what to do.
    """
    check_repeatable(network, again, factory)
    device = next(again.parameters()).device
    trial = _Trial(again, factory, _first_images(dataset, device.type), len(dataset.classes))
    last = len(dataset.train_labels) % batch_size if batch_size else 0
    with torch.random.fork_rng([torch.cuda.current_device()] if device.type == "cuda" else []):
        for count in (2, 1):
            with torch.no_grad():
                trial.check_forward(count, training=False)
        if batch_size is None:  # it is only looked at: no backward, no training mode
            return
        for count in (3, 2):
            trial.check_update(count)
        _check_batches(again, factory, dataset, batch_size)
        if last == 1:
            trial.check_update(last)


def _check_batches(network: nn.Module, factory: str, dataset: Dataset, batch_size: int) -> None:
    """Refuse a batch of one image for batch norm, which has nothing to average over."""
    if not any(isinstance(module, _BatchNorm) for module in network.modules()):
        return
    train, test = len(dataset.train_labels), len(dataset.test_labels)
    fitting = (size for size in range(batch_size + 1, train + 1) if train % size != 1)
    found = {
        f"the last of {train} training images in batches of {batch_size}": (
            train % batch_size,
            f"write e.g. batch_size: {next(fitting, None)}" if train > 1 else "add images",
        ),
        "the test images": (test, "add images"),
    }
    for where, (count, remedy) in found.items():
        if count == 1:
            expected = "at least 2 images in each batch for its batch norm"
            raise _refusal(factory, expected, f"1 in {where}", remedy)


def check_repeatable(network: nn.Module, again: nn.Module, factory: str) -> None:
    """Refuse initial values that the seed does not decide: other jobs would see other ones."""
    ours, theirs = (dict([*m.named_parameters(), *m.named_buffers()]) for m in (network, again))
    for name, tensor in ours.items():
        other = theirs.get(name)
        if other is tensor:
            raise _refusal(
                factory,
                "a new network at each call",
                f"the same '{name}' again",
                "build every layer inside of the function",
            )
        if other is None or not _nearly_equal(tensor, other.cpu()):
            raise _refusal(
                factory,
                "the same network at each call with one seed",
                f"another '{name}' at the second",
                "draw with torch, which is seeded, or seed what draws inside of the function",
            )


def _nearly_equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.layout != torch.strided:
        return True  # refused by its name where the network is laid out
    if not first.is_floating_point():
        return torch.equal(first, second)
    return torch.allclose(first, second, 1e-3, 1e-5, equal_nan=True)


def _first_images(dataset: Dataset, device: str) -> Images:
    """Return three training images; where there are fewer, some twice."""
    rows = [row % len(dataset.train_labels) for row in range(3)]
    few = replace(
        dataset, train_images=dataset.train_images[rows], train_labels=dataset.train_labels[rows]
    )
    return move_images(few, "train", device)


@dataclass
class Update:
    """The backward pass of an update, tried.

    Attributes
    ----------
    network : it is spoiled
    factory : named in messages
    """

    network: nn.Module
    factory: str

    def check(self, outputs: torch.Tensor, loss: torch.Tensor, what: str) -> None:
        """Go backward from a loss; `outputs`, which are called `what`, must depend on parameters.

        Raises
        ------
        LossmapError
            They do not, a step cannot be differentiated, or a gradient is not finite.
        """
        try:
            self._check_graph(outputs, what)
            self.network.zero_grad()
            loss.backward()
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, LossmapError):
                raise
            raise _refusal(
                self.factory,
                "a backward pass",
                kind_and_reason(error)[:200],
                "mend forward: each pass must stand alone, and every step be differentiable",
            ) from error
        self._part_from_graph()
        for name, parameter in self.network.named_parameters():
            if parameter.grad is not None and not parameter.grad.isfinite().all():
                raise _refusal(
                    self.factory,
                    "finite gradients at the initial parameters",
                    f"some of '{name}' that are not",
                    "initialize it otherwise, or add a small number where it divides or takes "
                    "a root",
                )

    def _part_from_graph(self) -> None:
        """Detach what forward assigned to buffers, as training does after each update."""
        for module in self.network.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.grad_fn is not None:
                    module._buffers[name] = buffer.detach()

    def _check_graph(self, outputs: torch.Tensor, what: str) -> None:
        known = {id(parameter) for parameter in self.network.parameters()}
        nodes = list(_walk(outputs.grad_fn))
        leaves = [node.variable for node in nodes if hasattr(node, "variable")]
        if not any(id(leaf) in known for leaf in leaves):
            raise _refusal(
                self.factory,
                f"{what} that depend on trainable parameters",
                "ones that do not",
                "remove detach() and no_grad() from forward",
            )
        for shape in (tuple(leaf.shape) for leaf in leaves if id(leaf) not in known):
            raise _refusal(
                self.factory,
                "every tensor that can learn among parameters()",
                f"one of shape {shape} that is not",
                "hold layers in a nn.ModuleList, not in a list, and tensors in a nn.Parameter",
            )
        for node in filter(_harms_the_heap, nodes):
            channels = node._saved_input.shape[1]
            raise _refusal(
                self.factory,
                "no 1x1 convolution with a stride on 2 to 8 channels",
                f"one on {channels}, whose backward damages the memory of a CPU (torch)",
                "take every second pixel first, x[:, :, ::2, ::2], and stride 1, which is the "
                "same map",
            )


@dataclass
class _Trial(Update):
    images: Images
    classes: int

    def check_forward(self, count: int, training: bool) -> torch.Tensor:
        """Return the logits of some images."""
        inputs = self.images.normalize(self.images.pixels[:count])
        kept = inputs.clone()
        self.network.train(training)
        mode = "training" if training else "evaluation"
        try:
            logits = self.network(inputs)
        except (Exception, SystemExit) as error:  # whatever a user's own network raises
            if is_out_of_memory(error):
                raise
            raise _refusal(
                self.factory,
                f"a pass in {mode} mode of images, float32 {tuple(kept.shape)}",
                kind_and_reason(error)[:200],
                _find_remedy(self.network, kept, str(error)),
            ) from error
        if inputs._version or not torch.equal(inputs, kept):
            raise _refusal(
                self.factory,
                "images that the network leaves alone",
                "images changed in place",
                "change a copy: the landscape shows the same images to the network again",
            )
        flaw = _find_flaw(logits, count, self.classes, inputs.device)
        if flaw:
            expected = f"logits, float32 ({count}, {self.classes}), in {mode} mode"
            raise _refusal(self.factory, expected, *flaw)
        return logits

    def check_update(self, count: int) -> None:
        """Go forward and backward, as an update does."""
        logits = self.check_forward(count, training=True)
        self.check(logits, cross_entropy(logits, self.images.labels[:count]), "logits")


def _walk(root: object) -> Iterator:
    """Yield every node of the graph that backward would follow."""
    seen, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
            yield node


def _harms_the_heap(node: object) -> bool:
    if node.name() != "ConvolutionBackward0" or node._saved_transposed:
        return False
    images, weight = node._saved_input, node._saved_weight
    few = images.dim() == 4 and images.shape[1] in HARMED_CHANNELS and node._saved_groups == 1
    strided = max(node._saved_stride) > 1 and tuple(weight.shape[2:]) == (1, 1)
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    return few and strided and channels_last and not images.is_cuda


def _find_flaw(
    found: object, count: int, classes: int, device: torch.device
) -> tuple[str, str] | None:
    """Return what is wrong with what a network returned for some images, and what to do."""
    flaw = None
    if not isinstance(found, torch.Tensor):
        flaw = _describe(found), "return the logits alone, in either mode"
    elif not found.is_floating_point() or found.layout != torch.strided:
        kind = f"{found.dtype} ({found.layout})"
        flaw = kind, "return the logits themselves, as a dense tensor"
    elif found.shape != (count, classes):
        flaw = f"shape {tuple(found.shape)}", _reshape_remedy(found.shape, count, classes)
    elif found.dtype != torch.float32:
        flaw = str(found.dtype), "return the logits as .float()"
    elif found.device != device:
        flaw = f"a tensor on {found.device}", f"compute on the images' device, {device}"
    elif not found.isfinite().all():
        bad = int((~found.isfinite()).sum())
        flaw = f"{bad} that are not finite", "initialize it otherwise or normalize its layers"
    elif (found >= 0).all() and torch.allclose(found.sum(1), found.new_ones(count)):
        flaw = "probabilities", "leave out the softmax, which the loss applies itself"
    return flaw


def _describe(found: object) -> str:
    kind = f"{type(found).__name__}"
    if isinstance(found, Mapping):
        return f"a {kind} with {', '.join(map(repr, found)) or 'nothing'}"
    return f"a {kind} of {len(found)}" if isinstance(found, tuple | list) else f"a {kind}"


def _reshape_remedy(shape: torch.Size, count: int, classes: int) -> str:
    if shape == (classes,) and count == 1:
        return "write flatten(1) for squeeze()"
    if shape[:1] != (count,) or len(shape) < 2:
        return "return one row of logits for each image"
    if shape.numel() == count * classes:
        return "return them as .flatten(1)"
    if len(shape) > 2:
        return "average over the pixels, x.mean((2, 3)), before the last layer"
    return f"give the last layer `classes` outputs, here {classes}"


def _find_remedy(network: nn.Module, images: torch.Tensor, said: str) -> str:
    """Return what to do about a network that fails on images."""
    if any(text in said for text in _TOKENS):
        return "images come as normalized float32: a network of tokens cannot be used"
    if _works(network, images.contiguous()):
        return "images lie channels-last in memory: write x.flatten(1) for x.view(…)"
    wide = [name for name, b in network.named_buffers() if b.dtype == torch.float64]
    if wide and "ouble" in said:  # "Double" or "double"
        return f"buffer '{wide[0]}' is {torch.float64}: call .float() on it"
    count, channels, height, width = images.shape
    for other in (channels, 4 - channels):  # 1 or 3
        for size in ((height, width), *((size, size) for size in SIZES)):
            if _works(network, images.new_zeros((count, other, *size))):
                return _fit_remedy(other != channels, other, size)
    return (
        "forward must take one batch of images (n, channels, height, width), normalized float32, "
        "and nothing else"
    )


def _fit_remedy(by_channels: bool, channels: int, size: tuple[int, int]) -> str:
    made = f"{size[0]} x {size[1]} pixels and {channels} channel{'s' * (channels > 1)}"
    remedy = "average over the pixels, x.mean((2, 3)), before its last layer, or resize"
    if by_channels:
        remedy = "give its first layer as many inputs as `channels` says"
    return f"it is made for images of {made}: {remedy}"


@torch.no_grad()
def _works(network: nn.Module, images: torch.Tensor) -> bool:
    try:
        network(images)
    except (Exception, SystemExit):  # whatever it raises: then it does not
        return False
    return True


def _refusal(factory: str, expected: str, got: str, remedy: str) -> LossmapError:
    return LossmapError(f"network factory {factory!r}: expected {expected}, got {got}; {remedy}")
