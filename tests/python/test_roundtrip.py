"""Archive to text and back: the same graph, bit for bit the same weights, blocks that a person would have written."""

import json
import os
import pathlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
wherry = pytest.importorskip("wherry")
safetensors_numpy = pytest.importorskip("safetensors.numpy")
yaml = pytest.importorskip("yaml")
nn, functional = torch.nn, torch.nn.functional

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("WHERRY_DATA", ROOT.parent / "shared/data"))


@pytest.fixture(params=["fbnet_a", "fbnet_b"])
def fbnet(request):
    path = DATA / f"{request.param}.pt2"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


def to_text(source, folder, name="model.yaml"):
    """The text and its weights; converting proves that the text gives the source's graph back."""
    return wherry.convert(source, out=folder / name).output


def test_fbnet_is_a_page_of_blocks_with_parameters(fbnet):
    text = wherry.load(fbnet).text()
    assert text.count("\n") <= 150
    model = yaml.safe_load(text)
    assert model["name"] == fbnet.stem
    assert list(model["blocks"]) == ["ConvBNRelu", "IRFBlock"]
    conv, irf = model["blocks"].values()
    assert conv["params"] == {"in": "int", "out": "int", "kernel": 1, "stride": 1, "groups": 1, "relu": True}
    assert {"in": "int", "mid": "int", "out": "int", "stride": 1}.items() <= irf["params"].items()
    assert irf["layers"]["dw"]["groups"] == "$mid"
    assert irf["layers"]["res_conn"] == {"op": "add", "inputs": ["pwl", "$input"], "when": "$in == $out"}
    first = model["model"]["layers"]["backbone.stages.xif0_0"]
    assert first == {"block": "ConvBNRelu", "in": 3, "out": 16, "kernel": 3, "stride": 2}


def test_fbnets_weights_keep_every_bit(fbnet, tmp_path):
    text = to_text(fbnet, tmp_path)
    found = safetensors_numpy.load_file(text.with_suffix(".safetensors"))
    state = torch.export.load(fbnet).state_dict
    expected = {name: value.detach().numpy() for name, value in state.items() if not name.endswith("num_batches_tracked")}
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert found[name].dtype == np.float32 and found[name].tobytes() == value.tobytes(), name


def test_text_to_text_is_the_identity(fbnet, tmp_path):
    first = to_text(fbnet, tmp_path)
    for folder in "second", "json", "third":
        (tmp_path / folder).mkdir()
    second = to_text(first, tmp_path / "second")
    third = to_text(to_text(first, tmp_path / "json", "model.json"), tmp_path / "third")
    assert first.read_text() == second.read_text() == third.read_text()
    assert first.with_suffix(".safetensors").read_bytes() == third.with_suffix(".safetensors").read_bytes()


def test_json_is_the_same_structure(fbnet):
    model = wherry.load(fbnet)
    assert json.loads(model.text("json")) == yaml.safe_load(model.text())


class Basic(nn.Module):
    """ResNet's block: the sum takes the input or the downsampled input."""

    def __init__(self, in_, out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        changes = stride > 1 or in_ != out
        self.downsample = nn.Sequential(nn.Conv2d(in_, out, 1, stride), nn.BatchNorm2d(out)) if changes else None

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class Inverted(nn.Module):
    """MobileNetV2's block: the sum begins with the input."""

    def __init__(self, in_, out, stride):
        super().__init__()
        self.residual = stride == 1 and in_ == out
        mid = in_ * 6
        self.conv = nn.Sequential(
            nn.Conv2d(in_, mid, 1, bias=False), nn.BatchNorm2d(mid), nn.ReLU6(),
            nn.Conv2d(mid, mid, 3, stride, 1, groups=mid, bias=False), nn.BatchNorm2d(mid), nn.ReLU6(),
            nn.Conv2d(mid, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class Scaled(nn.Module):
    """Weights that no operator owns, and a constant."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.gamma = nn.Parameter(torch.randn(channels, 1, 1))
        self.register_buffer("shift", torch.randn(channels, 1, 1))

    def forward(self, x):
        return x + self.gamma * self.conv(x) * 0.3 + self.shift


class Shuffled(nn.Module):
    """Several outputs of one operator."""

    def __init__(self, channels):
        super().__init__()
        self.branch = nn.Conv2d(channels // 2, channels // 2, 3, padding=1)

    def forward(self, x):
        left, right = x.chunk(2, 1)
        return functional.channel_shuffle(torch.cat([left, self.branch(right)], 1), 2)


class Twice(nn.Module):
    """A module that is called twice, two inputs, named outputs, tied weights."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Basic(8, 8, 1), Basic(8, 8, 1)
        self.head, self.tied = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.tied.weight = self.head.weight

    def forward(self, x, y):
        z, w = self.first(x), self.first(y)
        return {"sum": self.tied(z + w), "second": self.head(self.second(z)), "input": x}


def stack(block, *arguments):
    return nn.Sequential(*(block(*given) for given in arguments))


NETWORKS = {
    "basic": (lambda: stack(Basic, (8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 32, 2)), [(1, 8, 16, 16)], "Basic"),
    "inverted": (
        lambda: stack(Inverted, (8, 8, 1), (8, 12, 2), (12, 12, 1), (12, 16, 1)),
        [(1, 8, 16, 16)],
        "Inverted",
    ),
    "scaled": (lambda: stack(Scaled, (8,), (8,), (8,)), [(1, 8, 8, 8)], "Scaled"),
    "shuffled": (lambda: stack(Shuffled, (8,), (8,)), [(1, 8, 8, 8)], "Shuffled"),
    "twice": (Twice, [(1, 8, 8, 8)] * 2, "Basic"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_come_back_through_text(name, tmp_path):
    torch.manual_seed(3)
    make, shapes, block = NETWORKS[name]
    archive = tmp_path / f"{name}.pt2"
    torch.export.save(torch.export.export(make().eval(), tuple(torch.randn(shape) for shape in shapes)), archive)
    source = wherry.load(archive)
    text = to_text(archive, tmp_path)
    back = wherry.load(text)
    assert list(yaml.safe_load(text.read_text())["blocks"]) == [block]
    assert back.inputs == source.inputs and back.outputs == source.outputs
    inputs = [np.random.default_rng(1).standard_normal(shape, dtype=np.float32) for shape in shapes]
    expected, found = source.layers(inputs), back.layers(inputs)
    assert list(expected) == list(found)
    for path in expected:
        np.testing.assert_array_equal(found[path], expected[path])
