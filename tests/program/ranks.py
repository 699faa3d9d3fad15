"""Trainings on several ranks under mpirun. ranks.py PROGRAM LAUNCH MPIEXEC OPTIONS…

MQL4GREC_KILLS: how many random kills one training survives under scripts/launch (default 2); MQL4GREC_SEED: of their times and victims.
"""
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from encoders import write_text_encoder
from features import translation, write_features
from support import PROGRAM, check, check_done, files_of, main, run, training, write_dataset

LAUNCH, MPIEXEC, OPTIONS = os.path.abspath(sys.argv[2]), sys.argv[3], sys.argv[4:]
EPOCHS = 40
os.environ["OMPI_MCA_mpi_yield_when_idle"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # so that --backend gpu is an error on every machine


def arguments(**options):
    return training(**({"epochs": EPOCHS, "patience": 0, "gradient_shards": 4} | options))


def command(ranks, **options):
    return [MPIEXEC, *OPTIONS, "-np", str(ranks), PROGRAM, *arguments(**options)]


def on_ranks(ranks, **options):
    return subprocess.run(command(ranks, **options), capture_output=True, text=True, timeout=120)


def lines_of(text):
    """What the program itself has printed: mpirun adds lines when a process fails."""
    return [line for line in text.splitlines() if line.startswith("mql4grec: ")]


def state_of(directory):
    content = Path(directory, "training.safetensors").read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


def check_same(directory, expected="whole"):
    for name in ("model.safetensors", "config.json", "mql4grec.json"):
        check(Path(directory, name).read_bytes() == Path(expected, name).read_bytes(), f"{directory}/{name} differs from that of one process")
    check(state_of(directory) == state_of(expected), f"{directory}: parameters or moments differ from those of one process")


def whole():
    check_done(run(*arguments(out="whole")))


def same_bytes_as_one_process():
    whole()
    check_done(run(*arguments(out="threads", threads=2)))
    check_same("threads")
    done = check_done(on_ranks(2, out="out", json="-"))
    check_same("out")
    check(set(os.listdir("out")) == {"config.json", "model.safetensors", "mql4grec.json", "training.safetensors"}, os.listdir("out"))
    check(json.loads(done.stdout)["epochs"] == EPOCHS, "one rank prints the result:", done.stdout)
    check(done.stderr.count(f"epoch {EPOCHS}/{EPOCHS}:") == 1, "one rank prints its progress:", done.stderr)
    check_done(on_ranks(3, out="divided", sharded_moments=True))
    check_same("divided")
    check_done(run(*arguments(out="default", gradient_shards=0, threads=2, epochs=3)))
    check_done(on_ranks(2, out="two", gradient_shards=0, epochs=3))
    check_same("two", "default")


def pretraining_too():
    write_dataset(Path("Other"), seed=3)
    options = dict(command="pretrain", dataset=None, init=None, datasets="Tiny,Other", epochs=2)
    check_done(run(*arguments(out="whole", **options)))
    check_done(on_ranks(3, out="out", **options))
    check_same("out")


def rank_pids(launcher):
    """The processes that mpirun has started, by their ranks."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "environ").read_bytes().split(b"\0")
            mine = str(os.getcwd()).encode() in (folder / "cmdline").read_bytes() + os.readlink(folder / "cwd").encode()
            name = (folder / "comm").read_text().strip()
        except OSError:
            continue
        for word in words:
            if mine and name == "mql4grec" and word.startswith((b"OMPI_COMM_WORLD_RANK=", b"PMI_RANK=")):
                found[int(word.split(b"=")[1])] = int(folder.name)
    return found


def start(words):
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process, seconds=150):
    """Waits for a launcher; returns what it still prints. If it doesn't end, it and its ranks are killed, which would slow all later tests."""
    try:
        return process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        for pid in [process.pid, *(pid for rank in rank_pids(process).values() for pid in (parent_of(rank), rank))]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        raise


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def strike(ranks, blow, victim, epoch, words=None, **options):
    """Starts or resumes the run, sends one rank a signal after an epoch, or calls blow(its pid); returns the exit code and what was printed."""
    process = start(words or command(ranks, resume=True, **options))
    for line in process.stderr:
        if line.startswith(f"epoch {epoch}/"):
            pids = rank_pids(process)
            check(victim in pids, f"rank {victim} isn't among", pids)
            blow(pids[victim]) if callable(blow) else os.kill(pids[victim], blow)
            break
    text = end(process)
    return process.returncode, text


def a_signal_on_any_rank_stops_all():
    whole()
    for number, ranks, victim, epoch in ((signal.SIGTERM, 3, 2, 4), (signal.SIGINT, 2, 0, 12), (signal.SIGTERM, 4, 1, 20)):
        status, text = strike(ranks, number, victim, epoch, out="out")
        check(status == 130, "expected exit 130, found", status, text)
        check(len([line for line in lines_of(text) if "interrupted at step" in line]) == 1, "expected one line:", text)
        check(not list(Path("out").glob("*.tmp*")), os.listdir("out"))
    check_done(run(*arguments(out="out", resume=True)))
    check_same("out")


def a_killed_rank_ends_all_and_the_state_goes_on():
    whole()
    for victim, epoch in ((1, 3), (0, 9), (2, 15)):
        status, text = strike(3, signal.SIGKILL, victim, epoch, out="out")
        check(status not in (0, 130), "exit code", status, text)
    check_done(on_ranks(2, out="out", resume=True))
    check_same("out")


def the_launcher_starts_again():
    whole()
    words = [LAUNCH, "--ranks", "2", "--tries", "3", "--wait", "0", "--mpirun", " ".join(OPTIONS), PROGRAM, *arguments(out="out")]
    status, text = strike(2, signal.SIGKILL, 1, 5, words)
    check(status == 0, "exit code", status, text)
    check("start 2 of 3" in text, text)
    check_same("out")
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start([LAUNCH, "--mpirun", " ".join(OPTIONS), PROGRAM, *arguments(out="stopped")])
        for line in process.stderr:
            if line.startswith("epoch "):
                process.send_signal(number)
                break
        text = end(process)
        check(process.returncode == 130 and "interrupted at step" in text, "expected exit 130, found", process.returncode, text)
    check_done(run(*arguments(out="stopped", resume=True)))
    check_same("stopped")
    failing = subprocess.run([LAUNCH, "--tries", "2", "--wait", "0", "--mpirun", " ".join(OPTIONS), PROGRAM, *arguments(dataset="Missing", out="other")], capture_output=True, text=True, timeout=120)
    check(failing.returncode == 1 and "2 starts were tried" in failing.stderr, failing.returncode, failing.stderr)
    check(subprocess.run([LAUNCH, "--ranks", "two", PROGRAM, "finetune"], capture_output=True).returncode == 2)


def a_stopped_rank_ends_all_in_time():
    whole()
    for victim, epoch in ((1, 3), (0, 7)):
        began = [0.0]

        def stop(pid):
            began[0] = time.monotonic()
            os.kill(pid, signal.SIGSTOP)

        status, text = strike(3, stop, victim, epoch, out="out", rank_timeout=5)
        seconds = time.monotonic() - began[0]
        lines = lines_of(text)
        check(status == 1 and len(lines) == 1, "expected exit code 1 and one line, found", status, text)
        check(f": rank {victim} has not answered for 5 s" in lines[0] and "step " in lines[0], lines[0])
        check(seconds < 5 + 12, "it took", seconds, "s")
    words = [LAUNCH, "--ranks", "3", "--tries", "2", "--wait", "0", "--mpirun", " ".join(OPTIONS), PROGRAM, *arguments(out="out", rank_timeout=5)]
    status, text = strike(3, signal.SIGSTOP, 2, 15, words)
    check(status == 0 and "start 2 of 2" in text, "exit code", status, text)
    check_same("out")


def a_delayed_rank_is_waited_for():
    whole()

    def delay(pid):
        for _ in range(3):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.4)
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.1)

    status, text = strike(3, delay, 1, 2, out="out", rank_timeout=30)
    check(status == 0, "exit code", status, text)
    check_same("out")


