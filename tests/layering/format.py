"""Every C, C++ and CUDA source is as clang-format leaves it. format.py [--fix] REPOSITORY

Other versions than Debian 12's format differently: with one of those the check is skipped (exit 77).
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "14."
SUFFIXES = {".hpp", ".cpp", ".cuh", ".cu", ".h", ".c"}
FOLDERS = ["include", "src", "python", "examples", "tests", "benchmarks", "docs"]


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--fix"]
    repository = Path(arguments[0] if arguments else ".")
    program = shutil.which("clang-format")
    known = program and re.search(r"version (\S+)", subprocess.run([program, "--version"], capture_output=True, text=True).stdout)
    if not known or not known[1].startswith(VERSION):
        print(f"skipped: clang-format {VERSION}x is needed, found {known[1] if known else 'none'}")
        return 77
    files = sorted(str(path) for folder in FOLDERS for path in (repository / folder).rglob("*") if path.suffix in SUFFIXES)
    how = ["-i"] if "--fix" in sys.argv else ["--dry-run", "--Werror", "--ferror-limit=1"]
    done = subprocess.run([program, *how, *files], capture_output=True, text=True)
    print("\n".join(line for line in done.stderr.splitlines() if ": error: " in line) or f"{len(files)} files are formatted")
    if done.returncode:
        print("run tests/layering/format.py --fix .")
    return done.returncode


sys.exit(main())
