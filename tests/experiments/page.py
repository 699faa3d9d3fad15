"""The page of the experiments on made-up tables: plots, marks, means, hostile strings, damaged files. page.py PAGE.PY

Needs a Python with matplotlib: the one that runs this, or the system's. Without one it is skipped (exit 77).
"""
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "br"}


def python_with_matplotlib():
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            if subprocess.run([python, "-c", "import matplotlib"], capture_output=True).returncode == 0:
                return python
        except OSError:
            pass
    return None


def check(holds, *what):
    if not holds:
        raise AssertionError(" ".join(map(str, what)))


class Page(HTMLParser):
    """The elements of a page, with the text inside; checks that they are nested properly and that nothing is loaded."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        check(not self.open, "not closed:", self.open)
        ids = [attributes["id"] for _, attributes, _ in self.elements if "id" in attributes]
        check(len(ids) == len(set(ids)), "ids that occur twice:", sorted(i for i in set(ids) if ids.count(i) > 1))
        for tag, attributes, _ in self.elements:
            check("src" not in attributes and not any(name.startswith("on") for name in attributes), tag, attributes)
            for name in ("href", "aria-labelledby"):
                for target in attributes.get(name, "").split():
                    target = target[1:] if name == "href" and target.startswith("#") else target
                    check(target in ids or target == "data:,", tag, name, target, "refers to nothing")

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))
        if tag not in VOID:
            self.open.append((tag, self.elements[-1][2]))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        check(self.open and self.open[-1][0] == tag, tag, "closes", self.open[-1:])
        self.open.pop()

    def handle_data(self, data):
        for _, texts in self.open:
            texts.append(data)

    def texts(self, tag, **wanted):
        return ["".join(texts) for name, attributes, texts in self.elements if name == tag and wanted.items() <= attributes.items()]


def write(folder, name, columns, rows, **about):
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    about = {"table": name, "title": name.title(), "question": "Which is better?", "command": f"experiments {name}", "dataset": "Made up",
             "machine": "a machine", "date": "2026-11-26", "seconds": 4000, "rows": len(rows), "planned": len(rows), "keys": columns[:1],
             "measurements": columns[1:], "reading": "", "plots": []} | about
    (folder / f"{name}.json").write_text(json.dumps(about), encoding="utf-8")


def run(folder, code=0):
    done = subprocess.run([PYTHON, PROGRAM, str(folder), "--out", str(folder / "page.html")], capture_output=True, text=True, timeout=100)
    check(done.returncode == code and "Traceback" not in done.stderr, "exit code", done.returncode, "expected", code, "\n", done.stderr)
    return done.stderr


def page_of(folder, code=0):
    run(folder, code)
    return Page((folder / "page.html").read_text(encoding="utf-8"))


def every_kind_of_plot_is_an_image_with_a_title_and_a_description(folder):
    pairs = [("a", 0), ("a", 1), ("a", 10), ("b", 0), ("b", 1), ("b", 10)]
    rows = [[name, x, 0.1 + x / 100 + (name == "b") / 50, -0.5 + x / 10] for name, x in pairs]
    write(folder, "kinds", ["name", "x", "ndcg@10", "gain"], rows, keys=["name", "x"], measurements=["ndcg@10", "gain"], plots=[
        {"kind": "line", "title": "A line", "x": "x", "y": "ndcg@10", "series": "name", "log_x": True},
        {"kind": "line", "title": "Panels", "x": "x", "y": "ndcg@10", "row": "name"},
        {"kind": "line", "title": "Names", "x": "name", "y": "ndcg@10", "series": "x", "log_x": True},
        {"kind": "bar", "title": "Bars", "x": "name", "y": "ndcg@10", "series": "x", "log_x": False},
        {"kind": "scatter", "title": "Points", "x": "gain", "y": "ndcg@10", "series": "name", "log_x": True},
        {"kind": "heatmap", "title": "Map", "x": "x", "row": "name", "value": "gain"},
        {"kind": "heatmap", "title": "Maps", "x": "x", "row": "name", "value": "ndcg@10", "series": "name"}])
    page = page_of(folder)
    images = [attributes for tag, attributes, _ in page.elements if tag == "svg" and attributes.get("role") == "img"]
    check(len(images) == 9, len(images), "images")
    check(page.texts("title")[1:] == ["A line", "Panels, name a", "Panels, name b", "Names", "Bars", "Points", "Map", "Maps, name a", "Maps, name b"], page.texts("title"))
    check("highest 0.22 at b, x 10" in page.texts("desc")[0], page.texts("desc"))
    check(page.texts("ul", **{"class": "legend"}) == ["ab", "0110", "0110", "ab"], page.texts("ul"))
    content = (folder / "page.html").read_text()
    check("#0102" not in content, "a colour that stands for a variable is left")
    check("var(--s1)" in content and "prefers-color-scheme: dark" in content)
    check(page.texts("a", href="#kinds-command") == ["Command"] * 9)


def rows_keep_their_order_and_the_best_of_each_block_is_marked(folder):
    rows = [["Z", "b", 0.2, 3.5, 7, ""], ["Z", "a", 0.4, 2.5, 9, ""], ["A", "b", -1e-9, 1.5, 1000, ""], ["A", "c", "", 1.5, 8, ""], ["A", "d", "nan", "", 8, ""]]
    columns = ["hit@10", "error", "examples", "never measured"]
    write(folder, "best", ["dataset", "name", *columns], rows, keys=["dataset", "name"], measurements=columns)
    page = page_of(folder)
    check(page.texts("th", scope="row") == ["Z", "b", "Z", "a", "A", "b", "A", "c", "A", "d"], page.texts("th"))
    check(page.texts("td") == ["0.2000", "3.5000", "7", "0.4000 (best)", "2.5000 (best)", "9", "0.0000", "1.5000", "1\u202f000", "not measured", "1.5000", "8",
                               "nan", "not measured", "8"], page.texts("td"))
    check(len(page.texts("tbody")) == 2, "a body for each dataset")


def seeds_are_averaged_with_their_spread(folder):
    rows = [["a", 1, 0.10], ["b", 1, 0.30], ["a", 2, 0.20], ["a", 3, 0.30], ["b", 2, ""]]
    write(folder, "seeds", ["tasks", "seed", "ndcg@10"], rows, keys=["tasks", "seed"], measurements=["ndcg@10"], planned=6,
          plots=[{"kind": "bar", "title": "", "x": "tasks", "y": "ndcg@10", "series": "", "log_x": False}])
    page = page_of(folder)
    check(page.texts("td")[:4] == ["3", "0.2000 ± 0.1000", "2", "0.3000 (best)"], page.texts("td"))
    check(len(page.texts("td")) == 4 + 5, "all rows follow")
    check("Means over seed. Error bars: standard deviation." in page.texts("figcaption")[0], page.texts("figcaption"))
    check("This table is unfinished: 5 of 6 rows." in page.texts("p", **{"class": "warn"}), page.texts("p"))
    check("1 h 7 min" in page.texts("dd"), page.texts("dd"))


def content_of_files_is_text_and_nothing_else(folder):
    evil = "<script>alert(1)</script>\"'&$\\frac{ \x00\x1b]]> <!-- \U0001f600 " + "x" * 200
    rows = [[evil, "1", "2"], ["$x_1$ \ud800", "2", "3"], ["", "3", "-4"]]
    rows = [[field.encode("utf-8", "replace").decode() for field in row] for row in rows]
    columns = ["name", evil.replace("\x00", "") + "y", "z"]
    plots = [{"kind": kind, "title": evil, "x": columns[0] if kind != "scatter" else "z", "y": columns[1].replace("\x1b", "\ufffd"), "series": "name",
              "row": columns[0], "value": "z", "log_x": True} for kind in ("line", "bar", "scatter", "heatmap")]
    write(folder, "a \"b\" <i>", [column.replace("\x1b", "\ufffd") for column in columns], rows, title=evil + "\ud800", question=evil, command=evil, dataset=evil,
          machine=evil, date=evil, reading=evil, plots=plots)
    page = page_of(folder)
    check(len(page.texts("script")) == 1 and "alert" not in page.texts("script")[0], page.texts("script"))
    check(page.texts("i") == [] and page.texts("code")[0].startswith("<script>alert(1)</script>\"'&$\\frac{ \ufffd\ufffd]]> <!-- \U0001f600"))
    check("$x_1$ ?" in page.texts("th"), page.texts("th"))


def tables_without_rows_or_values_are_shown(folder):
    plots = [{"kind": "line", "title": "T", "x": "name", "y": "loss", "series": "", "log_x": False}]
    write(folder, "empty", ["name", "loss"], [], planned=3, plots=plots)
    write(folder, "unknown", ["name", "loss"], [["a", ""]], plots=plots)
    write(folder, "one", ["name", "loss"], [["0", "0"]], plots=[*plots, {"kind": "heatmap", "x": "name", "row": "name", "value": "loss"}])
    page = page_of(folder)
    check(len([1 for tag, attributes, _ in page.elements if attributes.get("role") == "img"]) == 2)
    check(page.texts("nav")[0].split() == "Empty unfinished: 0 of 3 rows One 1 rows Unknown 1 rows".split(), page.texts("nav"))


def a_damaged_file_is_one_line_and_the_other_tables_stay(folder):
    plot = {"kind": "line", "title": "", "x": "name", "y": "loss", "series": "", "log_x": False}

    cases = []

    def damage(suffix, where, with_, *expected):
        path = folder / f"bad{len(cases):02}{suffix}"
        write(folder, path.stem, ["name", "loss"], [["a", 1], ["b", 2]], plots=[plot])
        content = path.read_bytes()
        check(where in content, where)
        path.write_bytes(content.replace(where, with_, 1))
        cases.append([str(path), *expected])

    damage(".csv", b"a,1", b"a,1,2", "csv:2:", "3 fields", "expected 2")
    damage(".csv", b"a,1\r\n", b"\r\na\r\n", "csv:3:")
    damage(".csv", b"b,2", b"b,two", "csv:3:", "loss is 'two'", "expected a number")
    damage(".csv", b"b,2", b"a,2", "csv:3:", "line 2")
    damage(".csv", b"b,2", b'"b,2')
    damage(".csv", b"b,2", b'"b"c,2', "csv:3:")
    damage(".csv", b"b,2", b"\xff,2", "byte")
    damage(".csv", b"name,loss", b"name,name", "csv:1:", "'name'")
    damage(".csv", b"name,loss", b"name,", "csv:1:", "column 2")
    damage(".csv", b"name,loss\r\na,1\r\nb,2\r\n", b"", "csv:1:", "empty")
    damage(".json", b'"loss"', b'"Loss"', "measurements[0]", "'Loss'")
    damage(".json", b'"y": "loss"', b'"y": "lose"', "plots[0].y", "'lose'")
    damage(".json", b'"line"', b'"pie"', "plots[0].kind", "'pie'", "scatter")
    damage(".json", b'"seconds": 4000', b'"seconds": "4000"', "seconds", "a number")
    damage(".json", b'"planned": 2', b'"planned": -2', "planned", "a whole number")
    damage(".json", b'"reading": "", ', b"", "'reading'")
    damage(".json", b'"keys": ["name"]', b'"keys": [1]', "keys[0]", "a string")
    damage(".json", b'{"table"', b'{"table', "json:1:")
    damage(".json", b'{"table"', b"[" * 100000)
    for suffix in (".csv", ".json"):
        write(folder, f"bad{len(cases)}", ["name", "loss"], [])
        (folder / f"bad{len(cases)}{suffix}").unlink()
        cases.append([str(folder / f"bad{len(cases)}{suffix}"), "No such file or directory"])
    write(folder, "good", ["name", "loss"], [["a", 1]])
    (folder / "settings.json").write_text("{}")  # no table
    lines = run(folder, code=1).splitlines()
    check(len(lines) == len(cases), "expected a line each, found:", lines)
    page = Page((folder / "page.html").read_text())
    for line, case in zip(lines, cases):
        check(line.startswith("page.py: ") and line[len("page.py: "):] in page.texts("p"), line)
        for words in case:
            check(words in line, words, "expected in", line)
    check(page.texts("h2") == [f"bad{i:02}" for i in range(len(cases))] + ["Good"], page.texts("h2"))


def without_tables_there_is_no_page(folder):
    check(run(folder / "none", code=1) == f"page.py: {folder / 'none'}: no such folder\n")
    check("no tables" in run(folder, code=1) and not (folder / "page.html").exists())
    write(folder, "good", ["name", "loss"], [["a", 1]])
    done = subprocess.run([PYTHON, PROGRAM, str(folder), "--out", str(folder / "none" / "page.html")], capture_output=True, text=True)
    check(done.returncode == 1 and re.fullmatch(r"page.py: \S+: No such file or directory\n", done.stderr), done.stderr)


def the_same_tables_give_the_same_page(folder):
    write(folder, "a", ["name", "loss"], [["a", 1], ["b", 2]], plots=[{"kind": "bar", "x": "name", "y": "loss"}])
    run(folder)
    first = (folder / "page.html").read_bytes()
    run(folder)
    check(first == (folder / "page.html").read_bytes())


FAKE_PROGRAM = """#!/usr/bin/env python3
import json, os, pathlib, signal, sys, time
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
(out / "arguments").write_text(" ".join(sys.argv[1:]))
if "finished" in sys.argv:
    (out / "finished.csv").write_text("name,loss\\na,1\\n")
    (out / "finished.json").write_text(os.environ["ABOUT"])
