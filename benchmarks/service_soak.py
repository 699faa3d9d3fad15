#!/usr/bin/env python3
"""A long run of the service: requests from many connections while models are reloaded and items inserted and removed.

    benchmarks/service_soak.py PROGRAM SERVICE_LOAD --dataset D --model A --other-model B [--requests 1000000]
        [--reloads 100] [--changes 10000] [--connections 16]

Every answer is compared with one that service_load computes itself. Prints one JSON object: what service_load saw, the memory and
the open files of the service at the beginning, while it ran and at the end. Exit 1 if an answer was lost or wrong."""
import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TOKEN = "a-token-of-the-administrator"


class Admin:
    """Reloads and changes, on one connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method, path, body=None):
        self.connection.request(method, path, None if body is None else json.dumps(body), {"Authorization": f"Bearer {TOKEN}"})
        response = self.connection.getresponse()
        content = json.loads(response.read())
        if response.status != 200:
            raise SystemExit(f"{method} {path}: {response.status} {content}")
        return content


def pages_and_files(pid):
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    return {"resident_mib": round(resident / 2**20, 1), "open_files": len(os.listdir(f"/proc/{pid}/fd"))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("program", "service_load"):
        parser.add_argument(name)
    for name in ("--dataset", "--model", "--other-model"):
        parser.add_argument(name, required=True)
    for name, default in (("--requests", 1_000_000), ("--reloads", 100), ("--changes", 10_000), ("--connections", 16), ("--workers", 2)):
        parser.add_argument(name, type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        token = Path(folder, "token")
        token.write_text(TOKEN + "\n")
        service = subprocess.Popen([options.program, "serve", "--dataset", options.dataset, "--model", options.model, "--port", "0", "--workers",
                                    str(options.workers), "--max-batch", "16", "--admin-token-file", token, "--state", Path(folder, "state")],
                                   stderr=subprocess.PIPE, text=True)
        for line in service.stderr:
            event = json.loads(line)
            if event["event"] == "ready":
                break
        threading.Thread(target=lambda: [None for _ in service.stderr], daemon=True).start()
        port = event["port"]
        admin = Admin(port)
        items = admin.ask("GET", "/model")["items"]
        words = {kind: list for kind, list in admin.ask("GET", "/items/0")["codes"].items() if list}
        seen = [pages_and_files(service.pid)]
        load = subprocess.Popen([options.service_load, "--port", str(port), "--items", str(items), "--dataset", options.dataset, "--model", options.model,
                                 "--other-model", options.other_model, "--allow-all", "1", "--requests", str(options.requests), "--connections",
                                 str(options.connections)], stdout=subprocess.PIPE, text=True)
        answered = lambda: sum(int(float(line.split()[-1])) for line in metrics(port).splitlines()
                               if line.startswith('mql4grec_requests_total{end_point="POST /recommend"'))
        reloads = changes = 0
        while load.poll() is None:
            share = answered() / options.requests
            while reloads < share * options.reloads:
                admin.ask("POST", "/reload", {"model": (options.other_model, options.model)[reloads % 2]})
                reloads += 1
                if reloads % max(1, options.reloads // 10) == 0:
                    seen.append(pages_and_files(service.pid))
            while changes < share * options.changes:
                item = f"S{changes // 2}"
                if changes % 2 == 0:
                    admin.ask("POST", "/items", {"item": item, "title": item, "codes": words})
                else:
                    admin.ask("DELETE", f"/items/{item}")
                changes += 1
            time.sleep(0.05)
        result = json.loads(load.stdout.read())
        seen.append(pages_and_files(service.pid))
        service.terminate()
        code = service.wait(timeout=60)
        print(json.dumps({"load": result, "reloads": reloads, "changes": changes, "service": seen, "exit": code}, indent=2))
        sys.exit(1 if load.returncode or code else 0)


def metrics(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


main()
