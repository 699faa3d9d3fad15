"""The layering: who may include whom. layering.py [--self-test] include/mql4grec

    core <- backend <- nn, optim <- train <- catalog, embed, quantize, language, tasks, seq2seq, search, rank, sasrec, metrics

A stage may include the ground floor, itself, and the value-type headers of stages to its left.

Namespaces follow folders: the outermost namespace of a header in quantize/ is mql4grec::quantize. Those of core/ and
backend/contract/ are inline; backend/{reference,cpu,gpu}/ are mql4grec::{reference,cpu,gpu}. What recommender/ declares is in
mql4grec.
"""
import re
import sys
import tempfile
from pathlib import Path

GROUND = {"core": 0, "backend": 1, "nn": 2, "optim": 2, "train": 3}
STAGES = ["catalog", "embed", "quantize", "language", "tasks", "seq2seq", "search", "rank", "sasrec", "metrics"]
VALUE_TYPES = {
    "catalog/checksum.hpp", "catalog/interactions.hpp", "catalog/items.hpp", "embed/features.hpp",
    "quantize/codebook/code_table.hpp",
    "language/vocabulary.hpp", "language/token_table.hpp", "tasks/batch.hpp",
    "seq2seq/t5.hpp", "seq2seq/config.hpp", "seq2seq/decoder_rows.hpp", "search/beam_options.hpp", "search/beams.hpp",
    "search/trie.hpp", "rank/ranking.hpp", "metrics/report.hpp",
}
WHOLE_SYSTEM = {"recommender.hpp", "recommender_load.hpp", "pipeline.hpp", "mql4grec.hpp", "gpu.cuh"}

