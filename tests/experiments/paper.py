"""scripts/paper with a program that does nothing: results of one folder have the same settings. paper.py SCRIPT"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = sys.argv[1]
PROGRAM = """#!/usr/bin/env python3
import json, pathlib, sys
with (pathlib.Path(sys.argv[0]).parent / "calls").open("a") as calls:
    print(*sys.argv[1:], file=calls)
words = [word for word in sys.argv[2:] if word != "--resume"]
value = dict(zip(words[::2], words[1::2]))
metrics = {f"{name}@{k}": 0.5 for name in ("hit", "ndcg") for k in (1, 5, 10)}
result = {kind: metrics for kind in ("text", "image", "ensemble")} if sys.argv[1] == "evaluate" else {"best_epoch": 1, "seconds": 2.0}
pathlib.Path(value["--json"]).write_text(json.dumps(result))
"""


def paper(folder, *arguments):
    return subprocess.run([SCRIPT, "--data", str(folder / "data"), "--out", str(folder / "out"), "--seeds", "42", *arguments], capture_output=True, text=True,
                          env={**os.environ, "PROGRAM": str(folder / "program")})


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "program").write_text(PROGRAM)
    (folder / "program").chmod(0o755)
    for number, dataset in enumerate(("Instruments", "Games", "Arts", "Scientific")):
        (folder / "data" / dataset).mkdir(parents=True)
        (folder / "data" / dataset / f"{dataset}.inter.json").write_text(f'{{"0": [{number}]}}')
    first = paper(folder, "--epochs", "3")
    assert first.returncode == 0 and "from random parameters, seed 42 | 0.5000" in first.stdout, (first.stdout, first.stderr)
    again = paper(folder, "--epochs", "3", "--backend", "cpu")
    assert again.returncode == 0 and again.stdout == first.stdout, (again.stdout, again.stderr)
    assert paper(folder, "--epochs", "3", "--sources", "Arts,Instruments").returncode == 2
    for option, other in (("--epochs", "4"), ("--target", "Scientific"), ("--sources", "Arts"), ("--tasks", "all"), ("--pretrain-epochs", "1"), ("--users", "9"),
                          ("--precision", "fp32"), ("--options", "--lr 1")):
        refused = paper(folder, "--epochs", "3", option, other)
        assert refused.returncode == 2 and option[2:] in refused.stderr and refused.stderr.count("\n") == 1, (option, refused.stderr)
    shutil.copytree(folder / "data", folder / "elsewhere")  # the same data, and then others
    assert paper(folder, "--epochs", "3", "--data", str(folder / "elsewhere")).returncode == 0
    for changed in ("Instruments.inter.json", "Instruments.index_vitemb.json", "Arts.inter.json"):
        other = folder / f"changed {changed}"
        shutil.copytree(folder / "data", other)
        (other / changed.split(".")[0] / changed).write_text("{}")
        refused = paper(folder, "--epochs", "3", "--data", str(other), "--seeds", "42 43")
        assert refused.returncode == 2 and "data Instruments" in refused.stderr and refused.stderr.count("\n") == 1, (changed, refused.stderr)
    (folder / "data" / "Scientific" / "Scientific.inter.json").write_text("{}")  # which isn't used
    assert paper(folder, "--epochs", "3").returncode == 0
    missing = paper(folder, "--epochs", "3", "--data", str(folder / "none"), "--out", str(folder / "none-out"))
    assert missing.returncode == 2 and "none/Instruments: no such directory" in missing.stderr and not (folder / "none-out").exists(), missing.stderr
    settings = folder / "out" / "settings"  # as they were written before they named the data
    written = settings.read_text()
    settings.write_text("".join(line for line in written.splitlines(True) if not line.startswith("data ")))
    unnamed = paper(folder, "--epochs", "3")
    line = unnamed.stderr.split("'")[-2]
    assert unnamed.returncode == 2 and f"{line}\n" in written, unnamed.stderr
    (folder / "calls").unlink()
    other = paper(folder, "--out", str(folder / "other"), "--options", "--optimizer muon --lr 2e-3")
    assert other.returncode == 0 and "pre-trained on Games and Arts, seed 42" in other.stdout, (other.stdout, other.stderr)
    calls = (folder / "calls").read_text().splitlines()
    training = [call for call in calls if call.startswith(("pretrain ", "finetune "))]
    assert len(training) == 3 and all("--optimizer muon --lr 2e-3" in call for call in training), calls
    assert sum(call.startswith(f"pretrain --datasets {folder}/data/Games,{folder}/data/Arts ") for call in calls) == 1, calls
