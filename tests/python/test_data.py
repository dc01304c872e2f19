"""Decoding and resampling against Pillow: identical within one grey level, or named."""

import io
import pathlib
import subprocess

import numpy
import pytest
from PIL import Image, ImageOps

ROOT = pathlib.Path(__file__).resolve().parents[2]
DUMP = ROOT / "build/release/tests/dump_images"
PHOTOGRAPHS = ROOT.parent / "shared/data/images"
FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

pytestmark = pytest.mark.skipif(not DUMP.exists(), reason="dump_images is not built")


def ask(requests):
    """What Wherry answers to each request: an array, or a message."""
    lines = "".join("\t".join(map(str, request)) + "\n" for request in requests)
    out = io.BytesIO(subprocess.run([DUMP], input=lines.encode(), capture_output=True, check=True).stdout)
    answers = []
    for _ in requests:
        width, height = map(int, out.readline().split())
        if width == 0:
            answers.append(out.read(height).decode())
        else:
            answers.append(numpy.frombuffer(out.read(width * height * 3), numpy.uint8).reshape(height, width, 3))
    return answers


def pillow(file):
    return ImageOps.exif_transpose(Image.open(file)).convert("RGB")


def apart(found, expected):
    """The greatest difference in grey levels."""
    assert not isinstance(found, str), found
    assert found.shape == numpy.asarray(expected).shape
    return int(numpy.abs(found.astype(int) - numpy.asarray(expected).astype(int)).max())


def scene(width, height, seed=0):
    """Smooth colours with noise and hard edges."""
    generator = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    waves = numpy.stack([x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), 127 + 127 * numpy.sin(x * y / 40)], -1)
    noise = generator.normal(0, 20, waves.shape) * (x % 7 < 3)[..., None]
    return Image.fromarray(numpy.clip(waves + noise, 0, 255).astype(numpy.uint8))


def photographs(count):
    files = sorted(PHOTOGRAPHS.glob("*.JPEG"))
    if not files:
        pytest.skip("../shared/data/images is not there")
    return files[:: max(len(files) // count, 1)][:count]


def test_every_form_of_image(tmp_path):
    picture = scene(61, 43)
    grey, palette = picture.convert("L"), picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=17)
    alpha = picture.copy()
    alpha.putalpha(grey)
    saved = {
        "plain.jpg": (picture, {"quality": 90}),
        "444.jpg": (picture, {"quality": 95, "subsampling": 0}),
        "422.jpg": (picture, {"quality": 80, "subsampling": 1}),
        "progressive.jpg": (picture, {"progressive": True}),
        "grey.jpg": (grey, {}),
        "cmyk.jpg": (picture.convert("CMYK"), {"quality": 95}),
        "plain.png": (picture, {}),
        "grey.png": (grey, {}),
        "bits.png": (grey.convert("1"), {}),
        "four.png": (palette, {"bits": 8}),
        "palette.png": (palette, {}),
        "transparent.png": (palette, {"transparency": 3}),
        "alpha.png": (alpha, {}),
        "grey_alpha.png": (alpha.convert("LA"), {}),
        "lossless.webp": (picture, {"lossless": True}),
        "lossy.webp": (picture, {"quality": 80}),
        "alpha.webp": (alpha, {"quality": 80}),
    }
    for name, (image, options) in saved.items():
        image.save(tmp_path / name, **options)
    answers = ask([("decode", tmp_path / name) for name in saved])
    assert {name: apart(found, pillow(tmp_path / name)) for name, found in zip(saved, answers, strict=True)} == dict.fromkeys(saved, 0)


def test_animations_give_their_first_frame(tmp_path):
    first, second = scene(20, 10), scene(20, 10, seed=1).transpose(Image.Transpose.ROTATE_180)
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], lossless=True)
    assert apart(ask([("decode", tmp_path / "a.webp")])[0], pillow(tmp_path / "a.webp")) == 0


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_turns_images_upright(tmp_path, suffix):
    picture, files = scene(31, 17), []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files.append(tmp_path / f"{orientation}.{suffix}")
        picture.save(files[-1], exif=exif, quality=95)
    answers = ask([("decode", file) for file in files])
    assert [apart(found, pillow(file)) for found, file in zip(answers, files, strict=True)] == [0] * 8


