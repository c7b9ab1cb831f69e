"""Properties that every built-in network has, and the published size of each."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from lossmap.network.models.googlenet import googlenet, googlenet_dldr
from lossmap.network.models.layers import INITIALIZATIONS, scaled
from lossmap.network.models.resnet import BasicBlock, resnet20, resnet32
from lossmap.network.models.vgg import vgg11, vgg11_dldr, vgg13, vgg13_dldr
from lossmap.network.models.wide_resnet import wide_resnet10_2, wide_resnet28_2

USUAL = [resnet20, resnet32, vgg11, vgg13, googlenet, wide_resnet28_2, wide_resnet10_2]
NETWORKS = [*USUAL, vgg11_dldr, vgg13_dldr, googlenet_dldr]
every_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
usual_network = pytest.mark.parametrize("network", USUAL, ids=lambda network: network.__name__)

# Parameters for 10 classes, features before the linear layer, channels of the first convolution.
PUBLISHED = [
    (resnet20, 269_722, 64, 16),
    (resnet32, 464_154, 64, 16),
    (vgg11, 9_231_114, 512, 64),
    (vgg13, 9_416_010, 512, 64),
    (googlenet, 6_166_250, 1024, 192),
    (vgg11_dldr, 28_149_514, 4096, 64),
    (vgg13_dldr, 28_334_410, 4096, 64),
    (googlenet_dldr, 6_310_314, 1024, 64),
    (wide_resnet28_2, 1_467_610, 128, 16),
    (wide_resnet10_2, 303_706, 128, 16),
]


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def count_on_meta(network, **arguments) -> int:
    with torch.device("meta"):  # shapes only: nothing is drawn
        return count_parameters(network(**arguments))


@pytest.mark.parametrize(("network", "published", "features", "stem"), PUBLISHED)
def test_parameter_count_is_the_published_one(network, published, features, stem):
    assert count_on_meta(network, classes=10) == published


@pytest.mark.parametrize("classes", [2, 37, 100])
@pytest.mark.parametrize(("network", "published", "features", "stem"), PUBLISHED)
def test_each_class_adds_one_row_and_one_bias(network, published, features, stem, classes):
    expected = published + (classes - 10) * (features + 1)
    assert count_on_meta(network, classes=classes) == expected


@pytest.mark.parametrize(("network", "published", "features", "stem"), PUBLISHED)
def test_gray_images_save_two_thirds_of_the_first_convolution(network, published, features, stem):
    assert count_on_meta(network, classes=10, channels=1) == published - 2 * 9 * stem


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (resnet20, 275_572),
        (resnet32, 470_004),
        (vgg11, 9_277_284),
        (vgg13, 9_462_180),
        (googlenet, 6_258_500),
        (vgg11_dldr, 28_518_244),
        (vgg13_dldr, 28_703_140),
        (googlenet_dldr, 6_402_564),
        (wide_resnet28_2, 1_479_220),
        (wide_resnet10_2, 315_316),
    ],
)
def test_parameter_count_for_100_classes(network, expected):
    assert count_on_meta(network, classes=100) == expected


@every_network
@pytest.mark.parametrize("width", [0.01, 0.0625, 0.25, 0.3, 0.5])
def test_any_width_gives_one_logit_per_class(network, width):
    model = network(classes=7, channels=3, width=width)
    assert model(torch.randn(2, 3, 16, 16)).shape == (2, 7)


@every_network
def test_widths_above_one_are_accepted(network):
    with torch.device("meta"):
        model = network(classes=7, width=1.5)
        assert model(torch.empty(2, 3, 32, 32)).shape == (2, 7)
    assert count_parameters(model) > count_on_meta(network, classes=7)


@every_network
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (8, 64), (9, 13), (32, 32), (32, 64), (64, 64)])
def test_any_image_size_gives_one_logit_per_class(network, channels, size):
    model = network(classes=2, channels=channels, width=0.0625)
    logits = model(torch.randn(3, channels, *size))
    assert logits.shape == (3, 2)
    assert torch.isfinite(logits).all()


@every_network
def test_every_parameter_gets_a_gradient(network):
    torch.manual_seed(0)
    model = network(classes=5, width=0.25)
    functional.cross_entropy(model(torch.randn(8, 3, 16, 16)), torch.arange(8) % 5).backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert missing == []


@usual_network
def test_a_freshly_built_network_passes_a_signal_of_order_one(network):
    torch.manual_seed(0)
    logits = network(classes=10, width=0.5)(torch.randn(16, 3, 32, 32))
    assert 0.05 < logits.std() < 5


@every_network
def test_initialization_is_he_normal_by_fan_out(network):
    torch.manual_seed(0)
    for module in network(classes=10, width=0.5, initialization="he").modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            scaled_weight = module.weight * (fan_out / 2) ** 0.5  # standard normal if He
            standard_error = (2 * module.weight.numel()) ** -0.5
            assert abs(scaled_weight.std() - 1) < 5 * standard_error
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


def relative(measured, expected):
    return pytest.approx(expected, rel=5 * (2 * measured.numel()) ** -0.5)


def test_published_residual_networks_are_he_normal_by_fan_in_to_the_last_layer():
    torch.manual_seed(0)
    for module in resnet20(classes=100, initialization="published").modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == relative(module.weight, (2 / fan_in) ** 0.5)


def test_published_wide_networks_end_in_glorot_s_normal():
    torch.manual_seed(0)
    usual, published = (wide_resnet28_2(classes=100, initialization=i) for i in INITIALIZATIONS)
    last = published.classifier
    assert last.weight.std().item() == relative(last.weight, (2 / (128 + 100)) ** 0.5)
    assert not last.bias.any()
    spreads = [
        [m.weight.std().item() for m in net.modules() if isinstance(m, nn.Conv2d)]
        for net in (usual, published)
    ]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.2)


@pytest.mark.parametrize("network", [vgg11, googlenet, vgg11_dldr, googlenet_dldr])
def test_other_published_networks_are_as_pytorch_makes_them(network):
    torch.manual_seed(0)
    for module in network(classes=10, width=0.25, initialization="published").modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = module.weight[0].numel() ** -0.5
            assert 0.9 * bound < module.weight.abs().max().item() <= bound
            spread = bound / 3**0.5
            assert module.weight.std().item() == relative(module.weight, spread)


@every_network
def test_another_initialization_is_refused(network):
    with pytest.raises(ValueError, match="initialization: expected he or published, got 'zero'"):
        network(classes=10, width=0.1, initialization="zero")


@pytest.mark.parametrize("network", [vgg11_dldr, googlenet_dldr])
def test_the_authors_networks_drop_out_in_training_alone(network):
    torch.manual_seed(0)
    model, images = network(classes=10, width=0.25), torch.randn(4, 3, 32, 32)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


@every_network
def test_initialization_depends_on_the_global_seed_alone(network):
    torch.manual_seed(3)
    first = network(classes=4, width=0.25)
    torch.manual_seed(3)
    again = network(classes=4, width=0.25)
    other = network(classes=4, width=0.25)
    pairs = list(zip(first.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(left, right) for left, right in pairs)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


@usual_network  # of dropout vmap draws in another order
def test_vmap_over_parameters_equals_a_loop(network):
    torch.manual_seed(0)
    models = [network(classes=3, width=0.125).double() for _ in range(2)]
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)

    def forward(parameters, buffers):
        return functional_call(models[0], (parameters, buffers), (images,))

    stacked = vmap(forward)(*stack_module_state(models))
    looped = torch.stack([model(images) for model in models])
    torch.testing.assert_close(stacked, looped)


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 4), (2, 5), (3, 3)])
def test_shortcut_keeps_every_second_pixel_and_pads_channels_with_zeros(inputs, outputs):
    x = torch.randn(2, inputs, 5, 6)
    shortcut = BasicBlock(inputs, outputs, stride=2).shortcut(x)
    before = (outputs - inputs) // 2
    expected = torch.zeros(2, outputs, 3, 3)
    for row in range(3):
        for column in range(3):
            expected[:, before : before + inputs, row, column] = x[:, :, 2 * row, 2 * column]
    assert torch.equal(shortcut, expected)


def test_scaled_rounds_and_keeps_at_least_one_channel():
    assert [scaled(16, width) for width in (0.01, 0.0625, 0.25, 0.3, 1.0, 1.5)] == [
        1,
        1,
        4,
        5,
        16,
        24,
    ]


@pytest.mark.parametrize("width", [0, -0.5, float("nan")])
@every_network
def test_a_width_that_is_not_positive_is_refused(network, width):
    with pytest.raises(ValueError, match="width: expected a number above 0, got"):
        network(classes=10, width=width)


@pytest.mark.parametrize("factory", ["resnet:resnet20", "wide_resnet:wide_resnet10_2", "vgg:vgg11"])
@pytest.mark.parametrize("size", [48, 64])
def test_training_leaves_the_heap_alone_at_any_image_size(factory, size):
    # PyTorch's backward of strided 1x1 convolutions aborts the process on some sizes.
    lines = (
        "import torch; from lossmap.network.factory import build_network",
        f"net = build_network('lossmap.network.models.{factory}', classes=10, channels=3, "
        "width=0.25, seed=0)",
        f"x = torch.randn(32, {size}, {size}, 3).permute(0, 3, 1, 2)",
        "for _ in range(3): net(x).square().mean().backward()",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