def random_kills_lose_nothing():
    """A training under scripts/launch, of which a random rank is killed at a random time again and again, ends with the same files."""
    kills, seed = int(os.environ.get("MQL4GREC_KILLS", "2")), int(os.environ.get("MQL4GREC_SEED", "1"))
    chance, epochs = random.Random(seed), max(EPOCHS, 12 * kills)
    check_done(run(*arguments(out="whole", epochs=epochs)))
    words = [LAUNCH, "--ranks", "3", "--tries", str(kills + 1), "--wait", "0", "--mpirun", " ".join(OPTIONS), PROGRAM, *arguments(out="out", epochs=epochs)]
    process = start(words)
    lines, struck, useful = [], 0, 0
    left = None  # how many epochs of this start end before the next kill
    for line in process.stderr:
        lines.append(line)
        if struck == kills or not line.startswith("epoch "):
            continue
        if left is None:
            left = chance.randrange(5)
        if left > 0:
            left -= 1
            continue
        time.sleep(chance.uniform(0, 0.1))
        pids = rank_pids(process)
        useful += Path("out/training.safetensors").exists()
        try:
            os.kill(pids[chance.randrange(3)], signal.SIGKILL)
            struck += 1
        except (KeyError, ProcessLookupError):  # it has just ended
            continue
        for rest in process.stderr:  # what the ranks that are left have still printed
            lines.append(rest)
            if rest.startswith("launch: exit code"):
                break
        left = None
    text = "".join(lines) + end(process)
    print(f"{struck} kills, seed {seed}, {text.count('launch: exit code')} further starts, {epochs} epochs")
    check(process.returncode == 0, "exit code", process.returncode, text)
    check(struck == kills, "only", struck, "kills before the training had ended")
    check(useful > 0 or kills == 0, "no rank was killed after a state had been written")
    check_same("out")