def test_broken_images_are_named(tmp_path):
    picture = scene(80, 60)
    for suffix in ("jpg", "png", "webp"):
        picture.save(tmp_path / f"whole.{suffix}")
        data = (tmp_path / f"whole.{suffix}").read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(data[: len(data) * 2 // 3])
        (tmp_path / f"short.{suffix}").write_bytes(data[:20])
        (tmp_path / f"text.{suffix}").write_text("<html>404</html>")
        (tmp_path / f"empty.{suffix}").write_bytes(b"")
    data = bytearray((tmp_path / "whole.png").read_bytes())
    data[len(data) // 2] ^= 0x55
    (tmp_path / "flipped.png").write_bytes(data)
    Image.fromarray(numpy.arange(64, dtype=numpy.uint16).reshape(8, 8) * 900).save(tmp_path / "sixteen.png")
    broken = sorted(file for file in tmp_path.iterdir() if not file.name.startswith("whole"))
    answers = ask([("decode", file) for file in broken])
    for file, answer in zip(broken, answers, strict=True):
        assert isinstance(answer, str) and "E802" in answer and file.name in answer, (file, answer)
    assert "16 bits" in answers[broken.index(tmp_path / "sixteen.png")]


def test_every_filter_both_ways(tmp_path):
    sizes = [(1, 1), (7, 5), (33, 64), (61, 43), (122, 20), (200, 150), (61, 90), (30, 43), (90, 77), (60, 12), (114, 20)]
    requests, expected = [], []
    for width, height in [(61, 43), (1, 9), (128, 77)]:
        file = tmp_path / f"{width}x{height}.png"
        picture = scene(width, height)
        picture.save(file)
        for name in FILTERS:
            for size in sizes:
                requests.append(("resize", file, *size, name))
                expected.append(picture.resize(size, getattr(Image.Resampling, name.upper())))
    differences = {request[1:]: apart(found, want) for request, found, want in zip(requests, ask(requests), expected, strict=True)}
    assert {key: value for key, value in differences.items() if value} == {}


def test_an_area_is_the_same_as_cropping_the_whole(tmp_path):
    picture = scene(97, 61)
    picture.save(tmp_path / "a.png")
    area = (5, 7, 30, 20)
    requests = [("area", tmp_path / "a.png", 50, 41, name, *area) for name in FILTERS]
    for name, found in zip(FILTERS, ask(requests), strict=True):
        whole = picture.resize((50, 41), getattr(Image.Resampling, name.upper()))
        assert apart(found, whole.crop((5, 7, 35, 27))) == 0, name


def center_crop(image, height, width):
    """torchvision.transforms.CenterCrop."""
    have_width, have_height = image.size
    if width > have_width or height > have_height:
        canvas = Image.new("RGB", (max(width, have_width), max(height, have_height)))
        left = (width - have_width) // 2 if width > have_width else 0
        canvas.paste(image, (left, (height - have_height) // 2 if height > have_height else 0))
        image, (have_width, have_height) = canvas, canvas.size
    top, left = round((have_height - height) / 2.0), round((have_width - width) / 2.0)
    return image.crop((left, top, left + width, top + height))


def shorter_side(image, size, resampling):
    """torchvision.transforms.Resize(size)."""
    short, long = sorted(image.size)
    longer = int(size * long / short)
    return image.resize((size, longer) if image.width <= image.height else (longer, size), resampling)


def test_geometry_follows_torchvision(tmp_path):
    requests, expected = [], []
    for size in [(61, 43), (43, 61), (50, 50), (101, 33)]:
        picture = scene(*size)
        file = tmp_path / f"{size}.png"
        picture.save(file)
        for short, crop in [(32, (28, 28)), (33, (28, 31)), (20, (24, 24)), (20, (19, 40)), (43, (32, 33))]:
            requests.append(("geometry", file, short, *crop, "bicubic"))
            expected.append(center_crop(shorter_side(picture, short, Image.Resampling.BICUBIC), *crop))
    assert [apart(found, want) for found, want in zip(ask(requests), expected, strict=True)] == [0] * len(requests)


def test_photographs():
    files = photographs(40)
    decoded = ask([("decode", file) for file in files])
    assert max(apart(found, pillow(file)) for found, file in zip(decoded, files, strict=True)) <= 1
    for name in ("bilinear", "bicubic"):
        resampling = getattr(Image.Resampling, name.upper())
        found = ask([("geometry", file, 256, 224, 224, name) for file in files])
        expected = [center_crop(shorter_side(pillow(file), 256, resampling), 224, 224) for file in files]
        assert max(apart(a, b) for a, b in zip(found, expected, strict=True)) <= 1
