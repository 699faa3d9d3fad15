#!/usr/bin/env python3
"""Gathers the tables that experiments left in a folder on one page: page.py FOLDER --out PAGE.html

The page is a single file that needs no network. A table that cannot be read is named on the page and on standard error, one line each,
and the exit code is 1; the other tables are still shown.
"""
import argparse
import base64
import hashlib
import os
import re
import statistics
import sys
from html import escape
from itertools import groupby
from pathlib import Path

from tables import BLOCK_KEYS, Problem, groups_of, names_in, number, printable, read_table

STYLE = """
:root { color-scheme: light dark; --ground: #fbfbf9; --card: #fff; --ink: #1d2126; --soft: #59616b; --rule: #e0e1dd; --warn: #9a3b12;
  --s0: #2f6fdb; --s1: #c8691a; --s2: #178a5c; --s3: #8b50c4; --s4: #c2337a; --s5: #6b7280; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181c; --card: #1c2026; --ink: #e8eaed; --soft: #a3abb6; --rule: #343b44; --warn: #f5a36c;
  --s0: #6ea5ff; --s1: #f0a05a; --s2: #4cc38c; --s3: #bd93f0; --s4: #f07fb4; --s5: #9aa3af; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { margin: 0 0 .5rem; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 0 0 .5rem; font-size: 1.3rem; line-height: 1.3; }
h3 { margin: 1.2rem 0 .3rem; font-size: 1rem; }
h1, h2, h3, p, li, dd, figcaption { overflow-wrap: anywhere; }
p { margin: 0 0 .7rem; max-width: 48rem; }
a { color: var(--s0); }
:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; }
section { margin-top: 1.5rem; padding: 1.25rem; background: var(--card); border: 1px solid var(--rule); border-radius: .6rem; }
section > .question { color: var(--soft); }
.warn { color: var(--warn); font-weight: 600; }
nav ul { margin: 0; padding-left: 1.2rem; } nav small { color: var(--soft); } nav .warn { font-weight: 400; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.5rem; margin: 1rem 0; }
figure { min-width: 0; max-width: 32rem; margin: 0; }
figure h3 { margin: 0 0 .3rem; }
figure > svg { display: block; width: 100%; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; } svg text { font-family: system-ui, sans-serif !important; }
figcaption, caption, .foot { color: var(--soft); font-size: .875rem; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: 0 0 .3rem; padding: 0; list-style: none; font-size: .875rem; }
.legend li { display: flex; align-items: center; gap: .35rem; } .legend svg { flex: none; width: 2.2rem; height: 1.1rem; }
.wide { overflow-x: auto; position: relative; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { padding-bottom: .4rem; text-align: left; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
th { font-weight: 500; } th[scope=row], td.words, thead th.words { text-align: left; }
th.long, td.words { white-space: normal; min-width: 10rem; max-width: 22rem; }
thead th { color: var(--soft); } tbody + tbody tr:first-child > * { border-top: 2px solid var(--soft); }
td small { color: var(--soft); }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--soft); font-size: .92rem; }
.command { position: relative; }
pre { margin: 0; padding: .7rem; background: var(--ground); border: 1px solid var(--rule); border-radius: .4rem; font-size: .85rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
button { margin-top: .4rem; padding: .25rem .7rem; border: 1px solid var(--rule); border-radius: .4rem; background: var(--card); color: var(--ink); font: inherit; font-size: .85rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .8rem 0 0; font-size: .92rem; }
dt { color: var(--soft); } dd { margin: 0; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: -100rem; } .skip:focus { position: static; }
@media (max-width: 30rem) { main { padding: 1rem .6rem; } section { padding: .9rem .7rem; } }
@media print { section { break-inside: avoid; } button { display: none; } }
"""
SCRIPT = """
for (const block of document.querySelectorAll(".command")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy the command of " + block.dataset.table);
  const answer = document.createElement("span");
  answer.className = "hidden";
  answer.setAttribute("role", "status");
  const code = block.querySelector("code");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = answer.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = answer.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; answer.textContent = ""; }, 2000);
  });
  block.append(button, answer);
}
"""
BETTER_HIGH, BETTER_LOW = re.compile(r"ndcg|hit|hr@|recall|mrr|per_second"), re.compile(r"error|collision|perplexity")


def element(name, content, **attributes):
    """An HTML element around content that is HTML already."""
    words = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items() if value is not None)
    return f"<{name}{words}>{content}</{name}>"


