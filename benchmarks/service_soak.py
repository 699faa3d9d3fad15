#!/usr/bin/env python3
"""A long run of the service: requests from many connections while models are reloaded and items inserted and removed.

    benchmarks/service_soak.py PROGRAM SERVICE_LOAD --dataset D --model A --other-model B [--scale 1] [--requests 1000000]
        [--reloads 100] [--changes 10000] [--connections 16] [--hostile 0] [--seconds S] [--progress FILE] [--json FILE]

Every complete answer is compared with one that service_load computes itself. The run consists of rounds; in each, the same share of
the requests, reloads and changes is done by one service, which keeps its state in a directory. --progress FILE is written after each
round: with it, a run that was interrupted continues with the next round, with a new process of the service. --seconds ends a run
after the round in which the time is over. --scale .02 does 2 % of everything. --hostile N: so many further clients send what no
client should, at the same time.

Prints a table: what was done, lost and wrong, the memory and the open files of the service after each tenth. Exit 1 if an answer was
lost or wrong, or if the service didn't end with 0."""
import argparse
import contextlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TOKEN = "a-token-of-the-administrator"
ROUNDS = 10
COUNTS = ("answered", "refused", "incomplete", "checked", "wrong", "failed", "lost", "reloads", "changes")


class Service:
    """The service and a connection of its administrator."""

    def __init__(self, options, state):
        token = Path(state, "token")
        token.write_text(TOKEN + "\n")
        self.process = subprocess.Popen([options.program, "serve", "--dataset", options.dataset, "--model", options.model, "--port", "0",
                                         "--workers", str(options.workers), "--max-batch", "16", "--admin-token-file", token, "--state", state],
                                        stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            event = json.loads(line)
            if event["event"] == "ready":
                break
        else:
            raise SystemExit("the service did not start")
        self.port = event["port"]
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method, path, body=None):
        self.connection.request(method, path, None if body is None else json.dumps(body), {"Authorization": f"Bearer {TOKEN}"})
        response = self.connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise SystemExit(f"{method} {path}: {response.status} {content}")
        return content.decode()

    def answered(self):
        return sum(int(float(line.split()[-1])) for line in self.ask("GET", "/metrics").splitlines()
                   if line.startswith('mql4grec_requests_total{end_point="POST /recommend"'))

    def resources(self):
        """Of the process, from outside."""
        resident = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        return {"resident_mib": round(resident / 2**20, 1), "open_files": len(os.listdir(f"/proc/{self.process.pid}/fd")),
                "threads": len(os.listdir(f"/proc/{self.process.pid}/task"))}

    def end(self):
        self.connection.close()
        self.process.terminate()
        return self.process.wait(timeout=60)


HOSTILE = (
    b"GET / HT",  # and nothing more
    b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
    b"POST /recommend HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
    b"POST /recommend HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\nabc",
    b"POST /recommend HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"a" * 60_000,
    b"POST /recommend HTTP/1.1\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n" + b"[" * 200_000,
    b"\x00\xff\xfe\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n" * 50 + b"GET /items?query=%f HTTP/1.1\r\nConnection: close\r\n\r\n",
    b"".join(b"GET " + path + b" HTTP/1.1\r\n\r\n" for path in (b"/metrics", b"/sets", b"/items?query=a", b"/items/1", b"/model", b"/", b"/items/..%2F..%2Fetc")),
    b"POST /reload HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    b'POST /recommend HTTP/1.1\r\nContent-Length: 44\r\n\r\n{"history": [1, 2], "explain": true, "k": 5}')  # and doesn't wait


def be_hostile(port, number, stop):
    """One client after another, some of which don't wait for their answer."""
    chance = random.Random(number)
    while not stop.is_set():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=chance.choice((0.001, 0.3))) as connection:
            connection.sendall(chance.choice(HOSTILE))
            connection.recv(1 << 16)


def change(service, number, words):
    """Every second change removes the item that the one before inserted."""
    item = f"S{number // 2}"
    if number % 2 == 0:
        service.ask("POST", "/items", {"item": item, "title": item, "codes": words})
    else:
        service.ask("DELETE", f"/items/{item}")


