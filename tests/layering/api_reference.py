#!/usr/bin/env python3
"""api_reference.py SOURCE DIR BINARY DIR: every public name has a docstring, and every docstring is readable by doxygen.

Runs doxygen as the target `docs` does and prints its warnings. Exits with 77 when doxygen isn't installed.
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path


def concepts_without_docstring(source: Path) -> list[str]:
    """Concepts for which the line before `template` is no docstring; doxygen 1.9.4 doesn't report them."""
    sys.path.insert(0, str(source / "docs"))
    sys.dont_write_bytecode = True
    import group_filter
    found = []
    for path in sorted((source / "include").rglob("*.[hc]*")):
        lines = group_filter.header(str(path), path.read_text(encoding="utf8")).split("\n")
        for i, line in enumerate(lines):
            if (name := re.match(r"concept (\w+) =", line)) and not lines[i - 2].startswith("///"):
                found.append(f"{path.relative_to(source)}:{i + 1}: Concept {name[1]} is not documented.")
    return found


def main() -> int:
    source, out = (Path(argument).resolve() for argument in sys.argv[1:3])
    doxygen = shutil.which("doxygen")
    if doxygen is None:
        print("doxygen is not installed: the API reference isn't checked")
        return 77
    out.mkdir(parents=True, exist_ok=True)
    settings = (source / "docs/Doxyfile.in").read_text(encoding="utf8")
    for name, value in {"PROJECT_VERSION": "", "PROJECT_SOURCE_DIR": source, "MQL4GREC_REFERENCE_DIR": out,
                        "Python3_EXECUTABLE": sys.executable}.items():
        settings = settings.replace(f"@{name}@", str(value))
    # The docstrings are parsed when pages are written: XML is the fastest to write.
    settings += "\nGENERATE_HTML = NO\nGENERATE_XML = YES\nXML_PROGRAMLISTING = NO\nSEARCHENGINE = NO\n"
    (out / "Doxyfile").write_text(settings, encoding="utf8")
    subprocess.run([doxygen, str(out / "Doxyfile")], check=True)

    warnings = (out / "warnings.txt").read_text(encoding="utf8").splitlines()
    left = sorted({line.replace(f"{source}/", "") for line in warnings} | set(concepts_without_docstring(source)))
    if left:
        print("\n".join(left))
        print(f"\n{len(left)} names without a docstring, or docstrings that doxygen can't read. A docstring is a comment "
              "that begins with ///; CONTRIBUTING.md describes what it contains.")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
