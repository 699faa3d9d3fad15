#!/usr/bin/env python3
"""Writes images/ beside this script: small awkward pictures, and what Pillow and CLIPImageProcessor make of them.

    python3 -m venv venv && venv/bin/pip install pillow==11.3.0 torch transformers==4.45.2 numpy safetensors
    venv/bin/python tests/golden/make_golden_images.py      # five seconds, CPU only

The files are committed, so tests never need Python. golden.safetensors holds of each picture, with F its file name:
    F/rgb          (height, width, 3) u8    Image.open(F).convert("RGB")
and of some pictures:
    F/WxH          (H, W, 3) u8             the same after resize((W, H), Image.BICUBIC)
    F/clip         (3, 6, 8) f32            CLIPImageProcessor: short edge 13, crop 6 x 8 (height x width)
    F/clip_padded  (3, 20, 14) f32          the same: short edge 11, crop 20 x 14, larger than most resized pictures
hashes.json holds FNV-1a (64 bit) of the bytes of larger results, of lossless pictures only:
    {"F": {"WxH": hash of the pixels, "clip": hash of the floats of the default CLIP, 3 x 224 x 224}}

What one would get wrong: CLIPImageProcessor guesses which axis has the channels and misreads pictures 1 or 3 pixels high, so it is
told. And the order of the passes: up to version 11 Pillow resamples rows first, always; version 13 starts with the cheaper direction,
which changes some pixels by one level. transformers 4.45 is older than that, and so are these files.
"""
import argparse
import io
import json
import pathlib
import shutil
import struct
import zlib

import numpy
import PIL
import safetensors.numpy
from PIL import Image
from transformers import CLIPImageProcessor

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def smooth(width, height, channels, seed):
    """A picture with slopes, an edge and some noise: what decoders and resamplers round differently."""
    random = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    planes = []
    for c in range(channels):
        wave = 127 + 90 * numpy.sin(x / (3.1 + c) + c) * numpy.cos(y / (4.7 - c)) + 60 * ((x + y * (c + 1)) % 17 < 5)
        planes.append(numpy.clip(wave + random.normal(0, 12, x.shape), 0, 255))
    return numpy.stack(planes, -1).astype(numpy.uint8)


def noise(width, height, channels, seed):
    return numpy.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=numpy.uint8)


# ------------------------------------------------------------------------------------------- PNG files that Pillow doesn't write

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]  # x0, y0, dx, dy


def packed_rows(samples, depth):
    """samples (height, width, channels): filter 0 and the packed samples of each row."""
    rows = b""
    for row in samples:
        flat = row.reshape(-1)
        if depth == 16:
            data = flat.astype(">u2").tobytes()
        elif depth == 8:
            data = flat.astype(numpy.uint8).tobytes()
        else:
            bits = ((flat[:, None] >> numpy.arange(depth - 1, -1, -1)) & 1).astype(numpy.uint8)
            data = numpy.packbits(bits.reshape(-1)).tobytes()
        rows += b"\0" + data
    return rows


def png(samples, depth, color, before=b"", interlaced=False):
    height, width = samples.shape[:2]
    if interlaced:
        passes = [samples[y0::dy, x0::dx] for x0, y0, dx, dy in ADAM7]
        data = b"".join(packed_rows(p, depth) for p in passes if p.size)
    else:
        data = packed_rows(samples, depth)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    return SIGNATURE + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def samples(width, height, depth, color, seed):
    random = numpy.random.default_rng(seed)
    return random.integers(0, 1 << depth, (height, width, CHANNELS[color]))


def palette(entries, seed):
    return chunk(b"PLTE", noise(entries, 1, 3, seed).tobytes())


