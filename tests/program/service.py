"""A running service, for the tests of it."""
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time

from support import PROGRAM, check

TOKEN = "a-token-of-the-administrator"


def wait_for(what, holds, seconds=20):
    """Looks again and again whether something holds, which other threads and processes bring about."""
    end = time.monotonic() + seconds
    while not holds():
        check(time.monotonic() < end, "never:", what)
        time.sleep(0.02)


class Service:
    """A running service. Its log is kept; every line of it is JSON."""

    def __init__(self, *options, dataset="Tiny", model="start", ready=True, port=0):
        self.process = subprocess.Popen([PROGRAM, "serve", "--dataset", dataset, "--model", model, "--port", str(port), *map(str, options)],
                                        stderr=subprocess.PIPE, text=True)
        self.lines, self.port = [], None
        self.reader = threading.Thread(target=self.read, daemon=True)
        try:
            for line in self.process.stderr:
                self.lines.append(json.loads(line))
                self.port = self.lines[-1].get("port", self.port)
                if self.lines[-1]["event"] == ("ready" if ready else "listening"):
                    break
            else:
                check(False, "it did not start:", self.lines)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.reader.start()

    def read(self):
        self.lines.extend(json.loads(line) for line in self.process.stderr)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(self, method, path, body=None, headers={}, connection=None):
        """Status and content; bodies that aren't texts are sent as JSON."""
        connection = connection or self.connect()
        connection.request(method, path, body if body is None or isinstance(body, (str, bytes)) else json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
        self.headers = dict(response.getheaders())
        return response.status, json.loads(content) if response.getheader("Content-Type") == "application/json" else content

    def recommend(self, **body):
        status, answer = self.ask("POST", "/recommend", body)
        check(status == 200, status, answer)
        return answer

    def refuse(self, status, method, path, body=None, *names, headers={}):
        found, content = self.ask(method, path, body, headers)
        check(found == status, method, path, body, "was answered", found, content)
        check(list(content) == ["error"] and "\n" not in content["error"], content)
        for name in names:
            check(name in content["error"], f"expected '{name}' in", content)

    def at_once(self, *requests):
        """The answers to (method, path, body, headers), which the service finds all there when it goes on; `headers` is then a list."""
        connections = [self.connect() for _ in requests]
        for connection in connections:
            connection.connect()
        time.sleep(0.05)
        self.process.send_signal(signal.SIGSTOP)
        for connection, (method, path, body, headers) in zip(connections, requests):
            connection.request(method, path, body and json.dumps(body), headers)
        self.process.send_signal(signal.SIGCONT)
        answers = [connection.getresponse() for connection in connections]
        self.headers = [dict(answer.getheaders()) for answer in answers]
        return [(answer.status, json.loads(answer.read())) for answer in answers]

    def files(self):
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def raw(self, data, wait=20):
        """What is sent back until the connection is closed."""
        out = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
            with contextlib.suppress(ConnectionResetError):
                while more := connection.recv(1 << 16):
                    out += more
        return out

    def end(self, code=0):
        self.process.send_signal(signal.SIGTERM)
        check(self.process.wait(timeout=30) == code, "exit code", self.process.returncode)
        self.reader.join(timeout=30)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(timeout=30)


@contextlib.contextmanager
def serving(*options, **where):
    service = Service(*options, **where)
    try:
        yield service
        check(service.process.poll() is None, "the service has ended:", service.lines)
        service.end()
    finally:
        service.kill()
