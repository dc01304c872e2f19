"""wherry.convert and wherry.load from Python: live modules against PyTorch itself, the real networks against their expected outputs."""

import numpy as np
import pytest
import wherry

torch = pytest.importorskip("torch")
nn = torch.nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x)))
        return {"logits": self.head(x.mean((2, 3))), "map": x}


def test_a_live_module_is_compared_with_pytorch(tmp_path):
    torch.manual_seed(0)
    done = wherry.convert(Small().eval(), (torch.randn(1, 3, 17, 17),), tmp_path / "small.tflite")
    assert done.output == tmp_path / "small.tflite" and done.output.exists()
    assert 0 <= done.pytorch_error < 1e-5 and done.verified


def test_a_module_in_training_is_refused(tmp_path):
    with pytest.raises(wherry.WherryError, match="eval"):
        wherry.convert(Small().train(), (torch.randn(1, 3, 16, 16),), tmp_path / "small.tflite")


def test_errors_carry_their_diagnostics(tmp_path):
    with pytest.raises(wherry.WherryError, match="E101") as caught:
        wherry.convert(tmp_path / "nothing.pt2", out=tmp_path / "x.tflite")
    assert caught.value.diagnostics[0]["code"] == "E101"


def test_a_mismatch_is_an_exception(tmp_path):
    torch.manual_seed(0)
    with pytest.raises(wherry.Mismatch):
        wherry.convert(Small().eval(), (torch.randn(1, 3, 16, 16),), tmp_path / "s.tflite", precision="float16", tolerance=1e-9)
    assert not (tmp_path / "s.tflite").exists()


@pytest.mark.parametrize("name", ["fbnet_a", "fbnet_b"])
def test_real_networks_match_pytorch(data, tmp_path, name):
    expected = np.load(data / f"{name}.expected.npz")
    done = wherry.convert(data / f"{name}.pt2", out=tmp_path / f"{name}.tflite")
    image, output = expected["input"], expected["output"]
    found = wherry.TfliteModel(done.output).run([image.transpose(0, 2, 3, 1)])[0]
    assert np.abs(found - output).max() <= 2e-5 * np.abs(output).max()
    by_evaluator = wherry.load(data / f"{name}.pt2").run([image])[0]
    assert np.abs(by_evaluator - output).max() <= 2e-5 * np.abs(output).max()


def test_parts_that_fit_a_cache_match_pytorch(data, tmp_path):
    done = wherry.convert(data / "fbnet_a.pt2", out=tmp_path / "a.tflite", l1_cache=48)
    assert done.verified and done.ops["DEPTHWISE_CONV_2D"] == 37
    expected = np.load(data / "fbnet_a.expected.npz")
    found = wherry.TfliteModel(done.output).run([expected["input"].transpose(0, 2, 3, 1)])[0]
    assert np.abs(found - expected["output"]).max() <= 2e-5 * np.abs(expected["output"]).max()


def test_fbnet_a_is_small_and_has_no_transpose(data, tmp_path):
    done = wherry.convert(data / "fbnet_a.pt2", out=tmp_path / "fbnet_a.tflite")
    assert sum(done.ops.values()) <= 75 and "TRANSPOSE" not in done.ops
    done = wherry.convert(data / "fbnet_a.pt2", out=tmp_path / "fbnet_a.yaml")
    assert len((tmp_path / "fbnet_a.yaml").read_text().splitlines()) <= 150
    text = (tmp_path / "fbnet_a.yaml").read_text()
    assert "ConvBNRelu:" in text and "IRFBlock:" in text
    assert wherry.load(tmp_path / "fbnet_a.yaml").text() == text
