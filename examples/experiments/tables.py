"""Reads the tables that experiments leave in a folder: TABLE.csv with the figures and TABLE.json with what they are.

TABLE.csv (RFC 4180, UTF-8): the names of the columns; then rows. The key columns come first; an empty field was not measured.
TABLE.json: the fields of FIELDS below. `planned` is the number of rows of the finished table, `seconds` what it took. `plots` is a list of
objects with `kind`, `title` and columns:
- line, bar, scatter: `x`, `y`; optional `series`, a colour for each of its values; `row`, a picture for each of its values;
  `log_x`, true or false.
- heatmap: `x` across, `row` down, `value` in colour; optional `series`, a picture for each of its values.

Everything is checked. What is wrong is a Problem, whose message is one line that names the file and the place in it.
"""
import csv
import io
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf)", re.A)
BLOCK_KEYS = ("dataset", "target")  # key columns whose values are not compared with each other
KINDS = ("line", "bar", "heatmap", "scatter")
WHOLE, NUMERIC, TEXT, LIST, OBJECT, SWITCH = "a whole number", "a number", "a string", "a list", "an object", "true or false"
FIELDS = {"table": TEXT, "title": TEXT, "question": TEXT, "command": TEXT, "dataset": TEXT, "machine": TEXT, "date": TEXT, "seconds": NUMERIC,
          "rows": WHOLE, "planned": WHOLE, "keys": LIST, "measurements": LIST, "reading": TEXT, "plots": LIST}
PLOT_FIELDS = {"kind": TEXT, "title": TEXT, "x": TEXT, "y": TEXT, "series": TEXT, "log_x": SWITCH, "row": TEXT, "value": TEXT}


class Problem(Exception):
    """What is wrong with a file, in one line."""

    def __init__(self, message):
        super().__init__(" ".join(printable(message).split()))


@dataclass
class Plot:
    kind: str
    title: str
    x: str
    y: str        # of a heatmap: the column of its rows
    value: str    # the column that is measured
    series: str   # a line or colour for each of its values; or empty
    panel: str    # a picture for each of its values; or empty
    log_x: bool

    @property
    def numeric(self):
        """The columns whose fields have to be numbers."""
        return {self.value, *([self.x] if self.kind == "scatter" else [])}


@dataclass
class Table:
    name: str
    about: dict    # the fields of TABLE.json
    columns: list  # names; the keys come first
    rows: list     # {column: text}; an empty text was not measured
    plots: list

    @property
    def keys(self):
        return self.about["keys"]

    @property
    def measurements(self):
        return self.about["measurements"]

    @property
    def unfinished(self):
        return len(self.rows) < self.about["planned"]


def number(text):
    """The finite number in a field; None where nothing, or nothing finite, was measured."""
    value = float(text) if text else math.nan
    return value if math.isfinite(value) else None


def groups_of(rows, columns):
    """{values of the columns: rows that have them}, in the order of their first rows."""
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups


