"""Draws the plots of a table with matplotlib, as SVG that takes its colours from the page around it."""
import io
import math
import statistics
import textwrap
import warnings
import xml.etree.ElementTree as xml
from dataclasses import dataclass

from matplotlib import colormaps, rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from tables import BLOCK_KEYS, groups_of, number

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# Colours that stand in the SVG for variables of the page's style, so that a plot is light or dark as the page is.
INK, SOFT, RULE = "#010101", "#010102", "#010103"
SERIES = [f"#01020{i}" for i in range(6)]
VARIABLES = {INK: "var(--ink)", SOFT: "var(--soft)", RULE: "var(--rule)"} | {colour: f"var(--s{i})" for i, colour in enumerate(SERIES)}
MARKERS, DASHES = "osD^vP", ["-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (4, 1, 4, 3)), (0, (1, 1))]
WIDTH = 4.4  # inches; text keeps a readable size where a phone shows this at half of it
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "", "text.parse_math": False, "axes.unicode_minus": True, "font.size": 10,
         "text.color": INK, "axes.labelcolor": SOFT, "axes.edgecolor": SOFT, "xtick.color": SOFT, "ytick.color": SOFT, "grid.color": RULE,
         "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.linewidth": 0.8, "lines.linewidth": 2, "lines.markersize": 5.5}


@dataclass
class Picture:
    title: str
    svg: str
    legend: list      # (name of a series, SVG of its mark); empty where there is one series only
    notes: list       # sentences on what was averaged and what the bars are


@dataclass
class Point:
    series: str
    x: str
    row: str       # of a heatmap
    value: float
    spread: float  # standard deviation of what was averaged; None: of a single value
    at: float      # the number in x, of a scatter plot


def draw(table, plot, name):
    """The plot of a table as pictures: one for each dataset and each panel. `name` makes ids unique."""
    split = [key for key in table.keys if key in BLOCK_KEYS and key not in (plot.x, plot.y, plot.series, plot.panel)]
    split += [plot.panel] * bool(plot.panel)
    panels = groups_of([row for row in table.rows if all(number(row[column]) is not None for column in plot.numeric)], split)
    values = [point.value for rows in panels.values() for point in _points(table, plot, rows)[0]]
    pictures = []
    for i, (panel, rows) in enumerate(panels.items()):
        points, notes = _points(table, plot, rows)
        series = list(dict.fromkeys(point.series for point in points))
        title = plot.title + "".join(f", {key} {value}" for key, value in zip(split, panel)) * (len(panels) > 1)
        with rc_context(STYLE), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a character that the font for measuring lacks: the browser has its own fonts
            figure = Figure(figsize=(WIDTH, 3), layout="constrained")
            FigureCanvasSVG(figure)
            if plot.kind == "heatmap":
                orders = {side: list(dict.fromkeys(row[column] for row in table.rows)) for side, column in (("x", plot.x), ("row", plot.y))}
                _heatmap(figure, plot, points, (min(values), max(values)), orders)
            else:
                {"line": _lines, "bar": _bars, "scatter": _scatter}[plot.kind](figure, plot, points, series)
            svg = _svg(figure, f"{name}-{i}", title, _description(plot, points, series))
            marks = [(one, _swatch(plot.kind, j, f"{name}-{i}-mark{j}")) for j, one in enumerate(series)]
        pictures.append(Picture(title, svg, marks if len(series) > 1 and plot.kind != "heatmap" else [], notes))
    return pictures


def _points(table, plot, rows):
    """The values of a plot, those at one place averaged except in a scatter plot; and what there is to say about it."""
    places = [plot.series] * bool(plot.series) + [plot.x] + [plot.y] * (plot.kind == "heatmap")
    groups = groups_of(rows, places).values() if plot.kind != "scatter" else [[row] for row in rows]
    points, varying = [], set()
    for rows in groups:
        values = [number(row[plot.value]) for row in rows]
        spread = statistics.stdev(values) if len(values) > 1 else None
        at = number(rows[0][plot.x]) if plot.kind == "scatter" else None
        first = rows[0]
        points.append(Point(first[plot.series] if plot.series else "", first[plot.x], first[plot.y] if plot.kind == "heatmap" else "",
                            statistics.fmean(values), spread, at))
        varying |= {key for key in table.keys if len({row[key] for row in rows}) > 1}
    notes = []
    if varying:
        notes.append(f"Means over {' and '.join(key for key in table.keys if key in varying)}.")
    if plot.kind != "heatmap" and any(point.spread for point in points):
        notes.append("Error bars: standard deviation.")
    return points, notes