def launched(ranks, *words):
    """A command on several ranks, one thread each."""
    threads = [] if "--threads" in words else ["--threads", "1"]
    return subprocess.run([MPIEXEC, *OPTIONS, "-np", str(ranks), PROGRAM, *map(str, words), *threads], capture_output=True, text=True, timeout=120)


def evaluations_and_features_are_shared_out():
    words = ["evaluate", "--dataset", "Tiny", "--model", "start", "--json", "-", "--beams", 16]
    timeless = lambda done: {name: value for name, value in json.loads(done.stdout).items() if "second" not in name}
    alone = check_done(run(*words, "--save", "alone", "--threads", 1))
    for ranks, users in ((2, None), (3, 2)):  # also fewer users than ranks
        few = ["--users", users] if users else []
        whole = check_done(run(*words, *few, "--threads", 1)) if users else alone
        done = check_done(launched(ranks, *words, *few, "--save", f"ranks-{ranks}"))
        check(timeless(done) == timeless(whole), f"{ranks} ranks:", done.stdout, "one process:", whole.stdout)
    check(files_of("ranks-2") == files_of("alone"), "the saved lists of two ranks differ")
    calibrated = [*words, "--calibrate", "--baselines", "popularity"]
    one = timeless(check_done(run(*calibrated, "--threads", 1)))
    fitted = Path("start/calibration.json").read_bytes()
    check(timeless(check_done(launched(2, *calibrated))) == one and Path("start/calibration.json").read_bytes() == fitted, "calibration")
    done = launched(2, *words[:5], "--json", "missing/result.json")
    check(done.returncode == 1 and len(lines_of(done.stderr)) == 1 and "missing" in lines_of(done.stderr)[0], done.stderr)

    Path("Tiny/Tiny.item.json").write_text(json.dumps({str(i): {"title": f"red chair {i % 6}"} for i in range(2500)}))
    write_text_encoder(Path("bert"), ["red", "chair", *map(str, range(6))])
    embed = ["embed", "--dataset", "Tiny", "--modality", "text", "--encoder", "bert", "--out"]
    done = run(*embed, "alone.npy", "--threads", 1)
    if "built without" in done.stderr:
        return "embed: " + done.stderr.strip()
    check_done(done)
    for ranks in (2, 3, 4):  # of three sections
        done = check_done(launched(ranks, *embed, "shared.npy", "--json", "-"))
        check(Path("shared.npy").read_bytes() == Path("alone.npy").read_bytes(), f"{ranks} ranks: other features")
        check(json.loads(done.stdout)["encoded"] == 2500, done.stdout)
        check(not list(Path(".").glob("shared.npy.*")), os.listdir("."))
        Path("shared.npy").unlink()