def one_round(service, options, goals, done):
    """Does requests, and reloads and changes in step with them, up to the goals. Returns what happened."""
    items, words = options.items, options.words
    requests = goals["requests"] - done["requests"]
    load = subprocess.Popen([options.service_load, "--port", str(service.port), "--items", str(items), "--dataset", options.dataset, "--model",
                             options.model, "--other-model", options.other_model, "--allow-all", "--requests", str(requests),
                             "--connections", str(options.connections)], stdout=subprocess.PIPE, text=True)
    before, reloads, changes = service.answered(), done["reloads"], done["changes"]
    stop = threading.Event()
    hostile = [threading.Thread(target=be_hostile, args=(service.port, number, stop)) for number in range(options.hostile)]
    for each in hostile:
        each.start()
    try:
        running = True
        while running:
            running = load.poll() is None
            share = min(1, (service.answered() - before) / requests) if running else 1
            while reloads < done["reloads"] + share * (goals["reloads"] - done["reloads"]):
                service.ask("POST", "/reload", {"model": (options.other_model, options.model)[reloads % 2]})
                reloads += 1
            while changes < done["changes"] + share * (goals["changes"] - done["changes"]):
                change(service, changes, words)
                changes += 1
            time.sleep(0.05)
        seen = json.loads(load.stdout.read())
    finally:
        stop.set()
        load.kill()
        load.wait()
        for each in hostile:
            each.join()
    return seen | {"reloads": reloads - done["reloads"], "changes": changes - done["changes"]}


def table(rounds):
    total = {name: sum(one["seen"][name] for one in rounds) for name in COUNTS}
    lines = ["| after | " + " | ".join(COUNTS) + " | requests/s | p99 ms | MiB | open files | threads |", "|---" * (len(COUNTS) + 6) + "|"]
    for number, one in enumerate(rounds, 1):
        seen, after = one["seen"], one["after"]
        lines.append(f"| {number}/{ROUNDS} | " + " | ".join(f"{seen[name]:,}" for name in COUNTS) +
                     f" | {seen['answered_per_second']:,.0f} | {seen['answered_ms']['p99']:.1f} | {after['resident_mib']} | {after['open_files']} | {after['threads']} |")
    lines.append("| all | " + " | ".join(f"{total[name]:,}" for name in COUNTS) + " | | | | | |")
    return "\n".join(lines), total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("program", "service_load"):
        parser.add_argument(name)
    for name in ("--dataset", "--model", "--other-model"):
        parser.add_argument(name, required=True)
    for name, default in (("--requests", 1_000_000), ("--reloads", 100), ("--changes", 10_000), ("--connections", 16), ("--workers", 2), ("--hostile", 0)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    for name in ("--progress", "--json"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    wanted = {name: round(options.scale * getattr(options, name)) for name in ("requests", "reloads", "changes")}
    wanted["changes"] -= wanted["changes"] % (2 * ROUNDS)  # a round removes what it has inserted
    progress = options.progress and options.progress.exists() and json.loads(options.progress.read_text())
    if progress and progress["wanted"] != wanted:
        raise SystemExit(f"{options.progress}: of a run of {progress['wanted']}")
    rounds, codes = (progress or {"rounds": []})["rounds"], 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as state:
        service = Service(options, state)
        try:
            options.items = json.loads(service.ask("GET", "/model"))["items"]
            options.words = {kind: words for kind, words in json.loads(service.ask("GET", "/items/0"))["codes"].items() if words}
            start = service.resources()
            while len(rounds) < ROUNDS and time.monotonic() - began < options.seconds:
                done, goals = ({name: count * part // ROUNDS for name, count in wanted.items()} for part in (len(rounds), len(rounds) + 1))
                seen = one_round(service, options, goals, done)
                rounds.append({"seen": seen, "after": service.resources()})
                if options.progress:
                    options.progress.write_text(json.dumps({"wanted": wanted, "rounds": rounds}))
        finally:
            codes = service.end()
    shown, total = table(rounds)
    print(f"at the start: {start}; exit code {codes}\n{shown}")
    if options.json:
        options.json.write_text(json.dumps({"start": start, "rounds": rounds, "total": total, "exit": codes}, indent=2))
    sys.exit(1 if codes or total["lost"] or total["wrong"] or total["failed"] else 0)


main()