def _description(plot, points, series):
    low, high = (choose(points, key=lambda point: point.value) for choose in (min, max))
    place = lambda point: ", ".join(part for part in (point.series, f"{plot.y} {point.row}" if point.row else "", f"{plot.x} {point.x}") if part)
    kind = {"line": "Line plot", "bar": "Bar chart", "scatter": "Scatter plot", "heatmap": "Heat map"}[plot.kind]
    return (f"{kind} of {plot.value} by {plot.x}" + (f" and {plot.y}" if plot.kind == "heatmap" else "") +
            (f" for {len(series)} values of {plot.series}" if len(series) > 1 and plot.kind != "heatmap" else "") +
            f"; {len(points)} points. Lowest {low.value:.4g} at {place(low)}; highest {high.value:.4g} at {place(high)}. The table has all values.")


def _shortened(text, width, lines=1):
    parts = textwrap.wrap(text, width) or [""]
    return "\n".join(parts[:lines]) + (" …" if len(parts) > lines else "")


def _numeric_axis(axes, values, log):
    """Ticks at the values themselves where they are few; a logarithmic axis has room for 0."""
    values = sorted(set(values))
    if log:
        positive = [value for value in values if value > 0]
        if positive and values[0] <= 0:
            axes.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
        elif positive:
            axes.set_xscale("log")
    if len(values) <= 8:
        near = (lambda a, b: False) if log or len(values) < 2 else (lambda a, b: b - a < (values[-1] - values[0]) / 16)
        ticks = [value for i, value in enumerate(values) if i == 0 or not near(values[i - 1], value)]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.set_xticklabels([_short_number(value) for value in ticks])
        axes.xaxis.set_minor_locator(NullLocator())


def _short_number(value):
    for least, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / unit:.3g}{letter}"
    return f"{value:g}"


def _axes(figure, x, y):
    axes = figure.add_subplot()
    axes.set_xlabel(_shortened(x, 60))
    axes.set_ylabel(_shortened(y, 40))
    axes.grid(axis="y")
    return axes