def png_pictures():
    for color, depths in {0: [1, 2, 4, 8, 16], 2: [8, 16], 4: [8, 16], 6: [8, 16]}.items():
        for depth in depths:
            yield f"png_color{color}_{depth}bit.png", png(samples(13, 11, depth, color, 10 * color + depth), depth, color)
    for depth in (1, 2, 4, 8):
        entries = min(1 << depth, 200)
        data = numpy.minimum(samples(13, 11, depth, 3, 50 + depth), entries - 1)
        yield f"png_palette_{depth}bit.png", png(data, depth, 3, palette(entries, depth))
    few = samples(9, 5, 8, 3, 60) % 9
    yield "png_palette_index_out_of_range.png", png(few, 8, 3, palette(4, 60))
    yield "png_palette_transparency.png", png(samples(9, 5, 2, 3, 61), 2, 3, palette(4, 61) + chunk(b"tRNS", b"\0\x80\xff"))
    grey = samples(9, 5, 8, 0, 62) % 3
    yield "png_grey_transparency.png", png(grey, 8, 0, chunk(b"tRNS", b"\0\1"))
    wide = samples(9, 5, 16, 0, 63) % 300
    wide[0, 0] = 255
    yield "png_grey16_clipped.png", png(wide, 16, 0, chunk(b"tRNS", b"\0\xff"))
    color = samples(9, 5, 1, 2, 64) * 255
    yield "png_rgb_transparency.png", png(color, 8, 2, chunk(b"tRNS", b"\0\xff\0\0\0\xff"))
    profile = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sBIT", b"\5\6\5") + chunk(b"pHYs", b"\0\0\1\0\0\0\2\0\1")
    yield "png_gamma.png", png(samples(9, 5, 8, 2, 65), 8, 2, profile)
    yield "png_bad_profile.png", png(samples(9, 5, 8, 2, 66), 8, 2, chunk(b"iCCP", b"x\0\0garbage"))
    for color, depth in ((2, 8), (0, 1), (0, 16), (6, 8), (3, 4)):
        before = palette(16, 67) if color == 3 else b""
        yield f"png_interlaced_color{color}_{depth}bit.png", png(samples(11, 13, depth, color, 70 + color), depth, color, before, True)
    yield "png_interlaced_1x1.png", png(samples(1, 1, 8, 2, 80), 8, 2, b"", True)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def shape_pictures():
    for width, height in ((1, 1), (1, 57), (57, 1), (3, 3), (40, 3), (2, 200), (3000, 2), (1, 2000), (61, 47)):
        yield f"png_shape_{width}x{height}.png", saved(Image.fromarray(smooth(width, height, 3, width + height)), "png", optimize=True)


