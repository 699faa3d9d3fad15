"""Ours beside the peers, one after the other on the same machine in one run; prints a table in Markdown.

    compare.py --program build/release/examples/mql4grec --dataset DIR/Instruments [--model DIR] [--seconds 60] [--users 1024]

Training: `finetune` on all six tasks at batch 256 for --seconds, against transformers at batch 256, padded to the longest of
a shuffled batch and, the peer's strong form, grouped by length. Search: `evaluate` with 20 beams searches two modalities, so
its users/s are doubled to searches/s, what one modality of the peers is. Give a trained --model: without it the search runs on what --seconds of training made, and an
untrained model writes </s> too soon, which spares CTranslate2, that has no trie, part of the work. Run it on an idle machine.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def run(command, environment=None):
    print("#", " ".join(map(str, command)), file=sys.stderr, flush=True)
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(program, *arguments):
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        subprocess.run([str(program), *map(str, arguments), "--json", result.name, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        return json.loads(Path(result.name).read_text())


def row(what, rate, unit, base):
    print(f"| {what} | {rate:.1f} {unit} | {base / rate:.2f} × |", flush=True)


def training(args, work):
    result = ours(args.program, "finetune", "--dataset", args.dataset, "--out", work / "model", "--batch-size", 256,
                  "--max-seconds", args.seconds, "--threads", args.threads)
    rate = result["examples_per_second"]
    print(f"\n| training, batch 256, fp32, {args.threads} threads | rate | ours is |\n|---|---|---|")
    row("mql4grec", rate, "examples/s", rate)
    for what, extra in (("transformers, padded", []), ("transformers, grouped by length", ["--group-by-length"])):
        peer = run([sys.executable, HERE / "hf_train.py", "--dataset", args.dataset, "--batch", 256, "--threads", args.threads,
                    "--steps", args.peer_steps * (5 if extra else 1), *extra])
        scale = peer["tokens_an_example"] / peer["mean_tokens_of_all_examples"]  # a sample of other lengths isn't the same work
        row(what, peer["examples_per_second"] * scale, "examples/s", rate)


def search(args, model):
    result = ours(args.program, "evaluate", "--dataset", args.dataset, "--model", model, "--users", args.users,
                  "--beams", 20, "--threads", args.threads)
    rate = 2 * result["users_per_second"]
    print(f"\n| search, 20 beams, fp32, {args.threads} threads | rate | ours is |\n|---|---|---|")
    row("mql4grec, trie", rate, "searches/s", rate)
    peer = run([sys.executable, HERE / "hf_generate.py", "--dataset", args.dataset, "--model", model, "--batch", 32,
                "--users", max(64, args.users // 8), "--threads", args.threads])
    row("transformers, trie, batch 32", peer["users_per_second"], "searches/s", rate)
    for batch in (64, 16):
        peer = run([sys.executable, HERE / "ct2_generate.py", "--dataset", args.dataset, "--model", model, "--batch", batch,
                    "--users", args.users, "--threads", args.threads])
        row(f"CTranslate2, no trie, batch {batch}", peer["users_per_second"], "searches/s", rate)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--users", type=int, default=1024)
    parser.add_argument("--peer-steps", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        training(args, Path(work))
        search(args, args.model or Path(work) / "model")


if __name__ == "__main__":
    main()