time.sleep(0.5)  # until the parent waits
os.kill(os.getppid(), signal.SIGINT)  # as Ctrl-C does
sys.exit(5)
"""


def a_call_that_fails_or_is_interrupted_shows_what_it_has_finished(folder):
    scripts = folder / "examples" / "experiments"  # whose results go to build/
    shutil.copytree(Path(PROGRAM).parent, scripts, ignore=shutil.ignore_patterns("*.?pp"))
    write(folder, "finished", ["name", "loss"], [["a", 1]])
    (folder / "program").write_text(FAKE_PROGRAM)
    (folder / "program").chmod(0o755)
    environment = {**os.environ, "PROGRAM": str(folder / "program"), "ABOUT": (folder / "finished.json").read_text()}
    for arguments, name in ((["--users=500", "finished"], "built-in-500"), (["--users", "7", "--dataset=/data/Shop", "nothing"], "Shop-7"), (["nothing"], "built-in-all")):
        done = subprocess.run([PYTHON, scripts / "run", *arguments], capture_output=True, text=True, timeout=100, env=environment)
        out = folder / "build" / "experiments" / name
        check(done.returncode == 5 and not done.stderr, arguments, done.returncode, done.stderr)
        check("finished" not in arguments or Page((out / "page.html").read_text()).texts("h2") == ["Finished"])
        check((out / "page.html").exists() == ("finished" in arguments), arguments)
        check(("--users" in (out / "arguments").read_text().split()) == (name != "built-in-all"), (out / "arguments").read_text())


PROGRAM, PYTHON = sys.argv[1], python_with_matplotlib()
if PYTHON is None:
    print("skipped: no Python with matplotlib (Debian: python3-matplotlib)")
    sys.exit(77)
for test in (every_kind_of_plot_is_an_image_with_a_title_and_a_description, rows_keep_their_order_and_the_best_of_each_block_is_marked,
             seeds_are_averaged_with_their_spread, content_of_files_is_text_and_nothing_else, tables_without_rows_or_values_are_shown,
             a_damaged_file_is_one_line_and_the_other_tables_stay, without_tables_there_is_no_page, a_call_that_fails_or_is_interrupted_shows_what_it_has_finished,
             the_same_tables_give_the_same_page):
    with tempfile.TemporaryDirectory(prefix="mql4grec-") as directory:
        test(Path(directory))
    print(f"passed {test.__name__}", flush=True)
