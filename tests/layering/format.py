"""Every C++ and CUDA source is as clang-format leaves it. format.py [--fix] REPOSITORY

Other versions than Debian 12's format differently: with one of those the check is skipped (exit 77).
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "14."
SUFFIXES = {".hpp", ".cpp", ".cuh", ".cu"}
FOLDERS = ["include", "src", "examples", "tests", "benchmarks", "docs"]


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--fix"]
    repository = Path(arguments[0] if arguments else ".")
    program = shutil.which("clang-format")
    known = program and re.search(r"version (\S+)", subprocess.run([program, "--version"], capture_output=True, text=True).stdout)
    if not known or not known[1].startswith(VERSION):
        print(f"skipped: clang-format {VERSION}x is needed, found {known[1] if known else 'none'}")
        return 77
    files = sorted(str(path) for folder in FOLDERS for path in (repository / folder).rglob("*") if path.suffix in SUFFIXES)
    if "--fix" in sys.argv:
        print(f"formatting {len(files)} files")
        return subprocess.run([program, "-i", *files]).returncode
    done = subprocess.run([program, "--dry-run", "--Werror", "--ferror-limit=1", *files], capture_output=True, text=True)
    accused = {line.split(": error: ")[0].rsplit(":", 2)[0] for line in done.stderr.splitlines() if ": error: " in line}
    # clang-format 14 replaces the comment at the end of `namespace a::inline b` by itself and reports that
    wrong = sorted(file for file in accused if formatted(program, file) != Path(file).read_bytes())
    if wrong or bool(done.returncode) != bool(accused):
        print("\n".join(wrong) or done.stderr)
        print("run tests/layering/format.py --fix .")
        return 1
    print(f"{len(files)} files are formatted")
    return 0


def formatted(program, file):
    """The file's bytes as clang-format leaves them."""
    return subprocess.run([program, file], capture_output=True, check=True).stdout


sys.exit(main())
