"""Runs a module or a script, or skips it aloud (exit 77) when a package is missing. run.py PACKAGE,… MODULE|SCRIPT ARGUMENTS"""
import importlib.util
import runpy
import sys

packages, what, *arguments = sys.argv[1:]
missing = [name for name in packages.split(",") if importlib.util.find_spec(name) is None]
if missing:
    print(f"skipped: this Python has no {', '.join(missing)}; scripts/setup installs it")
    sys.exit(77)
sys.argv = [what, *arguments]
if what.endswith(".py"):
    runpy.run_path(what, run_name="__main__")
else:
    runpy.run_module(what, run_name="__main__", alter_sys=True)