def printable(text):
    """The text without the characters that HTML and SVG do not allow."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def names_in(folder):
    """The names of the tables in a folder, sorted. Raises Problem if it has none."""
    if not folder.is_dir():
        raise Problem(f"{folder}: no such folder")
    names = sorted({path.stem for path in folder.iterdir() if path.suffix == ".csv" or path.suffix == ".json" and b'"table"' in path.read_bytes()})
    if not names:
        raise Problem(f"{folder}: no tables; expected files TABLE.csv and TABLE.json")
    return names


def read_table(folder, name):
    """The table, or a Problem."""
    about_path, rows_path = folder / f"{name}.json", folder / f"{name}.csv"
    about = _read_about(about_path)
    columns, rows = _read_rows(rows_path)
    for place, wanted in (("keys", columns[:len(about["keys"])]), ("measurements", columns)):
        for i, column in enumerate(about[place]):
            if column not in wanted:
                raise Problem(f"{about_path}: {place}[{i}]: {rows_path.name} has no {'key ' * (place == 'keys')}column {column!r} in its first line")
    plots = [_plot(about_path, f"plots[{i}]", plot, columns) for i, plot in enumerate(about["plots"])]
    seen, numeric = {}, {*about["measurements"]}.union(*(plot.numeric for plot in plots))
    for line, row in rows:
        key = tuple(row[column] for column in about["keys"])
        if key in seen:
            raise Problem(f"{rows_path}:{line}: the same {', '.join(about['keys'])} as in line {seen[key]}")
        seen[key] = line
        for column in columns:
            if column in numeric and row[column] and not NUMBER.fullmatch(row[column]):
                raise Problem(f"{rows_path}:{line}: {column} is {row[column]!r}, expected a number")
    return Table(name, about, columns, [row for _, row in rows], plots)


def _text_of(path):
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(f"{path}: byte {error.start}: not UTF-8")
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}")


def _check(path, place, value, wanted):
    fits = {WHOLE: lambda: type(value) is int and value >= 0, NUMERIC: lambda: type(value) in (int, float) and math.isfinite(value),
            TEXT: lambda: isinstance(value, str), LIST: lambda: isinstance(value, list), OBJECT: lambda: isinstance(value, dict),
            SWITCH: lambda: isinstance(value, bool)}
    if not fits[wanted]():
        shown = json.dumps(value)
        raise Problem(f"{path}: {place} is {shown if len(shown) < 40 else shown[:36] + ' ...'}, expected {wanted}")
    return printable(value) if wanted is TEXT else value


def _read_about(path):
    try:
        about = _check(path, "the content", json.loads(_text_of(path)), OBJECT)
    except json.JSONDecodeError as error:
        raise Problem(f"{path}:{error.lineno}:{error.colno}: {error.msg}")
    except (RecursionError, ValueError):
        raise Problem(f"{path}: nested too deeply, or a number of too many digits")
    for field, wanted in FIELDS.items():
        if field not in about:
            raise Problem(f"{path}: no field {field!r}")
        about[field] = _check(path, field, about[field], wanted)
    for field, wanted in (("keys", TEXT), ("measurements", TEXT), ("plots", OBJECT)):
        about[field] = [_check(path, f"{field}[{i}]", value, wanted) for i, value in enumerate(about[field])]
    return about


def _read_rows(path):
    """The columns, and the rows with the lines at which they end."""
    reader = csv.reader(io.StringIO(_text_of(path), newline=""), strict=True)
    rows = []
    try:
        columns = [printable(name) for name in next(reader, [])]
        if not columns:
            raise Problem(f"{path}:1: empty, expected the names of the columns")
        for i, name in enumerate(columns):
            if not name or name in columns[:i]:
                raise Problem(f"{path}:1: column {i + 1} " + (f"has the name {name!r} of an earlier one" if name else "has no name"))
        for fields in reader:
            if fields and len(fields) != len(columns):
                raise Problem(f"{path}:{reader.line_num}: {len(fields)} fields, expected {len(columns)}")
            if fields:
                rows.append((reader.line_num, dict(zip(columns, map(printable, fields)))))
    except csv.Error as error:
        raise Problem(f"{path}:{reader.line_num}: {error}")
    return columns, rows


def _plot(path, place, given, columns):
    plot = {"title": "", "x": "", "y": "", "series": "", "log_x": False, "row": "", "value": ""}
    for field, wanted in PLOT_FIELDS.items():
        if field in given:
            plot[field] = _check(path, f"{place}.{field}", given[field], wanted)
    if plot.get("kind") not in KINDS:
        raise Problem(f"{path}: {place}.kind is {plot.get('kind')!r}, expected {', '.join(KINDS)}")
    heatmap = plot["kind"] == "heatmap"
    needed = ["x", "row", "value"] if heatmap else ["x", "y"]
    for field in (*needed, "row", "series"):
        column = plot[field]
        if column not in columns and (column or field in needed):
            raise Problem(f"{path}: {place}.{field} is {column!r}, which is no column of {path.stem}.csv")
    y, value, series, panel = ("row", "value", None, "series") if heatmap else ("y", "y", "series", "row")
    return Plot(plot["kind"], plot["title"], plot["x"], plot[y], plot[value], plot.get(series, ""), plot[panel], plot["log_x"])
