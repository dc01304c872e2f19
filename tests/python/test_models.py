"""The models of models/ against the same networks built in PyTorch: names and shapes of all weights, and the outputs."""

import hashlib
import math
import pathlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
wherry = pytest.importorskip("wherry")
nn, functional = torch.nn, torch.nn.functional
MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"


class Padded(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding for inputs of one size."""

    def __init__(self, inputs, outputs, kernel, stride=1, groups=1, size=224):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        self.ends = [total // 2, total - total // 2] * 2

    def forward(self, x):
        return super().forward(functional.pad(x, self.ends))


class LiteBlock(nn.Module):
    def __init__(self, inputs, outputs, expand, kernel, stride, size):
        super().__init__()
        mid = inputs * expand
        if expand != 1:
            self._expand_conv = nn.Conv2d(inputs, mid, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(mid, eps=1e-3)
        self._depthwise_conv = Padded(mid, mid, kernel, stride, mid, size)
        self._bn1 = nn.BatchNorm2d(mid, eps=1e-3)
        self._project_conv = nn.Conv2d(mid, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=1e-3)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x):
        y = functional.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_bn0") else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skip else y


class EfficientNetLite(nn.Module):
    STAGES = [
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ]

    def __init__(self, width, depth, size):
        super().__init__()
        self._conv_stem = Padded(3, 32, 3, 2, size=size)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        size, inputs, blocks = math.ceil(size / 2), 32, []
        for i, (repeats, kernel, stride, expand, outputs) in enumerate(self.STAGES):
            outputs = self.rounded(outputs * width)
            for j in range(repeats if i in (0, 6) else math.ceil(repeats * depth)):
                step = stride if j == 0 else 1
                blocks.append(LiteBlock(inputs, outputs, expand, kernel, step, size))
                size, inputs = math.ceil(size / step), outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(inputs, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)

    @staticmethod
    def rounded(channels):
        result = max(8, int(channels + 4) // 8 * 8)
        return result + 8 if result < 0.9 * channels else result

    def forward(self, x):
        x = self._blocks(functional.relu6(self._bn0(self._conv_stem(x))))
        return self._fc(functional.relu6(self._bn1(self._conv_head(x))).mean((2, 3)))


def conv_bn_relu6(inputs, outputs, kernel=1, stride=1, groups=1):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class Inverted(nn.Module):
    def __init__(self, inputs, outputs, expand, stride):
        super().__init__()
        mid = inputs * expand
        first = [] if expand == 1 else [conv_bn_relu6(inputs, mid)]
        last = [nn.Conv2d(mid, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*first, conv_bn_relu6(mid, mid, 3, stride, mid), *last)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.skip else self.conv(x)


class MobileNetV2(nn.Module):
    STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]

    def __init__(self):
        super().__init__()
        layers, inputs = [conv_bn_relu6(3, 32, 3, 2)], 32
        for expand, outputs, repeats, stride in self.STAGES:
            for j in range(repeats):
                layers.append(Inverted(inputs, outputs, expand, stride if j == 0 else 1))
                inputs = outputs
        self.features = nn.Sequential(*layers, conv_bn_relu6(320, 1280))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class Basic(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        for i, (inputs, outputs) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], 1):
            setattr(self, f"layer{i}", nn.Sequential(Basic(inputs, outputs, 1 if i == 1 else 2), Basic(outputs, outputs, 1)))
        self.fc = nn.Linear(512, 1000)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


class ConvBNRelu(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, relu=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
        self.bn = nn.BatchNorm2d(outputs)
        if relu:
            self.relu = nn.ReLU()


class IRF(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expand):
        super().__init__()
        mid = inputs * expand
        if expand != 1:
            self.pw = ConvBNRelu(inputs, mid)
        self.dw = ConvBNRelu(mid, mid, kernel, stride, mid)
        self.pwl = ConvBNRelu(mid, outputs, relu=False)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.pwl(self.dw(self.pw(x) if hasattr(self, "pw") else x))
        return x + y if self.skip else y


class FBNetC(nn.Module):
    """Table 3 of the paper (arXiv 1812.03443): kernel, expansion; a block that is skipped leaves its number out."""

    STAGES = [
        (16, 1, [(3, 1)]),
        (24, 2, [(3, 6), None, (3, 1), (3, 1)]),
        (32, 2, [(5, 6), (5, 3), (5, 6), (3, 6)]),
        (64, 2, [(5, 6), (5, 3), (5, 6), (5, 6)]),
        (112, 1, [(5, 6), (5, 6), (5, 6), (5, 3)]),
        (184, 2, [(5, 6), (5, 6), (5, 6), (5, 6)]),
        (352, 1, [(3, 6)]),
    ]

    def __init__(self):
        super().__init__()
        stages, inputs, stage, number = {"xif0_0": ConvBNRelu(3, 16, 3, 2)}, 16, 0, 0
        for outputs, stride, blocks in self.STAGES:
            if stride == 2 or stage == 0:
                stage, number = stage + 1, 0
            for j, block in enumerate(blocks):
                if block:
                    stages[f"xif{stage}_{number}"] = IRF(inputs, outputs, block[0], stride if j == 0 else 1, block[1])
                    inputs = outputs
                number += 1
        stages["xif6_0"] = ConvBNRelu(352, 1984)
        self.backbone, self.head = nn.Module(), nn.Module()
        self.backbone.stages = nn.Sequential()
        for name, module in stages.items():
            self.backbone.stages.add_module(name, module)
        self.head.conv = nn.Conv2d(1984, 1000, 1)

    def forward(self, x):
        return self.head.conv(self.backbone.stages(x).mean((2, 3), keepdim=True)).flatten(1)


NETWORKS = {
    "fbnet_c": FBNetC,
    "mobilenet_v2": MobileNetV2,
    "resnet18": ResNet18,
    "efficientnet_lite0": lambda: EfficientNetLite(1.0, 1.0, 224),
    "efficientnet_lite1": lambda: EfficientNetLite(1.0, 1.1, 240),
    "efficientnet_lite2": lambda: EfficientNetLite(1.1, 1.2, 260),
    "efficientnet_lite3": lambda: EfficientNetLite(1.2, 1.4, 280),
    "efficientnet_lite4": lambda: EfficientNetLite(1.4, 1.8, 300),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_and_outputs_are_the_networks(name, tmp_path):
    torch.manual_seed(3)
    network = NETWORKS[name]().eval()
    for key, value in network.state_dict().items():  # statistics that a wrong order or epsilon would not survive
        if key.endswith("running_mean"):
            value.uniform_(-0.2, 0.2)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    model = wherry.load(MODELS / f"{name}.yaml", weights=tmp_path / "weights.pth")  # every key and shape, none left over
    ((input_name, kind),) = model.inputs
    shape = [int(size) for size in kind[kind.index("[") + 1 : -1].split(",")]
    x = torch.randn(shape)
    with torch.no_grad():
        expected = network(x).numpy()
    (found,) = model.run([x.numpy()])
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


def test_seeded_weights_are_the_same_everywhere():
    first, again, other = (wherry.load(MODELS / "resnet18.yaml", seed=seed).weights() for seed in (5, 5, 6))
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(first[key]).tobytes() for key in sorted(first))).hexdigest()
    assert all((first[key] == again[key]).all() for key in first)
    assert not (first["fc.weight"] == other["fc.weight"]).all()
    assert digest == "cea6bcebdb3d240750311e6b1843deff232485226d909cde8616951bb3dbd44e", "the generator has changed"


def test_seeded_weights_have_pytorchs_ranges():
    ours, theirs = wherry.load(MODELS / "resnet18.yaml", seed=0).weights(), ResNet18().state_dict()
    for key, value in ours.items():
        expected = theirs[key].numpy()
        if expected.std() == 0:
            assert (value == expected).all(), key
        else:
            bound = 1 / math.sqrt(math.prod(theirs[key.rsplit(".", 1)[0] + ".weight"].shape[1:]))
            assert np.abs(value).max() <= bound, key
            assert abs(value.std() - bound / math.sqrt(3)) < 0.08 * bound, key
            assert abs(value.mean()) < 0.08 * bound, key
