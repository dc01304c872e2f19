"""PyTorch's resizing, pooling over three axes and folding, read back: the reference evaluation of each against PyTorch, and in LiteRT."""

import pytest

torch = pytest.importorskip("torch")
wherry = pytest.importorskip("wherry")
import numpy as np  # noqa: E402

nn, F, aten = torch.nn, torch.nn.functional, torch.ops.aten


def floats(*sizes):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(sum(sizes) + 1))


LINE, IMAGE, VOLUME = floats(2, 3, 7), floats(2, 3, 6, 7), floats(2, 3, 4, 6, 5)


def resized(x, **options):
    return lambda: (lambda t: F.interpolate(t, **options), x)


def applied(function, x):
    return lambda: (function, x)


CASES = {
    "bicubic_size": resized(IMAGE, size=(9, 4), mode="bicubic"),
    "bicubic_factor": resized(IMAGE, scale_factor=(1.7, 0.6), mode="bicubic"),
    "bicubic_factor_recomputed": resized(IMAGE, scale_factor=(1.7, 0.6), mode="bicubic", recompute_scale_factor=True),
    "bicubic_aligned": resized(IMAGE, size=(11, 5), mode="bicubic", align_corners=True),
    "bicubic_one": resized(IMAGE, size=(1, 5), mode="bicubic", align_corners=True),
    "bicubic_twice": resized(IMAGE, scale_factor=2, mode="bicubic"),
    "bicubic_antialias_down": resized(IMAGE, size=(4, 3), mode="bicubic", antialias=True),
    "bicubic_antialias_factor": resized(IMAGE, scale_factor=(0.6, 1.7), mode="bicubic", antialias=True),
    "bilinear_antialias_down": resized(IMAGE, size=(4, 3), mode="bilinear", antialias=True),
    "bilinear_antialias_up": resized(IMAGE, size=(9, 13), mode="bilinear", antialias=True),
    "bilinear_antialias_factor": resized(IMAGE, scale_factor=(0.4, 0.7), mode="bilinear", antialias=True),
    "bilinear_antialias_aligned": resized(IMAGE, size=(3, 9), mode="bilinear", antialias=True, align_corners=True),
    "nearest_exact_1d": resized(LINE, size=5, mode="nearest-exact"),
    "nearest_exact_2d": resized(IMAGE, size=(9, 4), mode="nearest-exact"),
    "nearest_exact_2d_factor": resized(IMAGE, scale_factor=(1.7, 0.6), mode="nearest-exact"),
    "nearest_exact_2d_twice": resized(IMAGE, scale_factor=2, mode="nearest-exact"),
    "nearest_exact_3d": resized(VOLUME, size=(7, 3, 8), mode="nearest-exact"),
    "nearest_3d": resized(VOLUME, size=(7, 3, 8)),
    "nearest_3d_factor": resized(VOLUME, scale_factor=(2, 1.4, 0.7)),
    "trilinear": resized(VOLUME, size=(7, 3, 8), mode="trilinear"),
    "trilinear_factor": resized(VOLUME, scale_factor=(2, 1.4, 0.7), mode="trilinear"),
    "trilinear_aligned": resized(VOLUME, size=(7, 3, 5), mode="trilinear", align_corners=True),
    # what is left when an exported program is decomposed
    "bicubic_default": applied(lambda t: aten.upsample_bicubic2d(t, [9, 4], False, 1.6, 0.6), IMAGE),
    "bicubic_default_without_factors": applied(lambda t: aten.upsample_bicubic2d(t, [9, 4], True), IMAGE),
    "bicubic_antialias_default": applied(lambda t: aten._upsample_bicubic2d_aa(t, [4, 9], False, 0.7, None), IMAGE),
    "bilinear_antialias_default": applied(lambda t: aten._upsample_bilinear2d_aa(t, [4, 9], False, None, None), IMAGE),
    "nearest_exact_1d_default": applied(lambda t: aten._upsample_nearest_exact1d(t, [9], 1.3), LINE),
    "nearest_exact_2d_default": applied(lambda t: aten._upsample_nearest_exact2d(t, [9, 4], 1.6, None), IMAGE),
    "nearest_exact_3d_default": applied(lambda t: aten._upsample_nearest_exact3d(t, [7, 3, 8], 1.9, None, 1.7), VOLUME),
    "nearest_3d_default": applied(lambda t: aten.upsample_nearest3d(t, [7, 3, 8], 1.9, None, 1.7), VOLUME),
    "trilinear_default": applied(lambda t: aten.upsample_trilinear3d(t, [7, 3, 8], False, 1.9, None, 1.7), VOLUME),
    # pooling over three axes
    "adaptive_avg_pool3d_one": applied(nn.AdaptiveAvgPool3d(1), VOLUME),
    "adaptive_avg_pool3d_even": applied(nn.AdaptiveAvgPool3d((2, 3, 5)), VOLUME),
    "adaptive_avg_pool3d_uneven": applied(nn.AdaptiveAvgPool3d((3, 4, 7)), VOLUME),
    "adaptive_avg_pool3d_none": applied(nn.AdaptiveAvgPool3d((None, 4, 1)), VOLUME),
    "adaptive_avg_pool3d_unbatched": applied(nn.AdaptiveAvgPool3d((3, 4, 2)), VOLUME[0]),
    "adaptive_max_pool3d_one": applied(nn.AdaptiveMaxPool3d(1), VOLUME),
    "adaptive_max_pool3d_even": applied(nn.AdaptiveMaxPool3d((2, 3, 5)), VOLUME),
    "adaptive_max_pool3d_uneven": applied(nn.AdaptiveMaxPool3d((3, 4, 7)), VOLUME),
    "avg_pool3d_unbatched": applied(nn.AvgPool3d(2, stride=(1, 2, 2), padding=1), VOLUME[0]),
    "max_pool3d_unbatched": applied(nn.MaxPool3d((2, 3, 2), stride=1), VOLUME[0]),
    "avg_pool2d_unbatched": applied(nn.AvgPool2d(2), IMAGE[0]),
    "max_pool1d_unbatched": applied(nn.MaxPool1d(3, stride=2, padding=1), LINE[0]),
    # functional.fold
    "fold_apart": applied(nn.Fold((6, 8), 2, stride=2), floats(2, 12, 12)),
    "fold_overlapping": applied(nn.Fold((6, 7), (3, 2), padding=1), floats(2, 18, 48)),
    "fold_strided": applied(nn.Fold((7, 9), 3, stride=(2, 3), padding=(1, 0)), floats(2, 27, 12)),
    "fold_dilated": applied(nn.Fold((7, 8), (2, 3), dilation=(3, 2), stride=2), floats(2, 12, 4)),
    "fold_rest": applied(nn.Fold((8, 9), 2, stride=2), floats(2, 8, 16)),
    "fold_unbatched": applied(nn.Fold((4, 4), 3), floats(9, 4)),
}


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", CASES)
def test_case(name, tmp_path):
    function, x = CASES[name]()
    path, target = tmp_path / "m.pt2", tmp_path / "m.tflite"
    torch.export.save(torch.export.export(Calls(function).eval(), (x,), strict=False), path)
    expected = function(x).numpy()
    [found] = wherry.load(path).run([x.numpy()])
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=3e-6)
    wherry.convert(path, out=target, io="nchw", verify=False)
    [found] = wherry.TfliteModel(target).run([x.numpy()])
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=3e-6)


@pytest.mark.parametrize("mode", ["nearest-exact", "bicubic"])
@pytest.mark.parametrize("size", [1, 3, 5, 11, 17, 29, 100])
def test_many_sizes(mode, size, tmp_path):
    x = floats(1, 1, 13, 10)
    function, path = (lambda t: F.interpolate(t, size=(size, 2 * size), mode=mode)), tmp_path / "m.pt2"
    torch.export.save(torch.export.export(Calls(function).eval(), (x,), strict=False), path)
    np.testing.assert_allclose(wherry.load(path).run([x.numpy()])[0], function(x).numpy(), rtol=2e-5, atol=3e-6)


def test_open_sizes_are_refused(tmp_path):
    path, height = tmp_path / "m.pt2", torch.export.Dim("height", min=2, max=64)
    program = torch.export.export(
        Calls(lambda t: F.interpolate(t, size=(9, 4), mode="bicubic")).eval(), (IMAGE,), strict=False, dynamic_shapes=({2: height},)
    )
    torch.export.save(program, path)
    with pytest.raises(wherry.WherryError, match="needs a size for each axis that it resizes"):
        wherry.load(path)