def jpeg_pictures():
    rgb = Image.fromarray(smooth(37, 27, 3, 100))
    for name, options in {"420": dict(subsampling=2), "422": dict(subsampling=1), "444": dict(subsampling=0), "poor": dict(quality=8),
                          "progressive": dict(progressive=True), "restart": dict(restart_marker_blocks=2),
                          "rgb": dict(keep_rgb=True), "best": dict(quality=100)}.items():
        yield f"jpeg_{name}.jpg", saved(rgb, "jpeg", **({"quality": 85} | options))
    yield "jpeg_grey.jpg", saved(rgb.convert("L"), "jpeg")
    yield "jpeg_grey_progressive.jpg", saved(rgb.convert("L"), "jpeg", progressive=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    yield "jpeg_orientation.jpg", saved(rgb, "jpeg", exif=exif)
    cmyk = saved(Image.fromarray(smooth(29, 21, 4, 101), "CMYK"), "jpeg", quality=90)
    yield "jpeg_cmyk.jpg", cmyk
    yield "jpeg_cmyk_progressive.jpg", saved(Image.fromarray(smooth(29, 21, 4, 102), "CMYK"), "jpeg", progressive=True)
    at = cmyk.index(b"Adobe")
    assert cmyk[at + 11] == 0
    yield "jpeg_ycck.jpg", cmyk[:at + 11] + b"\2" + cmyk[at + 12:]  # the same coefficients, read as YCCK
    for width, height in ((1, 1), (1, 40), (40, 1), (9, 300)):
        yield f"jpeg_shape_{width}x{height}.jpg", saved(Image.fromarray(smooth(width, height, 3, 103)), "jpeg")
    yield "jpeg_named.png", saved(rgb, "jpeg", quality=70)  # the content decides


def webp_pictures():
    rgb, rgba = Image.fromarray(smooth(31, 23, 3, 200)), Image.fromarray(noise(15, 11, 4, 201))
    yield "webp_lossless.webp", saved(rgb, "webp", lossless=True)
    yield "webp_lossless_alpha.webp", saved(rgba, "webp", lossless=True, exact=True)
    yield "webp_lossless_1x1.webp", saved(Image.fromarray(noise(1, 1, 3, 202)), "webp", lossless=True)
    yield "webp_lossless_90x2.webp", saved(Image.fromarray(smooth(90, 2, 3, 203)), "webp", lossless=True)
    yield "webp_lossy.webp", saved(rgb, "webp", quality=60)
    yield "webp_lossy_alpha.webp", saved(Image.fromarray(smooth(31, 23, 4, 204)), "webp", quality=80)
    yield "webp_lossless_animated.webp", saved(rgb, "webp", lossless=True, save_all=True,
                                               append_images=[Image.fromarray(smooth(31, 23, 3, 205))], duration=100)
    clear = noise(15, 11, 4, 206)
    clear[:, :6, 3] = 0
    yield "webp_lossless_animated_alpha.webp", saved(Image.fromarray(clear), "webp", lossless=True, exact=True, save_all=True,
                                                     append_images=[rgba], duration=100)


# ------------------------------------------------------------------------------------------------------------------------ results

def fnv1a(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return f"{value:016x}"


def clip(image, edge=224, crop=(224, 224)):
    processor = CLIPImageProcessor(size={"shortest_edge": edge}, crop_size={"height": crop[0], "width": crop[1]})
    pixels = processor(numpy.asarray(image), input_data_format="channels_last", do_convert_rgb=False, return_tensors="np")
    return numpy.ascontiguousarray(pixels["pixel_values"][0])


def resized(image, width, height):
    return numpy.asarray(image.resize((width, height), Image.BICUBIC))


def main():
    assert PIL.__version__ == "11.3.0", f"Pillow {PIL.__version__}, expected 11.3.0"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    out = parser.parse_args().out / "images"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    tensors, hashes = {}, {}
    for name, content in [*png_pictures(), *shape_pictures(), *jpeg_pictures(), *webp_pictures()]:
        (out / name).write_bytes(content)
        image = Image.open(out / name).convert("RGB")
        tensors[f"{name}/rgb"] = numpy.asarray(image)
        if name.startswith(("png_shape", "png_color", "webp")):
            extreme = max(image.size) > 500
            for width, height in ((5, 7), (17, 4)) if extreme else ((5, 7), (17, 4), (image.width, 6), (9, image.height)):
                tensors[f"{name}/{width}x{height}"] = resized(image, width, height)
            tensors[f"{name}/clip"] = clip(image, 13, (6, 8))
        if name in ("png_shape_61x47.png", "png_shape_1x1.png", "png_color2_8bit.png"):
            tensors[f"{name}/clip_padded"] = clip(image, 11, (20, 14))
        if name.startswith(("png_shape", "png_color2_8bit", "png_color6_8bit", "webp_lossless")):
            entry = hashes[name] = {f"{w}x{h}": fnv1a(resized(image, w, h).tobytes()) for w, h in ((150, 80), (64, 300))}
            if image.size != (3000, 2) and image.size != (1, 2000):
                entry["clip"] = fnv1a(clip(image).tobytes())
    safetensors.numpy.save_file({k: numpy.ascontiguousarray(v) for k, v in tensors.items()}, out / "golden.safetensors")
    (out / "hashes.json").write_text(json.dumps(hashes, indent=1) + "\n")
    print(sum(path.stat().st_size for path in out.iterdir()), "bytes in", len(list(out.iterdir())), "files")


if __name__ == "__main__":
    main()
