"""Writes the small archives of this folder: python tests/data/make_pt2.py (needs torch 2.13).

What the tests do not read is left out (sample inputs), paths of the machine are cut, and the entries are deflated. The C++
tests pack them anew, stored as torch does, after changing what they like.
"""

import io
import json
import re
import zipfile
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent


class Small(nn.Module):
    """A little of everything: a convolution, an in-place operator, a write through a view, a tied weight, a lifted constant."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.ones(2, 16)[:, ::2][0], persistent=False)

    def forward(self, x, pair):
        y = self.act(self.bn(self.conv(x)))
        y[:, 0] = 1.5
        z = self.second(self.first(y.view(y.size(0), -1)))
        return {"logits": z + pair[0], "half": z[:, :8] * self.scale * torch.tensor([2.0])}


def cut(program):
    for node in program["graph_module"]["graph"]["nodes"]:
        trace = node["metadata"].get("stack_trace", "")
        trace = re.sub(r'File "[^"]*/(site-packages|data)/', 'File "', trace)
        node["metadata"] = {"stack_trace": trace, "nn_module_stack": node["metadata"].get("nn_module_stack", "")}
    return program


def rewrite(data, path):
    """The same archive, deflated, without sample inputs and machine paths."""
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if "sample_inputs" in name or "/.data/" in name:
                continue
            body = old.read(name)
            root, _, rest = name.partition("/")
            if rest == "models/model.json":
                body = json.dumps(cut(json.loads(body)), separators=(",", ":")).encode()
            new.writestr(zipfile.ZipInfo(f"{path.stem}/{rest}"), body, zipfile.ZIP_DEFLATED, 9)


def main():
    torch.manual_seed(1)
    batch = torch.export.Dim("batch", min=1, max=64)
    model = Small().eval()
    program = torch.export.export(model, (torch.randn(2, 3, 4, 4), (torch.randn(16),)), dynamic_shapes={"x": {0: batch}, "pair": ((None),)})
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    rewrite(buffer.getvalue(), HERE / "small.pt2")
    weights = {"state_dict": {"a": torch.arange(6.0).view(2, 3), "b": torch.arange(6.0).view(2, 3).t()[1:]}, "epoch": 3}
    torch.save(weights, HERE / "small.pth")
    torch.save(weights, HERE / "small_legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