def translators_are_trained_together():
    write_features("F.npy", twins=[(9, 8), (17, 8)])
    words = lambda name, **options: translation(index=f"{name}.json", out=name, **({"gradient_shards": 4} | options))
    check_done(run(*words("alone")))
    for ranks in (2, 3):
        done = check_done(launched(ranks, *words(f"ranks-{ranks}", json="-")))
        check(json.loads(done.stdout)["files"][0]["unique"], done.stdout)
        check(Path(f"ranks-{ranks}.json").read_bytes() == Path("alone.json").read_bytes(), f"{ranks} ranks: other tokens")
        for name in ("model.safetensors", "translator.json"):
            check(Path(f"ranks-{ranks}", name).read_bytes() == Path("alone", name).read_bytes(), f"{ranks} ranks: another {name}")
        check(state_of(f"ranks-{ranks}") == state_of("alone"), f"{ranks} ranks: another state")
    for ranks, resume in ((3, {}), (2, {"resume": True})):
        check_done(launched(ranks, *words("stopped", max_seconds=0.001 if ranks == 3 else 1000, **resume)))
    check(Path("stopped/model.safetensors").read_bytes() == Path("alone/model.safetensors").read_bytes(), "resumed by fewer ranks")
    added = ["translate", "--embeddings", "F.npy", "--modality", "text", "--model", "alone", "--out-index"]
    check_done(run(*added, "new.json"))
    check_done(launched(2, *added, "shared.json"))
    check(Path("shared.json").read_bytes() == Path("new.json").read_bytes(), "another index of a translator that exists")
    Path("other").mkdir()
    write_features("other/F.npy", seed=9)
    both = [MPIEXEC, *OPTIONS, "-np", "1", PROGRAM, *map(str, words("bad")), ":", "-np", "1", PROGRAM, *(str(word).replace("F.npy", "other/F.npy") for word in words("bad"))]
    done = subprocess.run(both, capture_output=True, text=True, timeout=60)
    check(done.returncode == 1 and [line for line in lines_of(done.stderr) if "rank 1: the set of features" in line], done.stderr)


def errors_are_one_line():
    write_dataset(Path("Other/Tiny"), seed=5)
    # the last rank has other data, other options, no data at all
    def with_other(*changed):
        words = [str(word) for word in arguments(out="out")]
        other = list(words)
        for old, new in changed:
            other[other.index(old)] = new
        both = [MPIEXEC, *OPTIONS, "-np", "2", PROGRAM, *words, ":", "-np", "1", PROGRAM, *other]
        return subprocess.run(both, capture_output=True, text=True, timeout=120)

    for change, part in ((("Tiny", "Other/Tiny"), "rank 2: the dataset Tiny is not the same as on rank 0"),
                         (("64", "32"), "rank 2: the set of options is not the same as on rank 0"),
                         (("4", "8"), "rank 2: the set of options is not the same as on rank 0"),
                         (("Tiny", "Missing/Tiny"), "rank 2, step 0: Missing/Tiny")):
        done = with_other(change)
        lines = lines_of(done.stderr)
        check(done.returncode == 1, "exit code", done.returncode, done.stderr)
        check(len(lines) == 1 and part in lines[0], f"expected one line with '{part}':", done.stderr)
        check(not Path("out/training.safetensors").exists(), "a run was begun")
    for options, part in ((dict(dataset="Missing"), "Missing"), (dict(gradient_shards=1), "1 gradient_shards for 2 ranks"), (dict(backend="gpu"), "GPU")):
        done = on_ranks(2, **({"out": "bad"} | options))
        lines = lines_of(done.stderr)
        check(done.returncode == 1 and len(lines) == 1 and part in lines[0], "expected one line:", done.stderr)
    done = subprocess.run([MPIEXEC, *OPTIONS, "-np", "2", PROGRAM, "recommend", "--dataset", "Tiny", "--model", "start"], capture_output=True, text=True, timeout=120)
    check(done.returncode == 2 and len(lines_of(done.stderr)) == 1 and "only embed, translate" in done.stderr, done.stderr)


def a_full_disk_of_rank_0_ends_all():
    whole()
    limit = lambda pid: resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, 1024))  # the state doesn't fit
    status, text = strike(2, limit, 0, 6, out="out")
    lines = lines_of(text)
    check(status == 1 and len(lines) == 1 and "rank 0, step" in lines[0] and "out/" in lines[0], "exit code", status, text)
    check_done(on_ranks(2, out="out", resume=True))
    check_same("out")


main([same_bytes_as_one_process, pretraining_too, evaluations_and_features_are_shared_out, translators_are_trained_together, a_signal_on_any_rank_stops_all, a_killed_rank_ends_all_and_the_state_goes_on, the_launcher_starts_again, a_stopped_rank_ends_all_in_time, a_delayed_rank_is_waited_for, random_kills_lose_nothing, errors_are_one_line, a_full_disk_of_rank_0_ends_all])
