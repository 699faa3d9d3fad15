"""Every header compiles alone, with our warnings as errors.

    headers_alone.py [--together] COMPILER INCLUDE_DIR FLAGS_FILE WORK_DIR [EXCLUDED…]

A header compiles alone when it needs nothing but what it includes itself, directly or through others. One source may prove that
of several: it includes one header after the other, each twice, and whatever an earlier header brings the next one includes anyway.
So the next header finds nothing that it wouldn't find alone. 240 headers are about 90 such chains, no two of which can be joined;
the sources compile side by side, through ccache where there is one. EXCLUDED: patterns of paths.

--together: one source for each processor instead, which includes its share of the headers one after the other. That is enough for a
second compiler with the same standard library: what a header lacks, the first compiler has shown.
"""
import concurrent.futures
import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

DIRECTIVE = re.compile(r'^[ \t]*#[ \t]*(include|if|endif)[a-z]*[ \t]*(?:[<"]([^>"]+)[>"])?', re.M)


def includes(text):
    """(name, whether it is conditional) of each include."""
    depth = 0
    for directive, name in DIRECTIVE.findall(text):
        depth += {"if": 1, "endif": -1}.get(directive, 0)
        if directive == "include" and name:
            yield name, depth > 0


def brought(include):
    """What a translation unit has seen after a header: names of ours, and of the others that ours name. {header: frozenset}
    What a header includes under a condition counts only for those that include that very header."""
    named = {path.relative_to(include).as_posix(): list(includes(path.read_text())) for path in include.rglob("*.hpp")}
    known = {}

    def visit(header):
        if header not in known:
            known[header] = {header}  # a circle ends here
            for name, conditional in named[header]:
                beside = Path(os.path.normpath(Path(header).parent / name)).as_posix()
                ours = next((n for n in (name, beside) if n in named), None)
                more = visit(ours) if ours else {name}
                known[header] |= {f"{header}: {n}" for n in more} if conditional else more
        return known[header]

    return {header: frozenset(visit(header)) for header in named}


def chains(sets):
    """The fewest lists that hold every key once, such that each key's set contains the set of the one before."""
    headers = sorted(sets)
    below = {h: [g for g in headers if (sets[g], g) < (sets[h], h)] for h in headers}
    above = {}  # matched: header -> the next one of its chain

    def find_place(header, tried):
        for lower in below[header]:
            if lower not in tried:
                tried.add(lower)
                if lower not in above or find_place(above[lower], tried):
                    above[lower] = header
                    return True
        return False

    for header in headers:
        find_place(header, set())
    for first in sorted(set(headers) - set(above.values())):
        chain = [first]
        while chain[-1] in above:
            chain.append(above[chain[-1]])
        yield chain


def compiles(compiler, flags, work, chain):
    source = work / (chain[-1].replace("/", ".") + ".cpp")
    text = "".join(f'#include "{header}"\n' * 2 for header in chain)
    if not source.is_file() or source.read_text() != text:
        source.write_text(text)
    launcher = [ccache] if (ccache := shutil.which("ccache")) else []
    if subprocess.run([*launcher, compiler, f"@{flags}", "-fsyntax-only", source]).returncode == 0:
        return True
    print("don't compile, one after the other:", *chain, flush=True)
    return False


def self_test():
    """A header that needs more than it includes isn't placed in a chain after what it lacks."""
    sets = {"a": {"a"}, "b": {"b", "<vector>"}, "c": {"c", "a"}, "d": {"d", "c", "a", "b", "<vector>"}, "e": {"e", "<map>"}}
    found = list(chains({name: frozenset(s) for name, s in sets.items()}))
    assert sorted(name for chain in found for name in chain) == sorted(sets), found
    assert all(sets[x] <= sets[y] for chain in found for x, y in zip(chain, chain[1:])), found
    assert len(found) == 3, found


def shares(headers, count):
    headers = sorted(headers)
    return [headers[i * len(headers) // count:(i + 1) * len(headers) // count] for i in range(count)]


def main(*arguments):
    together = arguments[0] == "--together"
    compiler, include, flags, work, *excluded = arguments[together:]
    self_test()
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    sets = {h: s for h, s in brought(Path(include)).items() if not any(fnmatch.fnmatch(h, pattern) for pattern in excluded)}
    sources = shares(sets, os.cpu_count()) if together else chains(sets)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        passed = list(pool.map(lambda chain: compiles(compiler, flags, work, chain), sources))
    print(f"{len(sets)} headers in {len(passed)} sources, {passed.count(False)} of them don't compile")
    sys.exit(passed.count(False) > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
