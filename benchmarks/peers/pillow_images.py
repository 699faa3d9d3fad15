#!/usr/bin/env python3
"""Pillow on pictures like those of a shop: decode, resize, both; and CLIPImageProcessor if transformers is installed.

    venv/bin/pip install pillow==11.3.0
    export MALLOC_MMAP_THRESHOLD_=1000000000 MALLOC_TRIM_THRESHOLD_=4000000000
    venv/bin/python benchmarks/peers/pillow_images.py --images /tmp/pictures     # writes the pictures if the folder is absent
    MQL4GREC_BENCH_IMAGES=/tmp/pictures build/release/benchmarks/bench_images    # the same pictures, the same work

One thread; files are in memory. Each line of JSON has microseconds of processor time per image, the best of --rounds passes over all
pictures. The two variables of glibc keep freed memory: without them, Pillow may spend as much time on page faults as on decoding.
"""
import argparse
import io
import json
import pathlib
import platform
import time

import numpy
import PIL
from PIL import Image, features


def picture(width, height, seed):
    """A product on white, with slopes, texture and noise."""
    random = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width] / max(width, height)
    inside = (x - 0.5 * width / max(width, height)) ** 2 + (y - 0.5 * height / max(width, height)) ** 2 < 0.12
    planes = [numpy.where(inside, 120 + 80 * numpy.sin(x * (9 + c) + seed) * numpy.cos(y * (13 - c)) + random.normal(0, 6, x.shape), 252)
              for c in range(3)]
    return Image.fromarray(numpy.clip(numpy.stack(planes, -1), 0, 255).astype(numpy.uint8))


def write_pictures(folder):
    folder.mkdir(parents=True)
    for i, (width, height) in enumerate([(500, 500), (640, 480), (300, 400), (1000, 1000), (1500, 1125), (679, 500)]):
        image = picture(width, height, i)
        image.save(folder / f"{i}.jpg", quality=88)
        image.save(folder / f"{i}.png")
        image.save(folder / f"{i}.webp", quality=82)


def small_size(image):
    """The short edge becomes 224, the long one is truncated."""
    short, long = sorted(image.size)
    other = int(224 * long / short)
    return (224, other) if image.width <= image.height else (other, 224)


def best_microseconds(inputs, work, rounds):
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for item in inputs:
            work(item)
        best = min(best, time.process_time() - start)
    return best / len(inputs) * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if not options.images.is_dir():
        write_pictures(options.images)

    def decode(content):
        return Image.open(io.BytesIO(content)).convert("RGB")

    def resize(image):
        return image.resize(small_size(image), Image.BICUBIC)

    works = {"decode": decode, "decode_and_resize": lambda content: resize(decode(content))}
    try:
        from transformers import CLIPImageProcessor
        processor = CLIPImageProcessor()
        works["decode_and_preprocess"] = lambda content: processor(decode(content), return_tensors="np")
    except ImportError:
        pass
    for extension in ("jpg", "png", "webp"):
        files = [path.read_bytes() for path in sorted(options.images.glob(f"*.{extension}"))]
        figures = {name: round(best_microseconds(files, work, options.rounds), 1) for name, work in works.items()}
        figures["resize"] = round(best_microseconds([decode(f) for f in files], resize, options.rounds), 1)
        print(json.dumps({"format": extension, "images": len(files), "microseconds_per_image": figures, "pillow": PIL.__version__,
                          "libjpeg_turbo": features.version("libjpeg_turbo"), "machine": platform.machine()}), flush=True)


if __name__ == "__main__":
    main()
