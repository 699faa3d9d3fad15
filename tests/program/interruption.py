"""Runs that are killed, interrupted or out of time go on to the same bits. interruption.py PROGRAM"""
import functools
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from support import PROGRAM, check, check_done, files_of, main, run, training, write_dataset

EPOCHS = 24


def state_of(directory):
    """Parameters and moments of the state: all but the header, which holds times."""
    content = Path(directory, "training.safetensors").read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


def uninterrupted(**options):
    check_done(run(*training(out="whole", epochs=EPOCHS, patience=0, **options)))
    return Path("whole/model.safetensors").read_bytes(), state_of("whole")


class TooLate(Exception):
    """A run had ended before it could be struck."""


def in_time(test):
    """Repeats a test with longer runs if one was too late: on a busy machine, Python may read of an epoch when the last one is over."""

    @functools.wraps(test)
    def repeated():
        global EPOCHS
        for _ in range(4):
            try:
                return test()
            except TooLate:
                EPOCHS *= 2
                print(f"{test.__name__}: too late, again with {EPOCHS} epochs", flush=True)
                for directory in ("whole", "out"):
                    shutil.rmtree(directory, ignore_errors=True)
        return test()

    return repeated


def strike(number, epoch, **options):
    """Starts or resumes the run in out/, sends a signal once this epoch is over, and returns the exit code."""
    process = subprocess.Popen([PROGRAM, *training(epochs=EPOCHS, patience=0, resume=True, **options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith(f"epoch {epoch}/"):
            time.sleep(0.003 * (epoch % 3))  # not always at the same place of an epoch
            process.send_signal(number)
            break
    process.stderr.read()
    process.stdout.read()
    code = process.wait(timeout=60)
    if code == 0:
        raise TooLate
    return code


def finish(expected, **options):
    check_done(run(*training(epochs=EPOCHS, patience=0, resume=True, **options)))
    check(Path("out/model.safetensors").read_bytes() == expected[0], "the model differs from that of an uninterrupted run")
    check(state_of("out") == expected[1], "parameters or moments differ from those of an uninterrupted run")


@in_time
def killed_again_and_again():
    expected = uninterrupted()
    for epoch in (2, 5, 9, 13):
        check(strike(signal.SIGKILL, epoch) == -signal.SIGKILL, "another exit code")
    finish(expected)


@in_time
def interrupted_with_two_threads():
    expected = uninterrupted(threads=2)
    for number, epoch in ((signal.SIGINT, 3), (signal.SIGTERM, 8)):
        check(strike(number, epoch, threads=2) == 130, "expected exit 130")
        check(set(os.listdir("out")) == {"config.json", "model.safetensors", "mql4grec.json", "training.safetensors"}, os.listdir("out"))
    finish(expected, threads=2)


@in_time
def interrupted_with_muon():
    expected = uninterrupted(optimizer="muon")
    for epoch in (3, 8):
        check(strike(signal.SIGTERM, epoch, optimizer="muon") == 130, "expected exit 130")
    finish(expected, optimizer="muon")
    other = run(*training(epochs=EPOCHS, patience=0, resume=True))
    check(other.returncode == 1 and "muon" in other.stderr, "another optimizer is refused:", other.stderr)


@in_time
def kept_epochs():
    check_done(run(*training(out="whole", epochs=EPOCHS, patience=0, keep_epochs="1,6,20")))
    expected = {epoch: files_of(f"whole/epoch-{epoch}") for epoch in (1, 6, 20)}
    check(set(expected[6]) == {"config.json", "model.safetensors", "mql4grec.json"}, set(expected[6]))
    for epoch in (3, 6, 13):
        check(strike(signal.SIGKILL, epoch, keep_epochs="1,6,20") == -signal.SIGKILL, "another exit code")
    check_done(run(*training(epochs=EPOCHS, patience=0, resume=True, keep_epochs="1,6,20")))
    check({epoch: files_of(f"out/epoch-{epoch}") for epoch in (1, 6, 20)} == expected, "kept models differ from those of an uninterrupted run")
    check_done(run("evaluate", "--dataset", "Tiny", "--model", "out/epoch-6"))
    check_done(run(*training(init="out/epoch-6", out="further", epochs=1)))


def pretraining_stops_early():
    write_dataset(Path("Other"), seed=3)
    options = dict(command="pretrain", dataset=None, init=None, datasets="Tiny,Other", epochs=1000, lr=0.3, json="-")
    result = json.loads(check_done(run(*training(out="pre", patience=2, **options))).stdout)
    check(result["epochs"] == result["best_epoch"] + 2 < 1000, result)


def out_of_time():
    expected = uninterrupted()
    for _ in range(3):
        done = check_done(run(*training(epochs=EPOCHS, patience=0, resume=True, max_seconds=0.02)))
        check("--resume" in done.stderr, done.stderr)
    finish(expected)


def an_interrupted_evaluation():
    write_dataset(Path("More/Many"), users=6000)
    process = subprocess.Popen([PROGRAM, "evaluate", "--dataset", "More/Many", "--model", "start", "--threads", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    rest = process.communicate()
    check(process.returncode == 130 and rest == ("", "mql4grec: interrupted\n"), process.returncode, rest)


def what_does_not_poll_ends_at_once():
    os.mkfifo("items")
    recommend = ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "1", "--allow", "items"]
    ends_at_once("items", recommend)
    Path("start/mql4grec.json").unlink()
    os.mkfifo("start/mql4grec.json")
    ends_at_once("start/mql4grec.json", ["prepare", "--check-catalog", "start", "--out", "Tiny"])


def ends_at_once(pipe, arguments):
    """Sends a signal while the command waits for a file that is a pipe."""
    process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with open(pipe, "wb"):  # which waits until the command reads it
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=60)
    check(process.returncode == 130 and rest == ("", "mql4grec: interrupted\n"), process.returncode, rest)


main([an_interrupted_evaluation, what_does_not_poll_ends_at_once, killed_again_and_again, interrupted_with_two_threads, interrupted_with_muon, out_of_time, kept_epochs, pretraining_stops_early])
