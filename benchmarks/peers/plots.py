#!/usr/bin/env python3
"""Draws the plots of docs/performance.md.

    bench_growth --benchmark_out=growth.json --benchmark_out_format=json
    plots.py growth --from growth.json --out docs/performance-growth.svg
    plots.py roofline --from roofline.json --out docs/performance-roofline.svg
    plots.py curves --from curves.json --out docs/performance-curves.svg

growth.json is Google Benchmark's. roofline.json: {"roofs": [{"name", "flops", "bytes"}], "points": [{"name", "intensity", "flops", "label": [x, y]}]}, in
FLOP/s, bytes/s and FLOP a byte. curves.json: {"runs": [{"name", "examples_an_epoch", "losses": [one an epoch],
"epochs": [of the losses; default 1, 2, …]}]}.
"""
import argparse
import json
import pathlib

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.hashsalt": "mql4grec", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3, "axes.spines.top": False,
                        "axes.spines.right": False}
import matplotlib.pyplot as plt  # noqa: E402


def growth(data):
    titles = {"training_with_batch": ("training", "examples a batch", "examples/s"),
              "search_with_beams": ("search", "beams", "searches/s"),
              "search_with_history": ("search, 20 beams", "items of a history", "searches/s"),
              "search_with_catalog": ("search, 20 beams", "items of the catalog", "searches/s")}
    lines = {}
    for run in data["benchmarks"]:
        if run.get("aggregate_name", "median") != "median":
            continue
        name, size = run["name"].split("/")[:2]
        lines.setdefault(name, []).append((int(size), run.get("examples/s", run.get("searches/s"))))
    figure, axes = plt.subplots(2, 2, figsize=(8, 5.5))
    for axis, (name, (title, x, y)) in zip(axes.flat, titles.items()):
        points = sorted(lines[name])
        rates = [rate for _, rate in points]
        axis.plot(*zip(*points), marker="o", color="#20639b")
        axis.set(title=title, xlabel=x, ylabel=y, xscale="log", ylim=(0, 1.15 * max(rates)))
        if name in ("search_with_beams", "search_with_history"):
            axis.set(ylim=(0.7 * min(rates), 1.4 * max(rates)), yscale="log")
    return figure


def roofline(data):
    figure, axis = plt.subplots(figsize=(8, 4.5))
    low, high = 0.1, 1000
    for roof in data["roofs"]:
        xs = [low, roof["flops"] / roof["bytes"], high]
        axis.plot(xs, [min(roof["flops"], roof["bytes"] * x) / 1e9 for x in xs], label=roof["name"])
    for point in data["points"]:
        axis.plot(point["intensity"], point["flops"] / 1e9, "o", color="black", markersize=4)
        axis.annotate(point["name"], (point["intensity"], point["flops"] / 1e9), xytext=point.get("label", (5, -8)),
                      textcoords="offset points", fontsize=7)
    axis.set(xscale="log", yscale="log", xlabel="FLOP a byte of memory", ylabel="GFLOP/s")
    axis.legend(fontsize=8)
    return figure


def curves(data):
    figure, axis = plt.subplots(figsize=(8, 4.5))
    for run in data["runs"]:
        epochs = run.get("epochs", range(1, len(run["losses"]) + 1))
        axis.plot([run["examples_an_epoch"] * epoch / 1e6 for epoch in epochs], run["losses"], label=run["name"],
                  marker="." if len(run["losses"]) < 10 else None)
    axis.set(xscale="log", ylim=(1.4, 3), xlabel="million examples", ylabel="validation loss a token")
    axis.legend(fontsize=8)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {"growth": growth, "roofline": roofline, "curves": curves}
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--from", dest="source", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    figure = kinds[options.kind](json.loads(options.source.read_text()))
    figure.tight_layout()
    figure.savefig(options.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
