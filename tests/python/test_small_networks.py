"""Small networks of the usual families, from PyTorch to a .tflite in LiteRT: outputs compared, transposes counted."""

import pytest

torch = pytest.importorskip("torch")
wherry = pytest.importorskip("wherry")

nn, F = torch.nn, torch.nn.functional


class SqueezeExcite(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.down, self.up = nn.Conv2d(c, c // 4, 1), nn.Conv2d(c // 4, c, 1)

    def forward(self, x):
        return x * F.hardsigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class LinearGate(nn.Module):
    """Squeeze-excite by linear layers and a view."""

    def __init__(self, c):
        super().__init__()
        self.down, self.up = nn.Linear(c, c // 4), nn.Linear(c // 4, c)

    def forward(self, x):
        n, c = x.shape[:2]
        y = F.adaptive_avg_pool2d(x, 1).view(n, c)
        return x * torch.sigmoid(self.up(F.silu(self.down(y)))).view(n, c, 1, 1).expand_as(x)


def stem(c, act=nn.ReLU):
    return nn.Sequential(nn.Conv2d(3, c, 3, 2, 1, bias=False), nn.BatchNorm2d(c), act())


class ShuffleUnit(nn.Module):
    def __init__(self, c):
        super().__init__()
        h = c // 2
        self.branch = nn.Sequential(nn.Conv2d(h, h, 1), nn.ReLU(), nn.Conv2d(h, h, 3, 1, 1, groups=h), nn.Conv2d(h, h, 1))

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        y = torch.cat((a, self.branch(b)), 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Dense(nn.Module):
    def __init__(self, c, growth):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(c + i * growth), nn.ReLU(), nn.Conv2d(c + i * growth, growth, 3, 1, 1)) for i in range(3)
        )

    def forward(self, x):
        parts = [x]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, 1)))
        return torch.cat(parts, 1)


class ConvNeXtBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.dw, self.norm = nn.Conv2d(c, c, 7, padding=3, groups=c), nn.LayerNorm(c)
        self.up, self.down, self.gamma = nn.Linear(c, 4 * c), nn.Linear(4 * c, c), nn.Parameter(torch.full((c,), 0.3))

    def forward(self, x):
        y = self.norm(self.dw(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(b, n, d))


class VisionTransformer(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.patch, self.token, self.place = (
            nn.Conv2d(3, d, 8, 8),
            nn.Parameter(torch.randn(1, 1, d)),
            nn.Parameter(torch.randn(1, 17, d)),
        )
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(d), Attention(d, 2), nn.LayerNorm(d)
        self.mlp, self.head = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d)), nn.Linear(d, 5)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        x = x + self.attention(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return self.head(x[:, 0])


class Windows(nn.Module):
    """Shifted windows: roll, partition, attend, put back."""

    def __init__(self, d=8, w=4):
        super().__init__()
        self.w, self.attention = w, Attention(d, 2)

    def forward(self, x):
        b, c, h, wd = x.shape
        w = self.w
        y = torch.roll(x.permute(0, 2, 3, 1), (-2, -2), (1, 2))
        y = y.view(b, h // w, w, wd // w, w, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, w * w, c)
        y = self.attention(y).view(b, h // w, wd // w, w, w, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, wd, c)
        return torch.roll(y, (2, 2), (1, 2)).permute(0, 3, 1, 2) + x


class FireAndPools(nn.Module):
    def __init__(self):
        super().__init__()
        self.squeeze, self.a, self.b = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 6, 1), nn.Conv2d(4, 6, 3, padding=1)

    def forward(self, x):
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        y = F.leaky_relu(self.squeeze(x), 0.1)
        y = torch.cat([F.elu(self.a(y)), F.hardswish(self.b(y))], 1)
        y = F.interpolate(y, scale_factor=2, mode="nearest") + F.interpolate(y, scale_factor=2, mode="bilinear")
        return F.avg_pool2d(F.pad(y, (1, 0, 1, 0)), 2, count_include_pad=False)


def classifier(*body, c=8):
    return nn.Sequential(stem(c), *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(c, 5), nn.Softmax(1))


# Network → how many TRANSPOSE its file may have.
NETWORKS = {
    "squeeze_excite": (lambda: classifier(SqueezeExcite(8)), 0),
    "linear_gate": (lambda: classifier(LinearGate(8)), 0),
    "shuffle": (lambda: classifier(ShuffleUnit(8), nn.Conv2d(8, 8, 1)), 0),
    "dense": (
        lambda: nn.Sequential(stem(8, nn.ReLU6), Dense(8, 4), nn.Conv2d(20, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        0,
    ),
    "convnext": (lambda: classifier(ConvNeXtBlock(8)), 0),
    "prelu_groupnorm": (lambda: classifier(nn.GroupNorm(2, 8), nn.PReLU(8), nn.InstanceNorm2d(8), nn.Mish()), 0),
    "fire_pools": (lambda: nn.Sequential(stem(8), FireAndPools()), 0),
    "pixel_shuffle": (
        lambda: nn.Sequential(stem(8), nn.PixelShuffle(2), nn.Conv2d(2, 4, 3, padding="same", dilation=2), nn.PixelUnshuffle(2)),
        2,
    ),
    "transposed": (lambda: nn.Sequential(stem(8), nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.Tanh()), 0),
    "vision_transformer": (VisionTransformer, 5),
    "windows": (lambda: nn.Sequential(stem(8), Windows()), 7),
}


def settle(module):
    """Batch norms with statistics of their own."""
    generator = torch.Generator().manual_seed(3)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.copy_(torch.randn(m.num_features, generator=generator) * 0.2)
            m.running_var.copy_(torch.rand(m.num_features, generator=generator) + 0.5)
    return module.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name, tmp_path):
    torch.manual_seed(5)
    build, transposes = NETWORKS[name]
    module = settle(build())
    report = wherry.convert(module, (torch.randn(1, 3, 32, 32),), tmp_path / "m.tflite")
    assert report.verified
    assert report.pytorch_error < 2e-5
    assert report.ops.get("TRANSPOSE", 0) <= transposes, report.ops
    assert "BROADCAST_TO" not in report.ops