# Headers that also open the namespace of another folder, and why.
OTHER_NAMESPACES = {
    "backend/gpu/runtime/buffer.hpp": {"mql4grec"},  # specializes contract's buffer for device memory
    "backend/gpu/runtime/upload_buffer.hpp": {"mql4grec"},  # specializes contract's upload_buffer
    "backend/gpu/runtime/system.hpp": {"mql4grec::inline contract"},  # specializes contract's is_host_memory
    "train/mpi.hpp": {"mql4grec::gpu"},  # declares the system whose memory a CUDA-aware MPI reads
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
FOREIGN_HEADER = re.compile(r"^(unsupported/)?Eigen/|cblas|lapack|dnnl|^thrust/|^cub/|^cuda|^omp\.h$")
FOREIGN_NAME = re.compile(r"\b(Eigen|thrust|cub|dnnl)::|\b(cblas_|openblas_|dnnl_|cublas|cuda[A-Z])\w*")


def floor(folder):
    """The level of a folder; the pipeline and the recommender, above all stages, call them, and serve what is above both."""
    above = [*STAGES, "pipeline", "recommender", "serve"]
    return GROUND.get(folder, 4 + above.index(folder) if folder in above else None)


def forbidden(source, target):
    """Why `source` must not include `target` (paths below mql4grec/), or None."""
    if source.endswith(".hpp") and target.endswith(".cuh"):
        return "a .hpp never includes a .cuh"
    here, there = (path.split("/")[0] if "/" in path else "" for path in (source, target))
    if source in WHOLE_SYSTEM or here in ("pipeline", "recommender", "serve", there):
        return None
    if there == "":
        return "only the headers of the whole system include each other"
    if here == "":
        return None if there in GROUND else f"only {', '.join(sorted(WHOLE_SYSTEM))} include the stages"
    if floor(there) > floor(here):
        return f"{there} lies above or to the right of {here}"
    if there in STAGES and target not in VALUE_TYPES:
        return f"of {there}, {here} may only include the value-type header"
    return None


def namespace_of(source):
    """The namespace of a header, a path below mql4grec/."""
    folders = source.split("/")[:-1]
    if not folders or folders[0] == "recommender":  # a class has the name of this folder
        return "mql4grec"
    if folders[0] == "backend" and len(folders) > 1:
        return "mql4grec::inline contract" if folders[1] == "contract" else f"mql4grec::{folders[1]}"
    return "mql4grec::inline core" if folders[0] == "core" else f"mql4grec::{folders[0]}"


def outermost_namespaces(bare):
    """The namespaces that aren't inside another one, each with its line, of a text without comments and strings. An inline
    namespace that is opened on the next line belongs to the name."""
    depth, lines = 0, bare.split("\n")
    for number, text in enumerate(lines, 1):
        if depth == 0 and (opened := re.match(r"\s*(?:inline )?namespace\b([^{;=]*)\{", text)):
            inside = re.match(r"inline namespace (\w+) \{", lines[number] if number < len(lines) else "")
            yield number, opened[1].strip() + (f"::inline {inside[1]}" if inside else "")
        depth += text.count("{") - text.count("}")


def violations(root):
    for path in sorted([*root.rglob("*.hpp"), *root.rglob("*.cuh")]):
        source = path.relative_to(root).as_posix()
        text = path.read_text()
        folder = source.split("/")[0] if "/" in source else ""
        line = lambda match: text.count("\n", 0, match.start()) + 1
        if folder and floor(folder) is None:
            yield f"{source}: no rule for the folder {folder}/"
            continue

        code = COMMENT_OR_STRING.sub(lambda m: m[0] if m[0][0] == '"' else re.sub(r"[^\n]", " ", m[0]), text)
        for match in INCLUDE.finditer(code):
            quoted, name = match[1] == '"', match[2]
            if quoted and (path.parent / name).is_file():
                target = (path.parent / name).resolve().relative_to(root.resolve()).as_posix()
            elif name.startswith("mql4grec/"):
                target = name.removeprefix("mql4grec/")
            else:
                if folder != "backend" and FOREIGN_HEADER.search(name):
                    yield f"{source}:{line(match)}: {name} may be used in backend/ only"
                continue
            if not (root / target).is_file():
                yield f"{source}:{line(match)}: there is no {target}"
            elif reason := forbidden(source, target):
                yield f"{source}:{line(match)}: must not include {target}: {reason}"

        bare = COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
        wanted = namespace_of(source)
        for number, name in outermost_namespaces(bare):
            if name != wanted and not name.startswith(f"{wanted}::") and name not in OTHER_NAMESPACES.get(source, ()):
                yield f"{source}:{number}: namespace {name or '{'}, expected {wanted}, that of its folder"

        if folder != "backend":
            for match in FOREIGN_NAME.finditer(bare):
                yield f"{source}:{line(match)}: {match[0]} may be named in backend/ only"


def self_test():
    """Each file, and whether the check should refuse it."""
    good = {
        "core/view.hpp": "#pragma once // Eigen::Matrix and /* cblas_sgemm */\n",
        "backend/cpu/matmul/matmul.hpp": '#include <Eigen/Core>\n#include "mql4grec/core/view.hpp"\nEigen::Index n = cblas_sgemm();\n',
        "optim/adamw.hpp": '#include <mql4grec/nn/linear.hpp>\n',
        "nn/linear.hpp": '#include <mql4grec/backend/cpu/matmul/matmul.hpp>\n#include "local.hpp"\n',
        "nn/local.hpp": 'auto s = "thrust::sort"; // #include <mql4grec/rank/fusion.hpp>\n',
        "backend/gpu/sort.cuh": '#include <thrust/sort.h>\n',
        "catalog/interactions.hpp": '#include <mql4grec/core/view.hpp>\n',
        "catalog/split.hpp": '#include <mql4grec/catalog/interactions.hpp>\n',
        "rank/ranking.hpp": "",
        "rank/fusion.hpp": '#include <mql4grec/catalog/interactions.hpp>\n#include "ranking.hpp"\n',
        "pipeline.hpp": '#include <mql4grec/rank/fusion.hpp>\n#include <mql4grec/catalog/split.hpp>\n',
        "mql4grec.hpp": '#include <mql4grec/pipeline.hpp>\nnamespace mql4grec {\nusing rank::ranking;\n}\n',
        "core/ids.hpp": "namespace mql4grec {\ninline namespace core {\nnamespace detail {\n}\n}\n}\n// namespace other {\n",
        "backend/contract/buffer.hpp": "namespace mql4grec {\ninline namespace contract {\n}\n}\n",
        "backend/gpu/sort.hpp": "namespace mql4grec::gpu::detail {\n}\nnamespace mql4grec::gpu {\n}\n",
        "rank/popularity.hpp": "namespace mql4grec::rank {\n}\n",
        "recommender/session.hpp": '#include <mql4grec/catalog/split.hpp>\nnamespace mql4grec {\n}\n',
    }
    bad = {
        "core/up.hpp": '#include <mql4grec/backend/cpu/matmul/matmul.hpp>\n',
        "backend/up.hpp": '#include <mql4grec/nn/linear.hpp>\n',
        "nn/stage.hpp": '#include <mql4grec/catalog/interactions.hpp>\n',
        "catalog/right.hpp": '#include "mql4grec/rank/ranking.hpp"\n',
        "catalog/relative.hpp": '#include "../rank/ranking.hpp"\n',
        "rank/algorithm.hpp": '#include <mql4grec/catalog/split.hpp>\n',
        "rank/facade.hpp": '#include <mql4grec/pipeline.hpp>\n',
        "rank/missing.hpp": '#include <mql4grec/core/no_such.hpp>\n',
        "rank/device.hpp": '#include <mql4grec/backend/gpu/sort.cuh>\n',
        "rank/eigen.hpp": '#include <Eigen/Core>\n',
        "rank/blas.hpp": 'void f() { cblas_sgemm(); }\n',
        "extra.hpp": '#include <mql4grec/rank/ranking.hpp>\n',
        "attic/old.hpp": "",
        "rank/root.hpp": "namespace mql4grec {\n}\n",
        "rank/neighbour.hpp": "namespace mql4grec::rank {\n}\nnamespace mql4grec::search {\n}\n",
        "core/named.hpp": "namespace mql4grec::core {\n}\n",
        "backend/cpu/folder.hpp": "namespace mql4grec::backend {\n}\n",
        "rank/nameless.hpp": "namespace {\n}\n",
        "rank/embedded.hpp": '#include <mql4grec/recommender/session.hpp>\n',
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**good, **bad}.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        found = list(violations(Path(folder)))
    accused = {violation.split(":")[0] for violation in found}
    wrong = [f"not found: {name}" for name in sorted(bad.keys() - accused)]
    wrong += [violation for violation in found if violation.split(":")[0] in good]
    return wrong


if __name__ == "__main__":
    problems = self_test() if sys.argv[1:] == ["--self-test"] else list(violations(Path(sys.argv[1])))
    print("\n".join(problems) or "the layering holds")
    sys.exit(bool(problems))
