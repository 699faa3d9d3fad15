"""Two services behind nginx: balancing, changes that one makes and the other follows, restarts. replicas.py PROGRAM"""
import contextlib
import http.client
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from service import TOKEN, Service, wait_for
from support import CODES, check, check_one_line, main, run

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
CONFIGURATION = Path(__file__).resolve().parents[2] / "packaging" / "nginx.conf"
SETTLED = 2.5  # seconds after which nginx tries a replica again that was down; see fail_timeout
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


def free_ports(count):
    """Ports that no connection of others gets by itself, since services are stopped and started again on them."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = []
    while len(ports) < count:
        port = random.randrange(min(10000, first // 2), first)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports += [port] if port not in ports else []
    return ports


class Replicas(contextlib.ExitStack):
    """Starts services, none of which is left."""

    def start(self, port, *options):
        Path("token").write_text(TOKEN)
        service = Service("--admin-token-file", "token", "--state", "state", "--grace-ms", 5000, *options, port=port)
        self.callback(service.kill)
        return service


@contextlib.contextmanager
def nginx(port, replicas):
    """The configuration that is shipped, on free ports."""
    text = CONFIGURATION.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    for shipped, mine in zip((8081, 8082), replicas):
        text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{mine}")
    here = Path("nginx").resolve()
    here.mkdir()
    temporary = " ".join(f"{name}_temp_path {here}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (here / "nginx.conf").write_text(f"daemon off; master_process off; pid {here}/pid; error_log {here}/errors; events {{}}\n"
                                     f"http {{ access_log off; {temporary}\n{text}}}\n")
    process = subprocess.Popen([NGINX, "-p", here, "-c", here / "nginx.conf", "-e", here / "errors"])
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            check(process.poll() is None, "nginx has ended")
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


def ask(port, method, path, body=None, headers={}):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    content = response.read()
    return response.status, json.loads(content) if response.getheader("Content-Type") == "application/json" else content


def recommendations(service):
    """How many a replica has answered."""
    lines = service.ask("GET", "/metrics")[1].decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith('mql4grec_requests_total{end_point="POST /recommend"'))


def insert(port, item, codes):
    status, found = ask(port, "POST", "/items", {"item": item, "title": f"title of {item}", "codes": {"text": codes}}, ADMIN)
    check(status == 200, status, found)
    return found


class Clients:
    """Threads that ask for recommendations until they are stopped, and what they were answered."""

    def __init__(self, port, count=4):
        self.stopping, self.answered, self.longest, self.failed = False, 0, 0, []
        self.threads = [threading.Thread(target=self.work, args=(port,), daemon=True) for _ in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *failure):
        self.stopping = True
        for thread in self.threads:
            thread.join(timeout=30)

    def work(self, port):
        connection, history = http.client.HTTPConnection("127.0.0.1", port, timeout=20), 0
        while not self.stopping:
            history, began = (history + 7) % 40, time.time()
            try:
                connection.request("POST", "/recommend", json.dumps({"history": [history], "k": 3}))
                response = connection.getresponse()
                content = response.read()
                if response.status != 200:
                    self.failed.append((response.status, content))
            except (OSError, http.client.HTTPException) as fault:
                self.failed.append(fault)
                connection.close()
            self.answered += 1
            self.longest = max(self.longest, time.time() - began)

    def end(self):
        self.__exit__()
        check(not self.failed, len(self.failed), "of", self.answered, "requests were lost:", self.failed[:3])
        return self.answered


def two_replicas():
    front, first, second = free_ports(3)
    with Replicas() as replicas, nginx(front, (first, second)):
        writer, follower = replicas.start(first), replicas.start(second, "--follow")
        for number in range(60):
            status, answer = ask(front, "POST", "/recommend", {"history": [number % 40], "k": 3})
            check(status == 200 and len(answer["items"]) == 3, status, answer)
        check(min(recommendations(writer), recommendations(follower)) >= 15, "not balanced", recommendations(writer), recommendations(follower))
        check(ask(front, "GET", "/metrics")[0] == 403 and ask(front, "POST", "/reload", {}, ADMIN)[0] == 403, "those of one replica")

        # Changes go to the first replica, whichever port they come from, and the other one follows.
        insert(front, "B1", [1, 2, 0, 3])
        wait_for("the follower has the item", lambda: follower.ask("GET", "/items/B1")[0] == 200)
        check(follower.ask("GET", "/items/B1") == writer.ask("GET", "/items/B1"), "the same item")
        check(follower.recommend(allow=["B1"])["items"][0]["title"] == "title of B1", "it is recommended")
        status, refused = follower.ask("POST", "/items", {"item": "B2", "codes": {"text": [1, 1, 1, 1]}}, ADMIN)
        check(status == 403 and "follows" in refused["error"], status, refused)
        check(follower.ask("DELETE", "/items/B1", headers=ADMIN)[0] == 403, "nor does it remove")
        check([one.ask("GET", "/model")[1]["can_change"] for one in (writer, follower)] == [True, False], "who makes changes")
        check(ask(front, "DELETE", "/items/B1", None, ADMIN)[0] == 200, "removed")
        wait_for("the follower has removed it", lambda: follower.ask("GET", "/items/B1")[0] == 404)

        # One replica after the other is restarted, and the follower killed once: no request is lost.
        with Clients(front) as clients:
            time.sleep(0.5)
            follower.end()
            insert(front, "B3", [2, 2, 2, 2])
            follower = replicas.start(second, "--follow")
            check(follower.ask("GET", "/items/B3")[0] == 200, "a follower that starts has all changes")
            time.sleep(SETTLED)
            writer.end()
            check(ask(front, "POST", "/items", {"item": "B4", "codes": {"text": [0, 0, 0, 0]}}, ADMIN)[0] in (502, 504), "no changes meanwhile")
            writer = replicas.start(first)
            check(writer.ask("GET", "/items/B3")[0] == 200, "what was acknowledged is there")
            time.sleep(SETTLED)
            follower.kill()
            follower = replicas.start(second, "--follow")
            check(clients.end() > 100, "too few requests to see anything", clients.answered)
        insert(front, "B5", [3, 1, 2, 0])
        wait_for("the new follower follows the new writer", lambda: follower.ask("GET", "/items/B5")[0] == 200)

        # A replica that doesn't answer, though it accepts connections: its requests are repeated on the other one.
        time.sleep(SETTLED)
        with Clients(front, count=12) as clients:
            time.sleep(0.2)
            follower.process.send_signal(signal.SIGSTOP)
            time.sleep(10)
            follower.process.send_signal(signal.SIGCONT)
            clients.end()
            check(4 < clients.longest < 9.5, "requests wait too long for the stopped replica, or none does:", clients.longest)
        follower.end()
        writer.end()


def followers_share_a_packed_catalog():
    check(run("prepare", "--pack-catalog", "start", "--out", "Tiny").returncode == 0, "packed")
    first, second = free_ports(2)
    with Replicas() as replicas:
        writer, follower = replicas.start(first), replicas.start(second, "--follow")
        for service in (writer, follower):
            check(next(line for line in service.lines if line["event"] == "loaded")["catalog_is_mapped"], service.lines)
        for number in range(20):
            insert(first, f"B{number}", [number % CODES, 1, 2, 3])
        wait_for("the follower has the last item", lambda: follower.ask("GET", "/items/B19")[0] == 200)
        one, two = (service.recommend(history=[1, 4], k=30) for service in (writer, follower))
        check([item["item"] for item in one["items"]] == [item["item"] for item in two["items"]], one, two)
        follower.end()
        writer.end()


def what_is_wrong_is_one_line():
    check_one_line(run("serve", "--dataset", "Tiny", "--model", "start", "--follow"), 2, "--follow", "--state")


def no_nginx():
    return "nginx isn't installed"


if "was built without" in run("serve").stderr:
    sys.exit(print("SKIPPED: this program was built without Boost, prometheus-cpp or spdlog"))
main([two_replicas if NGINX else no_nginx, followers_share_a_packed_catalog, what_is_wrong_is_one_line])