def duration(seconds):
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Measurement:
    """How the values of a column are written, and which is the best."""

    def __init__(self, name, values):
        known = [value for value in map(number, values) if value is not None]
        whole = all(value == int(value) for value in known) and not any("." in value for value in values)
        largest = max(map(abs, known), default=0)
        self.decimals = 0 if whole else 4 if largest < 10 else max(0, 4 - len(str(int(largest))))
        self.better = max if BETTER_HIGH.search(name) else min if BETTER_LOW.search(name) else None

    def written(self, value, finer=0):
        decimals = self.decimals + finer
        return f"{round(value, decimals) + 0:,.{decimals}f}".replace(",", "\u202f").replace("-", "\u2212")  # + 0: no negative zero


def values_of(rows, column):
    return [value for value in (number(row[column]) for row in rows) if value is not None]


def mean_of(rows, column):
    values = values_of(rows, column)
    return statistics.fmean(values) if values else None


def table_of(table, over_seeds):
    """The table as HTML: all rows, or a row for the means over seeds."""
    keys = [key for key in table.keys if not (over_seeds and key == "seed")]
    others = [column for column in table.columns if column not in table.keys and (column in table.measurements or not over_seeds) and
              any(row[column] for row in table.rows)]
    scales = {name: Measurement(name, [row[name] for row in table.rows]) for name in table.measurements}
    lines = list(groups_of(table.rows, keys).values())  # each a list of rows: one, or one for each seed
    block_of = lambda rows: tuple(rows[0][key] for key in keys if key in BLOCK_KEYS)
    best = {}
    for block in {block_of(rows) for rows in lines}:
        for name, scale in scales.items():
            values = {mean_of(rows, name) for rows in lines if block_of(rows) == block} - {None}
            if scale.better and len(values) > 1:
                best[block, name] = scale.better(values)

    def cell(rows, column):
        if column not in scales:
            return element("td", escape(rows[0][column]), class_="words")
        scale, value = scales[column], mean_of(rows, column)
        if value is None:
            return element("td", escape(rows[0][column]) or '<span class="hidden">not measured</span>')
        values = values_of(rows, column)
        spread = statistics.stdev(values) if len(values) > 1 else 0
        finer = spread > 0 and not scale.decimals  # the mean of whole numbers
        text = scale.written(value, finer)
        if value == best.get((block_of(rows), column)):
            text = element("strong", text) + '<span class="hidden"> (best)</span>'
        if spread:
            text += element("small", f" ± {scale.written(spread, finer)}")
        return element("td", text)

    bodies, runs = "", [list(run) for _, run in groupby(lines, block_of)]
    for block in runs if len(runs) == len({*map(block_of, lines)}) else [lines]:
        bodies += "<tbody>\n"
        for rows in block:
            names = "".join(element("th", escape(rows[0][key]), scope="row", class_="long" if len(rows[0][key]) > 24 else None) for key in keys)
            seeds = element("td", len(rows)) if over_seeds else ""
            bodies += element("tr", names + seeds + "".join(cell(rows, column) for column in others)) + "\n"
        bodies += "</tbody>\n"
    head = [element("th", escape(column), scope="col", class_=None if column in scales else "words") for column in keys + others]
    if over_seeds:
        head.insert(len(keys), element("th", "seeds", scope="col"))
    return element("thead", element("tr", "".join(head))) + bodies


def tables_of(table, anchor):
    """The means over seeds if there are several, and all rows."""
    if not table.rows:
        return ""
    several = "seed" in table.keys and any(len(rows) > 1 for rows in groups_of(table.rows, [key for key in table.keys if key != "seed"]).values())
    blocks = "best of its block" if any(key in BLOCK_KEYS for key in table.keys) else "best of its column"

    def framed(over_seeds, caption, name):
        content = element("table", element("caption", caption, id=name) + table_of(table, over_seeds))
        return element("div", content, class_="wide", tabindex=0, role="region", aria_labelledby=name)

    if not several:
        return framed(False, f"Bold: {blocks}.", f"{anchor}-rows")
    return (framed(True, f"Means over seeds ± standard deviation. Bold: {blocks}.", f"{anchor}-means") +
            element("details", element("summary", f"All {len(table.rows)} rows") + framed(False, "One row per seed.", f"{anchor}-rows")))


