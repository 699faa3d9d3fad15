"""Documents quote code, they don't retype it. check_docs.py [--fix] REPOSITORY

A ```cpp, ```c or ```python block in README.md or docs/*.md follows a line

    <!-- from path/to/file.cpp:tag -->

and equals what that file holds between `// example-begin tag` and `// example-end tag` (in Python: `# example-begin tag`). --fix quotes again.

Every name that mql4grec.hpp re-exports occurs in the code of docs/cookbook.md, outside comments.
"""
import re
import sys
import textwrap
from pathlib import Path

BLOCK = re.compile(r"(?:^<!-- from (?P<path>\S+):(?P<tag>\S+) -->\n\n?)?^```(?P<language>cpp|c|python)\n(?P<code>.*?)^```$", re.M | re.S)


def quoted(file, tag):
    """The example's text, or a ValueError with what is missing."""
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    lines = file.read_text().splitlines()
    marks = [[i for i, line in enumerate(lines) if line.strip() in (f"// example-{end} {tag}", f"# example-{end} {tag}")] for end in ("begin", "end")]
    if [len(mark) for mark in marks] != [1, 1] or marks[0] > marks[1]:
        raise ValueError(f"{file} needs one `// example-begin {tag}` and after it one `// example-end {tag}`")
    return textwrap.dedent("\n".join(lines[marks[0][0] + 1:marks[1][0]])) + "\n"


def check(repository, fix):
    for document in [repository / "README.md", *sorted((repository / "docs").glob("**/*.md"))]:
        if not document.is_file():
            continue
        text, fresh = document.read_text(), ""
        done = 0
        for block in BLOCK.finditer(text):
            where = f"{document.relative_to(repository)}:{text.count(chr(10), 0, block.start('code'))}"
            if block["path"] is None and block["language"] == "python":
                continue  # of a document about files
            if block["path"] is None:
                yield f"{where}: no `<!-- from path/to/file.cpp:tag -->` above this block"
                continue
            try:
                code = quoted(repository / block["path"], block["tag"])
            except ValueError as error:
                yield f"{where}: {error}"
                continue
            if code != block["code"]:
                fresh += text[done:block.start("code")] + code
                done = block.end("code")
                if not fix:
                    yield f"{where}: differs from {block['path']}:{block['tag']}; run tests/layering/check_docs.py --fix ."
        if fix and done:
            document.write_text(fresh + text[done:])
            print(f"quoted again: {document.relative_to(repository)}")


def without_example(repository):
    """The names that mql4grec.hpp re-exports and the cookbook doesn't use."""
    names = re.findall(r"^using \w+::(\w+);$", (repository / "include/mql4grec/mql4grec.hpp").read_text(), re.M)
    cookbook = (repository / "docs/cookbook.md").read_text()
    used = {word for block in BLOCK.finditer(cookbook) for word in re.findall(r"\w+", re.sub(r"//.*", "", block["code"]))}
    for name in sorted(set(names) - used):
        yield f"docs/cookbook.md: no example of {name}, which mql4grec.hpp re-exports"


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--fix"]
    root = Path(arguments[0] if arguments else ".")
    problems = [*check(root, "--fix" in sys.argv), *without_example(root)]
    print("\n".join(problems) or "every code block is a quotation, and the cookbook is complete")
    sys.exit(bool(problems))
