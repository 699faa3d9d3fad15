"""What the tests of the built program share: a small dataset, running the program, and what it promises of every error."""
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "mql4grec"
PREFIXES = {"lemb": "abcd", "vitemb": "ABCD"}


def write_dataset(directory, users=60, items=40, seed=1):
    """A dataset directory in which the next item follows from the last one."""
    directory = Path(directory)
    directory.mkdir(parents=True)
    chance = random.Random(seed)
    histories = {}
    for user in range(users):
        item = chance.randrange(items)
        history = []
        for _ in range(chance.randint(4, 7)):
            history.append(item)
            item = (item * 3 + 1 + chance.randrange(2)) % items
        histories[str(user)] = history
    histories[str(users)] = list(range(items))[-3:]  # so that every item number exists
    (directory / f"{directory.name}.inter.json").write_text(json.dumps(histories))
    for ending, letters in PREFIXES.items():
        index = {str(i): [f"<{letter}_{code}>" for letter, code in zip(letters, (i // 8, i % 8, i % 3, i % 5))] for i in range(items)}
        (directory / f"{directory.name}.index_{ending}.json").write_text(json.dumps(index))
    titles = {str(i): {"title": f"Thing <{i}> & more", "description": "", "brand": "", "categories": ""} for i in range(items)}
    (directory / f"{directory.name}.item.json").write_text(json.dumps(titles))
    return directory


def run(*arguments, **options):
    """The finished process, its output as text."""
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)


def finetune(data, out, *more, **options):
    """The same small training every time."""
    return run("finetune", "--dataset", data, "--out", out, "--batch-size", 64, "--threads", 1, *more, **options)


def check(holds, *what):
    if not holds:
        raise AssertionError(" ".join(str(part) for part in what))


def check_one_line(done, code, *names):
    """The program's promise about errors: one line on standard error, nothing on standard output, and what is to blame in it."""
    check(done.returncode == code, "exit code", done.returncode, "expected", code, "\n", done.stderr)
    check(done.stderr.count("\n") == 1 and done.stderr.startswith("mql4grec: "), "expected one line, found:\n", done.stderr)
    check(done.stdout == "", "unexpected standard output:\n", done.stdout)
    for name in names:
        check(str(name) in done.stderr, f"expected '{name}' in:", done.stderr)


def files_of(directory):
    """{relative path: content} of everything below a directory."""
    directory = Path(directory)
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def main(tests):
    """Runs the tests one by one, each in a directory of its own; a test that can't run here returns its reason."""
    for test in tests:
        with tempfile.TemporaryDirectory(prefix="mql4grec-") as folder:
            here = os.getcwd()
            os.chdir(folder)
            try:
                reason = test(Path(folder))
            except AssertionError as error:
                sys.exit(f"FAILED {test.__name__}: {error}")
            finally:
                os.chdir(here)
            print(f"{'skipped, ' + reason if reason else 'passed'}: {test.__name__}", flush=True)