def _mark(i):
    """Colour and marker of a series; the marker differs where the colours begin again."""
    return {"color": SERIES[i % len(SERIES)], "marker": MARKERS[(i + i // len(SERIES)) % len(MARKERS)]}


def _shade(i):
    """How strong the colour of a bar is, which differs where the colours begin again."""
    return 1 - 0.3 * (i // len(SERIES) % 3)


def _lines(figure, plot, points, series):
    axes = _axes(figure, plot.x, plot.value)
    places = list(dict.fromkeys(point.x for point in points))
    numbers = {place: _as_number(place) for place in places}
    numeric = None not in numbers.values()
    at = numbers if numeric else {place: i for i, place in enumerate(places)}
    for i, one in enumerate(series):
        own = sorted((point for point in points if point.series == one), key=lambda point: at[point.x])
        xs, ys = [at[point.x] for point in own], [point.value for point in own]
        axes.plot(xs, ys, linestyle=DASHES[i % len(DASHES)], **_mark(i))
        if any(point.spread for point in own):
            axes.errorbar(xs, ys, [point.spread or 0 for point in own], fmt="none", ecolor=SERIES[i % len(SERIES)], elinewidth=1.2, capsize=3)
    if numeric:
        _numeric_axis(axes, at.values(), plot.log_x)
    else:
        axes.set_xticks(range(len(places)), [_shortened(place, 16, 2) for place in places], rotation=30 if len(places) > 4 else 0,
                        ha="right" if len(places) > 4 else "center")


def _as_number(text):
    try:
        return number(text)
    except ValueError:
        return None


def _bars(figure, plot, points, series):
    places = list(dict.fromkeys(point.x for point in points))
    most = max(sum(point.x == place for point in points) for place in places)
    figure.set_size_inches(WIDTH, 0.9 + len(places) * (0.16 + 0.22 * most))
    axes = _axes(figure, plot.value, plot.x)
    axes.grid(False)
    axes.grid(axis="x")
    for y, place in enumerate(places):
        own = {point.series: point for point in points if point.x == place}
        present = [(i, own[one]) for i, one in enumerate(series) if one in own]
        for j, (i, point) in enumerate(present):
            at = y + (j + 0.5 - len(present) / 2) * 0.8 / most
            axes.barh(at, point.value, 0.74 / most, color=SERIES[i % len(SERIES)], alpha=_shade(i))
            if point.spread:
                axes.errorbar(point.value, at, xerr=point.spread, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)
    axes.set_yticks(range(len(places)), [_shortened(place, 24, 2) for place in places])
    axes.set_ylim(len(places) - 0.5, -0.5)


def _scatter(figure, plot, points, series):
    axes = _axes(figure, plot.x, plot.value)
    axes.grid(axis="both")
    for i, one in enumerate(series):
        own = [point for point in points if point.series == one]
        axes.scatter([point.at for point in own], [point.value for point in own], s=36, linewidths=0, **_mark(i))
    if plot.log_x:
        _numeric_axis(axes, [point.at for point in points], True)


def _heatmap(figure, plot, points, limits, orders):
    """`limits` are those of all maps of the plot, which share a scale; `orders` the names of its columns and rows as in the table."""
    columns, rows = ([name for name in names if any(getattr(point, side) == name for point in points)] for side, names in orders.items())
    figure.set_size_inches(WIDTH, 1 + 0.42 * len(rows))
    axes = _axes(figure, plot.x, plot.y)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    low, high = limits
    if low < 0 < high:  # gains and losses: 0 is in the middle
        colours, high = colormaps["coolwarm_r"], max(-low, high)
        low = -high
    else:
        colours = colormaps["cividis"]
    size = min(10, 54 / len(columns))
    largest = max(map(abs, limits))
    decimals = max(0, 2 - math.floor(math.log10(largest))) if largest else 0
    for point in points:
        x, y = columns.index(point.x), rows.index(point.row)
        red, green, blue, _ = colour = colours((point.value - low) / (high - low) if high > low else 0.5)
        axes.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], color=colour, linewidth=0)
        axes.text(x + 0.5, y + 0.5, f"{point.value:.{decimals}f}".replace("-", "\u2212"), ha="center", va="center", size=size,
                  color="#111111" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff")
    turned = max(map(len, columns)) * len(columns) > 48
    axes.set_xticks([i + 0.5 for i in range(len(columns))], [_shortened(column, 18) for column in columns], rotation=35 if turned else 0,
                    ha="right" if turned else "center")
    axes.set_yticks([i + 0.5 for i in range(len(rows))], [_shortened(row, 20, 2) for row in rows])
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)


def _swatch(kind, i, name):
    with rc_context(STYLE):
        figure = Figure(figsize=(0.4, 0.2))
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(0, 1))
        axes.set_axis_off()
        if kind == "bar":
            axes.fill([0.2, 0.8, 0.8, 0.2], [0.1, 0.1, 0.9, 0.9], color=SERIES[i % len(SERIES)], alpha=_shade(i), linewidth=0)
        else:
            axes.plot([0, 0.5, 1], [0.5] * 3, markevery=[1], linestyle=DASHES[i % len(DASHES)] if kind == "line" else "none", **_mark(i))
        return _svg(figure, name)


def _svg(figure, name, title="", description=""):
    """The figure as an element for an HTML page. With a title it is an image for assistive technology, otherwise decoration."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = xml.fromstring(out.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        element.text, element.tail = (text if text and text.strip() else None for text in (element.text, element.tail))
        for attribute, value in list(element.attrib.items()):
            if attribute == "id":
                element.set("id", f"{name}-{value}")
            elif attribute == f"{{{XLINK}}}href":
                element.attrib.pop(attribute)
                element.set("href", f"#{name}-{value[1:]}")
            elif attribute == "style":
                for colour, variable in VARIABLES.items():
                    value = value.replace(colour, variable)
                element.set("style", value)
            elif attribute == "clip-path":
                element.set(attribute, value.replace("url(#", f"url(#{name}-"))
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    if title or description:
        root.set("role", "img")
        root.set("aria-labelledby", f"{name}-title {name}-description")
        for i, (tag, text) in enumerate((("title", title), ("desc", description))):
            element = xml.Element(f"{{{SVG}}}{tag}", {"id": f"{name}-{'title' if tag == 'title' else 'description'}"})
            element.text = text
            root.insert(i, element)
    else:
        root.set("aria-hidden", "true")
    xml.register_namespace("", SVG)
    return xml.tostring(root, encoding="unicode")
