#!/usr/bin/env python3
"""group_filter.py FILE: doxygen's input filter. Prints a header or a guide as doxygen needs it; lines keep their numbers.

A header: every name becomes a member of its folder's group (docs/groups.dox); the comment that opens the file becomes
the file's documentation; an inline namespace is left out, as callers leave it out; namespaces `detail`, defaulted or deleted members without a docstring, and definitions of members outside
their class become empty; fields declared together share their docstring.
A guide: headings get identifiers that links with `#` find; links to files outside the reference become plain text.
"""
import re
import sys
from pathlib import PurePosixPath

# Documents that are pages of the reference (INPUT in Doxyfile.in), beside docs/*.md.
PAGES = {"README", "CONTRIBUTING", "CHANGELOG"}

# `double beta1 = 0.9, beta2 = 0.999;  ///< …`: two or more fields in one declaration.
FIELDS = re.compile(
    r"^(?P<indent>\s+)(?P<type>(?!return|using|static|friend)[\w:]+(?:<[^;()]*>)?(?: const)?\*?) "
    r"(?P<names>\w+(?: = [^,;(){}]+| = \{\})?(?:, \w+(?: = [^,;(){}]+| = \{\})?)+);(?P<comment>\s*///<.*)?$")


# `recommender<B, T, Fusion>::recommend(`: a member defined outside its class, which documents it.
OUTSIDE_ITS_CLASS = re.compile(r"^(?:[\w:<>,&* ]+ )?\w+<\w+(?:, \w+)*>::[\w:~]+\(")


def group_of(path: str) -> str:
    """The group of a header: its stage; for backends and quantizers the folder inside it."""
    inside = path.replace("\\", "/").rpartition("include/mql4grec/")[2].split("/")
    if len(inside) == 1 or inside[0] == "recommender":
        return "pipeline" if inside[0] == "pipeline.hpp" else "facade"
    if inside[0] in ("backend", "quantize") and len(inside) > 2:
        return f"{inside[0]}_{inside[1]}"
    return inside[0]


def escaped(comment: str, block: list[str]) -> str:
    """A line of a docstring in which <, @, # and \\ are text; code between backticks and code blocks stay as they are.

    block: the lines before it. A paragraph that is indented by two or more spaces is a code block.
    """
    if comment.startswith("  ") and (not block or not block[-1] or block[-1].startswith("    ")):
        return "    " + comment
    pieces = comment.split("`")
    pieces[::2] = [re.sub(r"([<>@#\\])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def header(path: str, text: str) -> str:
    lines = text.split("\n")
    opens = f" /** \\addtogroup {group_of(path)} */ /** @{{ */"

    first = 0
    if lines[0] == "#pragma once":  # its line holds the command
        lines[0], first = "/// \\file", 1
        block: list[str] = []
        while lines[first].startswith("//"):
            block.append(escaped(lines[first].lstrip("/").removeprefix(" "), block))
            lines[first] = f"/// {block[-1]}"
            first += 1

    in_detail, in_definition = False, False
    docstring: list[str] = []
    for i in range(first, len(lines)):
        line = lines[i]
        documented, docstring = docstring, []
        if in_detail:
            in_detail = not re.match(r"\}\s*// namespace (\w+::)*detail", line)
            lines[i] = ""
        elif re.match(r"namespace (\w+::)*detail(::\w+)* \{", line):
            in_detail = not line.endswith("}")
            lines[i] = ""
        elif re.match(r"(inline namespace|\}  // namespace) (core|contract)( \{)?$", line):
            lines[i] = ""
        elif re.match(r"namespace mql4grec[\w:]* \{$", line):
            lines[i] += opens
        elif re.match(r"\}\s*// namespace mql4grec", line):
            lines[i] = "/** @} */" + line
        elif in_definition or OUTSIDE_ITS_CLASS.match(line):
            if not in_definition and lines[i - 1].startswith("template <"):
                lines[i - 1] = ""
            in_definition = not line.startswith("}") and not line.endswith("{}")
            lines[i] = ""
        elif comment := re.match(r"(\s*)///(?!<) ?(.*)$", line):
            docstring = documented + [escaped(comment[2], documented)]
            lines[i] = f"{comment[1]}/// {docstring[-1]}"
        elif re.search(r" = (default|delete);", line) and not documented and "///<" not in line:
            lines[i] = ""
        elif fields := FIELDS.match(line):
            names = re.split(r", (?=\w+(?: =|,|$))", fields["names"])
            after = f" /**< {escaped(fields['comment'].strip()[4:].strip(), [])} */" if fields["comment"] else ""
            before = f" /** {' '.join(documented)} */ " if documented else " "
            lines[i] = fields["indent"] + before.join(f"{fields['type']} {name};{after}" for name in names)
        elif trailing := re.match(r"(.*?///<)(.*)$", line):
            lines[i] = f"{trailing[1]} {escaped(trailing[2].strip(), [])}"
    return "\n".join(lines)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def guide(path: str, text: str) -> str:
    name = PurePosixPath(path.replace("\\", "/")).stem

    def link(match: re.Match[str]) -> str:
        shown, target = match[1], match[2]
        if re.match(r"\w+:", target) or target.endswith((".svg", ".png")):
            return match[0]
        file, _, anchor = target.partition("#")
        page = PurePosixPath(file).stem if file else name
        if file and not (file.endswith(".md") and ("/" not in file or page in PAGES or file.startswith("docs/"))):
            return shown
        shown = shown.replace("`", "")  # doxygen doesn't read code in the text of a reference
        return f"[{shown}](@ref {'page-' + page if not anchor else page + '-' + anchor})"

    lines = text.split("\n")
    in_code, identifiers = False, []
    for i, line in enumerate(lines):
        if line.startswith("```"):
            in_code = not in_code
        elif not in_code:
            line = re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", link, line)
            if heading := re.match(r"(#+) (.*)$", line):
                plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[2]).replace("`", "")
                identifier = f"{name}-{slug(plain)}" if identifiers else f"page-{name}"
                line += f" {{#{identifier}{'-' + str(seen) if (seen := identifiers.count(identifier)) else ''}}}"
                identifiers.append(identifier)
            else:
                pieces = line.split("`")
                pieces[::2] = [re.sub(r"@(?!ref )", r"\\@", piece) for piece in pieces[::2]]
                line = "`".join(pieces)
            lines[i] = line
    return "\n".join(lines)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf8") as source:
        content = source.read()
    sys.stdout.reconfigure(encoding="utf8")
    sys.stdout.write((guide if sys.argv[1].endswith(".md") else header)(sys.argv[1], content))