def figures_of(table, anchor, draw):
    out = ""
    for i, plot in enumerate(table.plots):
        for picture in draw(table, plot, f"{anchor}-plot{i}"):
            legend = "".join(element("li", mark + element("span", escape(name) or "(none)")) for name, mark in picture.legend)
            notes = escape(" ".join(picture.notes)) + f' <a href="#{anchor}-command">Command</a>'
            out += element("figure", (element("h3", escape(picture.title)) if picture.title else "") +
                           (element("ul", legend, class_="legend", aria_label=plot.series) if legend else "") + picture.svg + element("figcaption", notes))
    return element("div", out, class_="plots") if out else ""


def state_of(table):
    done, planned = len(table.rows), table.about["planned"]
    return f"unfinished: {done} of {planned} rows" if table.unfinished else f"{done} rows"


def section_of(table, anchor, draw):
    about = table.about
    facts = {"Dataset": about["dataset"], "Machine": about["machine"], "Date": about["date"], "Time taken": duration(about["seconds"]),
             "Rows": f"{len(table.rows)} of {about['planned']} planned"}
    command = element("pre", element("code", escape(about["command"])), tabindex=0, role="region", aria_label=f"Command of {about['title']}")
    return element("section", "\n".join([
        element("h2", escape(about["title"]) or escape(table.name), id=f"{anchor}-title"),
        element("p", escape(about["question"]), class_="question") if about["question"] else "",
        element("p", f"This table is {state_of(table)}.", class_="warn") if table.unfinished else "",
        element("p", escape(about["reading"])) if about["reading"] else "",
        figures_of(table, anchor, draw), tables_of(table, anchor),
        element("h3", "Command", id=f"{anchor}-command"), element("div", command, class_="command", data_table=about["title"]),
        element("dl", "".join(element("dt", name) + element("dd", escape(value) or "not stated") for name, value in facts.items())),
    ]), id=anchor, aria_labelledby=f"{anchor}-title") + "\n"


def page_of(folder, draw):
    """The page as HTML, and the problems of the tables that could not be shown."""
    contents, sections, problems, anchors = "", "", [], set()
    for name in names_in(folder):
        anchor = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "table"
        while anchor in anchors:
            anchor += "-2"
        anchors.add(anchor)
        try:
            table = read_table(folder, name)
            title, state = escape(table.about["title"]) or escape(table.name), state_of(table)
            sections += section_of(table, anchor, draw)
            state = element("small", state, class_="warn" if table.unfinished else None)
        except Problem as problem:
            problems.append(str(problem))
            title, state = escape(printable(name)), element("small", "cannot be read", class_="warn")
            sections += element("section", element("h2", title, id=f"{anchor}-title") + element("p", escape(str(problem)), class_="warn"),
                                id=anchor, aria_labelledby=f"{anchor}-title") + "\n"
        contents += element("li", f'<a href="#{anchor}">{title}</a> {state}') + "\n"
    # Only this script runs, and nothing is loaded.
    script = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'; img-src data:; base-uri 'none'; form-action 'none'"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mql4grec: experiments</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#tables">Skip to the tables</a>
<main>
<h1>mql4grec: experiments</h1>
<p class="foot">Every table was computed by the command below it; every plot shows rows of its table. Intervals cover the choice of users, not the seed of a training.</p>
<nav aria-label="Tables">
<ul>
{contents}</ul>
</nav>
<div id="tables">
{sections}</div>
</main>
<script>{SCRIPT}</script>
</body>
</html>
""", problems


def main():
    parser = argparse.ArgumentParser(description="Gathers the tables that experiments left in a folder on one page.")
    parser.add_argument("folder", type=Path, help="holds TABLE.csv and TABLE.json of each table")
    parser.add_argument("--out", type=Path, required=True, help="the HTML file to write")
    options = parser.parse_args()
    try:
        from plots import draw
    except ModuleNotFoundError as error:
        return f"no module {error.name} for {sys.executable}; Debian's package is python3-matplotlib, for /usr/bin/python3"
    try:
        page, problems = page_of(options.folder, draw)
        new = options.out.with_name(options.out.name + ".new")
        new.write_text(page, encoding="utf-8")
        os.replace(new, options.out)
    except Problem as problem:
        return str(problem)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return "\n".join(problems)


if __name__ == "__main__":
    message = main()
    for line in message.splitlines():
        print(f"page.py: {line}", file=sys.stderr)
    sys.exit(bool(message))
