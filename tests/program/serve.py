"""The service: end points, errors, reloads, hostile clients, and its end. serve.py PROGRAM"""
import contextlib
import http.client
import json
import math
import os
import random
import socket
import threading
import time
from pathlib import Path

from features import WIDTH, write_features
from service import TOKEN, Service, serving, wait_for
from support import CODES, ITEMS, PROGRAM, check, check_done, check_one_line, main, run, write_dataset, write_model


def end_points():
    with serving("--show-users") as service:
        answer = service.recommend(history=[1, 4], k=5)
        check(len(answer["items"]) == 5 and answer["complete"] and answer["model"] == "start", answer)
        first = answer["items"][0]
        check(first["title"] == f"Thing <{first['item']}> & more" and first["text"]["rank"] >= 1, first)
        scores = [item["score"] for item in answer["items"]]
        check(scores == sorted(scores, reverse=True), scores)
        check({"encode", "search", "rank"} <= set(answer["timings_ms"]), answer["timings_ms"])
        alone = json.loads(run("recommend", "--dataset", "Tiny", "--model", "start", "--history", "1,4", "--k", 5, "--json", "-").stdout)
        check([item["item"] for item in alone["items"]] == [item["item"] for item in answer["items"]], alone, answer)
        check(len(service.recommend()["items"]) == 10, "no history is an empty one")
        check([item["item"] for item in service.recommend(allow=[7, 9], deny=[9])["items"]] == [7], "allow and deny")
        check(service.recommend(allow=[])["items"] == [], "nothing is allowed")
        check(not service.recommend(history=[1], deadline_ms=0)["complete"], "the deadline has passed before the search")
        check(set(service.recommend(history=[1], k=3, lists=True)["lists"]) == {"text", "image"}, "lists of the modalities")

        check(service.ask("GET", "/healthz") == (200, {"status": "alive"}), "alive")
        check(service.ask("GET", "/readyz") == (200, {"status": "ready"}), "ready")
        status, item = service.ask("GET", "/items/3")
        check(status == 200 and item["codes"]["text"] == ["<a_0>", "<b_3>", "<c_0>", "<d_3>"] and item["number"] == 3, item)
        status, found = service.ask("GET", "/items?query=THING%20%3C12")
        check([one["item"] for one in found["items"]] == [12], found)
        status, users = service.ask("GET", "/users")
        check(users["count"] == 61 and len(users["users"]) == 61, users["count"])
        history = json.loads(Path("Tiny/Tiny.inter.json").read_text())["5"]
        check([one["item"] for one in service.ask("GET", "/users/5")[1]["history"]] == history, "a user's history")
        status, model = service.ask("GET", "/model")
        check(model["dataset"] == "Tiny" and model["items"] == ITEMS and len(model["modalities"]) == 2, model)
        status, page = service.ask("GET", "/")
        check(status == 200 and page.startswith(b"<!doctype html>") and "Content-Security-Policy" in service.headers, service.headers)
        status, api = service.ask("GET", "/openapi.json")
        check(api["openapi"].startswith("3."), api)
        status, metrics = service.ask("GET", "/metrics")
        check(b'mql4grec_requests_total{end_point="POST /recommend",status="200"}' in metrics and b"mql4grec_items 40" in metrics, metrics)
        connection = service.connect()
        connection.request("HEAD", "/healthz")
        check(connection.getresponse().read() == b"", "HEAD has no body")
        check(service.ask("GET", "/healthz", connection=connection)[0] == 200, "the connection goes on")


def raw_ids():
    """Items have names; one of them is the number of another item."""
    Path("Tiny/Tiny.item2id").write_text("".join(f"B{i:03}\t{i}\n" if i != 7 else "9\t7\n" for i in range(ITEMS)))
    Path("pictures").mkdir()
    for name, content in (("9", b"of item 7"), ("B009", b"of item 9")):
        Path(f"pictures/{name}.png").write_bytes(content)
    with serving("--images", "pictures") as service:
        check(service.ask("GET", "/items/9")[1]["number"] == 7 and service.ask("GET", "/items/10")[1]["number"] == 10, "a raw id first")
        for item, content in (("9", b"of item 7"), ("B009", b"of item 9")):
            shown = service.recommend(allow=[item])["items"][0]
            check(shown["item"] == item and service.ask("GET", shown["picture"])[1] == content, shown)
        numbers, ids = service.recommend(history=[1, 4], k=3), service.recommend(history=["B001", "B004"], k=3)
        check(numbers["items"] == ids["items"] and numbers["items"][0]["item"].startswith("B0"), numbers, ids)
        check(service.ask("GET", "/items/B003")[1]["number"] == 3, "an item by its raw id")
        service.refuse(400, "POST", "/recommend", {"history": ["B999"]}, "'history'[0]", "B999")
        service.refuse(404, "GET", "/items/B999", None, "B999")
        service.refuse(404, "GET", "/users", None, "not shown")
        service.refuse(404, "GET", "/users/1", None, "not shown")
    # Names of more items than the dataset has: those numbers are of items that are inserted.
    with open("Tiny/Tiny.item2id", "a") as file:
        file.write(f"FOREIGN\t{ITEMS}\n")
    Path("token").write_text(TOKEN + "\n")
    admin = {"Authorization": f"Bearer {TOKEN}"}
    with serving("--admin-token-file", "token") as service:
        service.refuse(404, "GET", "/items/FOREIGN", None, "FOREIGN")
        status, added = service.ask("POST", "/items", {"item": "NEW", "title": "A new thing", "codes": WORDS}, admin)
        check(status == 200 and added["item"] == "NEW" and added["number"] == ITEMS, added)
        check([one["item"] for one in service.recommend(allow=["NEW"])["items"]] == ["NEW"], "its own name")


def wrong_requests():
    with serving("--max-body", 20000, "--max-history", 50) as service:
        for body, *names in (({"history": [ITEMS]}, "'history'[0]", str(ITEMS)), ({"history": [1, -1]}, "'history'[1]", "-1"),
                             ({"history": [1.5]}, "1.5"), ({"history": 3}, "'history'", "list"), ({"history": [[1]]}, "a list"),
                             ({"k": 0}, "'k'", "1 to"), ({"k": "10"}, "'k'"), ({"k": 10**30}, "'k'"), ({"k": 2**63}, "'k'"), ({"k": 5000}, "4096"),
                             ({"history": [1], "hystory": []}, "hystory"), ({"deadline_ms": -1}, "deadline_ms"), ({"deny": [99]}, "'deny'[0]"),
                             ({"lists": 1}, "'lists'", "true or false"), ({"k": None}, "'k'", "null"), ([], "object"), ("", "body"), ("{", "body"), ('{"k": 1} x', "body"),
                             ('{"k": 1, "k": 2}', "k"), (b'{"\xff\xfe": 1}', "body"), ('{"k": NaN}', "body"), ({"history": [1] * 51}, "50")):
            service.refuse(400, "POST", "/recommend", body, *names)
        service.refuse(400, "POST", "/recommend", "[" * 9000 + "]" * 9000)
        service.refuse(400, "POST", "/recommend", '{"a":' * 3000 + "1" + "}" * 3000)
        service.refuse(400, "GET", "/items?query=" + "e+" * 200, None, "200")
        service.refuse(400, "POST", "/recommend", {"k": 101, "explain": True}, "'k'", "100")
        for method in ("PUT", "BREW", "GETX"):
            service.refuse(405, method, "/recommend", None, "POST")
        check(b"BREW" not in service.ask("GET", "/metrics")[1], "clients invent no labels")
        service.refuse(413, "POST", "/recommend", b"x" * 20001)
        service.refuse(404, "GET", "/nothing")
        service.refuse(404, "GET", "/items/99999999999")
        service.refuse(404, "GET", "/items/..%2F..%2Fetc%2Fpasswd")
        service.refuse(404, "GET", "/pictures/1")
        service.refuse(400, "GET", "/items/%zz")
        service.refuse(400, "GET", "/items?query=%f")
        service.refuse(405, "GET", "/recommend", None, "POST")
        check(service.headers["Allow"] == "POST", service.headers)
        service.refuse(405, "DELETE", "/healthz")
        service.refuse(401, "POST", "/reload", {})
        service.refuse(401, "POST", "/reload", {}, headers={"Authorization": "Bearer "})
        check(service.recommend(history=[1])["complete"], "it still answers")
    check_one_line(run("serve", "--dataset", "Missing", "--model", "start", "--port", 0, "--log-level", "error"), 1, "Missing")
    check_one_line(run("serve", "--dataset", "Tiny", "--model", "start", "--host", "nowhere"), 1, "nowhere")
    Path("short").write_text("abc\n")
    check_one_line(run("serve", "--dataset", "Tiny", "--model", "start", "--admin-token-file", "short"), 1, "short", "16")
    check(run("serve", "--dataset", "Tiny", "--model", "start", "--port", 70000).returncode == 2, "a port")


def rules():
    """Sets of items, quotas, seen items, and the kinds of scores."""
    items = json.loads(Path("Tiny/Tiny.item.json").read_text())
    for i, item in items.items():
        item.update(brand=f"B{int(i) % 2}", categories=["All", "Rare, even"] if i == "8" else ["All"])
    Path("Tiny/Tiny.item.json").write_text(json.dumps(items))
    Path("Tiny/Tiny.sets.json").write_text(json.dumps({"sale": [1, 2, 3, 4, 5, 6], "empty": []}))
    Path("token").write_text(TOKEN + "\n")
    admin = {"Authorization": f"Bearer {TOKEN}"}
    options = ("--admin-token-file", "token", "--state", "state", "--beams", 3)
    numbers = lambda answer: [one["item"] for one in answer["items"]]
    with serving(*options) as service:
        names = ["brand:B0", "brand:B1", "category:All", "category:Rare", "category:even", "empty", "sale"]
        check(service.ask("GET", "/sets") == (200, {"sets": names, "count": 7}), service.ask("GET", "/sets"))
        check(service.ask("GET", "/sets?prefix=brand%3A")[1]["sets"] == names[:2], "by their prefix")
        check(service.ask("GET", "/sets?query=B1+BRAND") == (200, {"sets": ["brand:B1"], "count": 1}), "by words")
        service.refuse(400, "GET", "/sets?prefix=" + "x" * 301, None, "'prefix'", "300")
        check(service.ask("GET", "/items/8")[1]["sets"] == ["brand:B0", *names[2:5]], service.ask("GET", "/items/8"))
        check(numbers(service.recommend(any_of=["category:Rare"])) == [8], "one item of 40")
        check(sorted(numbers(service.recommend(any_of=["sale"], all_of=["brand:B1"]))) == [1, 3, 5], "any and all")
        check(sorted(numbers(service.recommend(any_of=["sale", "category:even"], none_of=["brand:B1"], deny=[2]))) == [4, 6, 8], "none")
        check(service.recommend(any_of=["empty"])["items"] == [] and len(service.recommend(any_of=[])["items"]) == 10, "no set and an empty one")
        check(sorted(numbers(service.recommend(history=[1, 2, 6], any_of=["sale"], exclude_seen=True))) == [3, 4, 5], "seen items")
        some = numbers(service.recommend(history=[1, 4], k=12, quotas={"brand:B0": 2}))
        check(len(some) == 12 and len([i for i in some if i % 2 == 0]) == 2, some)
        check(len(service.recommend(k=12, quotas={"brand:B0": 2, "brand:B1": 3})["items"]) == 5, "no more fit")
        for body, *words in (({"any_of": ["sail"]}, "'any_of'", "sail"), ({"all_of": [3]}, "'all_of'[0]", "name of a set"), ({"none_of": [""]}, "'none_of'[0]"),
                             ({"any_of": ["sale"] * 101}, "100"), ({"quotas": ["sale"]}, "'quotas'", "object"), ({"quotas": {"sail": 1}}, "sail"),
                             ({"quotas": {"sale": -1}}, "'quotas'.", "sale", "0 to 4096"), ({"quotas": {"sale": 1.5}}, "1.5"), ({"exclude_seen": 1}, "true or false"),
                             ({"scores": "best"}, "'scores'", "calibrated"), ({"scores": 1}, "'scores'"), ({"scores": "calibrated"}, "no calibration")):
            service.refuse(400, "POST", "/recommend", body, *words)
        for sets in ([""], ["x" * 257], [1], ["x"] * 65, "x"):
            service.refuse(400, "POST", "/items", {"codes": WORDS, "sets": sets}, "'sets'", headers=admin)
        added = service.ask("POST", "/items", {"codes": WORDS, "sets": ["sale", "new"]}, admin)[1]
        item = added["item"]
        check(added["sets"] == ["new", "sale"] == service.ask("GET", f"/items/{item}")[1]["sets"], added)
        check(numbers(service.recommend(any_of=["new"])) == [item] and item in numbers(service.recommend(any_of=["sale"])), "an inserted item")
        check(service.ask("DELETE", "/items/2", None, admin)[0] == 200 and 2 not in numbers(service.recommend(any_of=["sale"])), "a removed one")
        whole = service.recommend(any_of=["sale"], k=10, lists=True, scores="renormalized")
        check(service.recommend(any_of=["sale"], scores="renormalised")["items"] == whole["items"], "an earlier spelling")
        for kind, ranked in whole["lists"].items():
            total = sum(math.exp(one["score"]) for one in ranked)
            check(abs(total - 1) < 1e-3, kind, "adds up to", total)
        check(service.ask("GET", "/model")[1]["calibrated"] is False, "no calibration")

        # a reload reads the sets anew; what changes did to items stays
        items["8"]["brand"] = "B7"
        Path("Tiny/Tiny.item.json").write_text(json.dumps(items))
        Path("Tiny/Tiny.sets.json").write_text(json.dumps({"sale": [9, 10, 2], "fresh": [11]}))
        check(service.ask("POST", "/reload", {}, admin)[0] == 200, "other sets")

        def look():
            check(sorted(numbers(service.recommend(any_of=["sale"]))) == [9, 10, item], "another sale, without the removed item")
            check(numbers(service.recommend(any_of=["new"])) == [item] and numbers(service.recommend(any_of=["fresh"])) == [11], "new sets")
            check(service.ask("GET", "/items/8")[1]["sets"] == ["brand:B7", *names[2:5]], service.ask("GET", "/items/8"))

        look()
        check(service.recommend(any_of=["empty"])["items"] == [], "a set that is no more is empty until the next start")
        Path("Tiny/Tiny.sets.json").write_text('{"sale": [40], "fresh": []}')
        service.refuse(400, "POST", "/reload", {}, "Tiny.sets.json", "sale", "40", headers=admin)
        look()
        Path("Tiny/Tiny.sets.json").write_text(json.dumps({"sale": [9, 10, 2], "fresh": [11]}))
    check_done(run("evaluate", "--dataset", "Tiny", "--model", "start", "--beams", 3, "--calibrate"))
    with serving(*options) as service:
        look()
        service.refuse(400, "POST", "/recommend", {"any_of": ["empty"]}, "empty")
        check(service.ask("GET", "/model")[1]["calibrated"] is True, "a calibration")
        plain, shown = service.recommend(history=[1, 4], k=3), service.recommend(history=[1, 4], k=3, scores="calibrated")
        found = [one.pop("probability") for one in shown["items"]]
        check(shown["items"] == plain["items"] and "probability" not in plain["items"][0], "the same scores and order")
        check(all(0 <= p <= 1 for p in found) and found == sorted(found, reverse=True), found)
        check("probability" not in str(service.recommend(history=[1], k=3, scores="calibrated", deadline_ms=0)), "only of complete answers")
        service.refuse(400, "POST", "/recommend", {"k": 4, "scores": "calibrated"}, "'k'", "4", "at most 3")
    with serving(*options[:-1], 4) as service:
        check(service.ask("GET", "/model")[1]["calibrated"] is False, "a calibration of other lists")
        service.refuse(400, "POST", "/recommend", {"k": 3, "scores": "calibrated"}, "fitted with beams 3, expected 4")
    Path("start/calibration.json").write_text('{"scores": [0], "probabilities": [0.5]}')
    check_one_line(run("serve", "--dataset", "Tiny", "--model", "start", "--port", 0, "--log-level", "error"), 1, "calibration.json", "'beams'", "evaluate --calibrate")
    Path("start/calibration.json").unlink()
    Path("Tiny/Tiny.sets.json").write_text('{"sale": [40]}')
    check_one_line(run("serve", "--dataset", "Tiny", "--model", "start", "--port", 0, "--log-level", "error"), 1, "Tiny.sets.json", "sale", "40")
    Path("Tiny/Tiny.sets.json").unlink()


def deep_lists():
    """As deep as the default limit on bodies allows, in a member that is read."""
    with serving() as service:
        for member in ("history", "allow", "k", "other"):
            service.refuse(400, "POST", "/recommend", f'{{"{member}": ' + "[" * 500_000 + "]" * 500_000 + "}", "nested")


def hostile_clients():
    with serving("--header-ms", 2000, "--body-ms", 2000, "--idle-ms", 1000, "--max-connections", 40) as service:
        files = service.files()
        slow = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(30)]
        for connection in slow:
            connection.sendall(b"GET / HT")
        check(service.recommend(history=[1])["complete"], "slow clients hold no worker")
        for connection in slow:
            connection.settimeout(20)
            check(connection.recv(100) == b"", "a header that never ends")
        check(service.raw(b"POST /recommend HTTP/1.1\r\nContent-Length: 100\r\n\r\n{") == b"", "a body that never ends")
        check(b" 431 " in service.raw(b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n"), "large headers")
        check(b" 413 " in service.raw(b"POST /recommend HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\nabc"), "a large body")
        check(b" 400 " in service.raw(b"\x00\xff\xfe\r\n\r\n"), "not HTTP")
        check(b" 400 " in service.raw(b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), "a length below 0")
        endless = socket.create_connection(("127.0.0.1", service.port))
        endless.sendall(b"POST /recommend HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"a" * 60_000)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(200):
                endless.sendall(b"a" * 100_000)
        endless.close()
        check(int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]) * 4096 < 400 << 20, "a chunk's extension is limited")
        pipelined = b"GET /healthz HTTP/1.1\r\n\r\n" * 50
        check(service.raw(pipelined + b"GET /readyz HTTP/1.1\r\nConnection: close\r\n\r\n").count(b"200 OK") == 51, "pipelined requests")
        half = service.connect()
        half.request("POST", "/recommend", json.dumps({"history": [1]}))
        half.sock.close()  # before the answer
        many = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(60)]
        many[-1].settimeout(20)
        check(b" 503 " in many[-1].recv(100), "too many connections")
        for connection in many:
            connection.close()
        wait_for("room for connections", lambda: service.files() < files + 20)
        check(service.recommend(history=[1])["complete"], "it still answers")
        for _ in range(50):
            service.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        wait_for("file descriptors are closed", lambda: service.files() <= files + 1)
        listening = [line.split()[1] for line in Path(f"/proc/{service.process.pid}/net/tcp").read_text().splitlines()[1:]
                     if line.split()[3] == "0A" and line.split()[1].endswith(f":{service.port:04X}")]
        check(listening == [f"0100007F:{service.port:04X}"], "nothing but loopback", listening)


def reloads():
    write_model(Path("other"), seed=5)
    Path("token").write_text(TOKEN + "\n")
    admin = {"Authorization": f"Bearer {TOKEN}"}
    with serving("--admin-token-file", "token", "--log-level", "debug", "--workers", 2, "--io-threads", 2) as service:
        expected = {}
        for model in ("other", "start"):
            check(service.ask("POST", "/reload", {"model": model}, admin) == (200, {"model": model}), model)
            expected[model] = service.recommend(history=[2, 3])["items"]
        check(expected["start"] != expected["other"], "two models")
        wrong, done, stop = [], [], threading.Event()

        def client():
            connection = service.connect()
            try:
                while not stop.is_set():
                    status, answer = service.ask("POST", "/recommend", {"history": [2, 3]}, connection=connection)
                    (done if status == 200 and answer["items"] == expected[answer["model"]] else wrong).append(answer)
            except Exception as lost:
                wrong.append(repr(lost))

        threads = [threading.Thread(target=client) for _ in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(20):
            check(service.ask("POST", "/reload", {"model": ("other", "start")[turn % 2]}, admin)[0] == 200, "a reload")
        stop.set()
        for thread in threads:
            thread.join()
        check(not wrong and len(done) > 20, "no request is lost, none is wrong", len(done), wrong[:1])
        service.refuse(400, "POST", "/reload", {"model": "missing"}, "missing", headers=admin)
        service.refuse(400, "POST", "/reload", {"model": "../../etc"}, headers=admin)
        service.refuse(401, "POST", "/reload", {"model": "other"}, headers={"Authorization": f"Bearer {TOKEN}x"})
        check(service.recommend(history=[2, 3])["items"] == expected["start"], "the model stays after a failed reload")
        loaded = lambda: [line["dataset_was_read"] for line in service.lines if line["event"] == "loaded"]
        wait_for("the log, which a thread reads", lambda: len(loaded()) == 23)
        check(loaded() == [True] + [False] * 22, "the dataset is read once", loaded())
        items = Path("Tiny/Tiny.item.json")
        items.write_text(items.read_text().replace("Thing <3>", "Other <3>"))
        check(service.ask("POST", "/reload", {}, admin)[0] == 200, "with other titles")
        check(service.ask("GET", "/items/3")[1]["title"].startswith("Other"), "the dataset is read again")
        wait_for("the log of this reload", lambda: len(loaded()) == 24)
        check(loaded()[-1], "which the log says")
        index = Path("Tiny/Tiny.index_lemb.json")
        index.write_text(index.read_text().replace("<a_0>", "<a_6>", 1))
        service.refuse(400, "POST", "/reload", {}, "Tiny", "token indices have changed", "--state", headers=admin)
        check(service.ask("GET", "/items/0")[1]["codes"]["text"][0] == "<a_0>", "the old ones go on")
        write_dataset(Path("Other"), seed=5)
        check(service.ask("POST", "/reload", {"dataset": "Other"}, admin)[0] == 200, "another dataset")
        check(service.ask("GET", "/model")[1]["dataset"] == "Other" and service.ask("GET", "/items/3")[1]["title"].startswith("Thing"), "it is served")
        service.refuse(400, "POST", "/reload", {"dataset": "Missing"}, "Missing", headers=admin)
        check(service.ask("GET", "/model")[1]["dataset"] == "Other", "it stays after a failed reload")
    check(TOKEN not in json.dumps(service.lines), "no secret in the log")
    check(any(line["event"] == "request" for line in service.lines), "requests are logged")


def overload():
    with serving("--max-queued", 1, "--max-batch", 1) as service:
        statuses = []

        def client():
            connection = service.connect()
            for _ in range(20):
                status, answer = service.ask("POST", "/recommend", {"history": [1], "k": 40}, connection=connection)
                statuses.append(status)

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(set(statuses) <= {200, 503} and 200 in statuses and len(statuses) == 160, set(statuses))
        answers = []
        for turn in range(20):  # the worker may take one request after the other from the queue
            answers = service.at_once(*[("POST", "/recommend", {"history": [1], "k": 40}, {})] * 16)
            check({status for status, _ in answers} <= {200, 503}, answers)
            if 503 in [status for status, _ in answers]:
                break
        refused = [headers for (status, _), headers in zip(answers, service.headers) if status == 503]
        check(refused, "nothing was refused", answers)
        check(all(int(headers["Retry-After"]) >= 1 for headers in refused), "when to try again", refused)
        check(service.recommend(history=[1])["complete"], "it recovers")


WORDS = {"text": ["<a_7>", "<b_7>", "<c_2>", "<d_4>"], "image": [7, 7, 2, 4]}  # of no item


def changes():
    Path("token").write_text(TOKEN + "\n")
    admin = {"Authorization": f"Bearer {TOKEN}"}
    options = ("--admin-token-file", "token", "--state", "state")
    with serving(*options) as service:
        service.refuse(401, "POST", "/items", {"codes": WORDS})
        service.refuse(401, "DELETE", "/items/3")
        for body, *names in (({}, "'codes'"), ({"codes": {}}, "'codes'"), ({"codes": {"sound": [1]}}, "sound"), ({"codes": {"text": [1, 2]}}, "4 tokens"),
                             ({"codes": {"text": ["<a_7>", "<a_7>", "<c_2>", "<d_4>"]}}, "'codes'.text[1]", "<a_7>"), ({"codes": {"text": [8, 0, 0, 0]}}, "8"),
                             ({"codes": {"text": [-1, 0, 0, 0]}}, "-1"), ({"codes": WORDS, "item": ITEMS}, "'item'", str(ITEMS)),
                             ({"codes": WORDS, "item": ""}, "empty"), ({"codes": WORDS, "item": "12"}, "'item'", "number"), ({"codes": WORDS, "title": 3}, "'title'"), ({"codes": WORDS, "titel": "x"}, "titel"),
                             ({"codes": WORDS, "ti\ntel": "x"}, "ti"), ({"codes": {"so\nund": [1]}}, "modality", "so")):
            service.refuse(400, "POST", "/items", body, *names, headers=admin)
        before = service.recommend(history=[1], k=100)["items"]
        status, added = service.ask("POST", "/items", {"item": "NEW", "title": "A <new> thing", "codes": WORDS}, admin)
        check(status == 200 and added["item"] == "NEW" and added["number"] == ITEMS and added["codes"]["image"][0] == "<A_7>", added)
        check([one["item"] for one in service.recommend(history=[1], allow=["NEW"])["items"]] == ["NEW"], "recommendable from the next request on")
        check(service.recommend(history=["NEW", 1])["complete"], "in a history too")
        check(service.ask("GET", "/items?query=new")[1]["items"] == [{"item": "NEW", "title": "A <new> thing"}], "found by its title")
        check(service.ask("DELETE", "/items/3", None, admin) == (200, {"item": 3}), "removed")
        service.refuse(404, "GET", "/items/3")
        service.refuse(404, "DELETE", "/items/3", headers=admin)
        check(service.recommend(history=[1], allow=[3])["items"] == [], "gone from the next request on")
        check(service.ask("POST", "/items", {"codes": {"text": [7, 6, 1, 1]}}, admin)[1]["item"] == ITEMS + 1, "an item without a raw id")
        check(service.ask("POST", "/items", {"item": 5, "codes": {"text": [6, 6, 1, 1]}}, admin)[1]["codes"]["image"] is None, "other codes")
        after = service.recommend(history=[1], k=100)["items"]
        check(len(after) == len(before) + 1 and {"NEW", ITEMS + 1} <= {one["item"] for one in after}, len(before), len(after))
        check_one_line(run("serve", "--dataset", "Tiny", "--model", "start", "--port", 0, "--log-level", "error", *options), 1, "state", "is used by another")
        check(service.ask("POST", "/reload", {}, admin)[0] == 200, "the same again")
        check(service.recommend(history=[1], k=100)["items"] == after, "a reload keeps the changes")
    with serving(*options) as service:
        check(service.recommend(history=[1], k=100)["items"] == after, "a new process has the changes")
        check(service.ask("GET", "/items/NEW")[1]["codes"]["text"] == WORDS["text"], "and the item")
    with open("state/Tiny/items.jsonl", "a") as file:
        file.write('{"item": 50, "id": "torn')
    with serving(*options) as service:
        check(service.recommend(history=[1], k=100)["items"] == after, "a line that was never acknowledged")
    Path("state/Tiny/items.jsonl").write_text('{"item": 40}\n{"item": }\n')
    check_one_line(run("serve", "--dataset", "Tiny", "--model", "start", "--port", 0, "--log-level", "error", *options), 1, "items.jsonl", "line 2")


def a_dataset_that_grows():
    """A packed catalog keeps its log when interactions have larger numbers, but not when these are of inserted items."""
    check_done(run("prepare", "--pack-catalog", "start", "--out", "Tiny"))
    Path("token").write_text(TOKEN + "\n")
    admin = {"Authorization": f"Bearer {TOKEN}"}
    options = ("--admin-token-file", "token", "--state", "state")
    with serving(*options) as service:
        check(service.ask("POST", "/items", {"item": "NEW", "codes": WORDS}, admin)[1]["number"] == ITEMS, "the next number")
    path = Path("Tiny/Tiny.inter.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"grown": [1, ITEMS]}))
    start = lambda: run("serve", "--dataset", "Tiny", "--model", "start", "--port", 0, "--log-level", "error", *options)
    check_one_line(start(), 1, "Tiny", f"number {ITEMS} was given to 'NEW'", "--state")
    Path("Tiny/Tiny.item2id").write_text("".join(f"B{i:03}\t{i}\n" for i in range(ITEMS)) + f"NEW\t{ITEMS}\n")
    with serving(*options) as service:
        check(service.ask("GET", "/items/NEW")[1]["codes"]["text"] == WORDS["text"], "it has become an item of the dataset")


def changes_together():
    """Changes that arrive at the same time share synchronizations of the logs; each is made as if it were alone."""
    Path("token").write_text(TOKEN + "\n")
    admin = {"Authorization": f"Bearer {TOKEN}"}
    options = ("--admin-token-file", "token", "--state", "state")
    Path("Tiny/Tiny.sets.json").write_text(json.dumps({f"set {i}": [] for i in range(65530)}))
    insert = lambda item, number, **more: ("POST", "/items", {"item": item, "title": f"title {number}", "codes": {"text": [number % 8, number // 8 % 8, 0, 0]}} | more, admin)
    counter = lambda name: next(float(line.split()[1]) for line in service.ask("GET", "/metrics")[1].decode().splitlines() if line.startswith(name + " "))
    service = Service(*options)
    try:
        for turn in range(20):  # the first request may be made before the second one is read
            answers = service.at_once(*[insert(f"T{turn}-{i}", i) for i in range(16)])
            check([status for status, _ in answers] == [200] * 16, answers)
            if counter("mql4grec_change_batches") < counter("mql4grec_changes"):
                break
        check(counter("mql4grec_changes") == 16 * (turn + 1) > counter("mql4grec_change_batches"), "changes never share a synchronization")
        check(sorted(item["number"] for _, item in answers) == list(range(ITEMS + 16 * turn, ITEMS + 16 * turn + 16)), answers)
        answers = service.at_once(*[insert("SAME", i) for i in range(12)])
        check(len({item["number"] for _, item in answers}) == 1, "one item", answers)
        shown = service.ask("GET", "/items/SAME")[1]
        check(shown in [item for _, item in answers], shown, answers)
        names = [str(i) for i in range(65)]
        answers = service.at_once(insert("GOOD", 1), ("POST", "/items", {"item": ITEMS + 10**6, "codes": WORDS}, admin), ("DELETE", "/items/3", None, admin),
                                  ("POST", "/items", {"codes": WORDS, "sets": names}, admin), insert("FINE", 2), ("DELETE", "/items/3", None, admin))
        check(sorted(status for status, _ in answers) == [200, 200, 200, 400, 400, 404], "a wrong one spoils no other", answers)
        most = [str(i) for i in range(60)]  # more sets than there may be, with those of the file
        answers = service.at_once(insert("FIRST", 1), insert("MANY", 2, sets=most), insert("LAST", 3, sets=["new"]))
        check([status for status, _ in answers] == [200, 500, 200], "nor does one that doesn't fit", answers)
        answers = service.at_once(*[("DELETE", "/items/SAME", None, admin)] * 6)
        check(sorted(status for status, _ in answers) == [200] + [404] * 5, "it is removed once", answers)
        service.process.kill()
        service.process.wait()
        service.reader.join()
        service = Service(*options)
        for item in [f"T{t}-{i}" for t in range(turn + 1) for i in range(16)] + ["GOOD", "FINE", "FIRST", "LAST"]:
            check(service.ask("GET", f"/items/{item}")[1].get("title"), "lost", item)
        service.refuse(404, "GET", "/items/SAME")
        service.end()
    finally:
        service.process.kill()


def inserted_by_features():
    """The words of an item that is inserted are those that `translate --model` gives it."""
    twin = []  # the features of item 8, whose sequence is taken
    write_features("F.npy", change=lambda values: twin.extend(values[8]))
    Path("token").write_text(TOKEN + "\n")
    admin = {"Authorization": f"Bearer {TOKEN}"}
    train = ["--modality", "text", "--quantizer", "residual-kmeans", "--codes", CODES, "--threads", 1]
    check_done(run("translate", "--embeddings", "F.npy", "--out-model", "translator", "--out-index", "Tiny/Tiny.index_lemb.json", *train))
    with serving("--admin-token-file", "token", "--translators", "translator") as service:
        service.refuse(400, "POST", "/items", {"text": twin[1:]}, "'text'", str(WIDTH), headers=admin)
        service.refuse(400, "POST", "/items", {"text": twin[1:] + ["x"]}, "'text'", '"x"', headers=admin)
        service.refuse(400, "POST", "/items", {"text": twin + [1]}, "'text'", str(WIDTH), headers=admin)
        service.refuse(400, "POST", "/items", {"text": twin, "codes": WORDS}, "'codes'", headers=admin)
        found = [answer["codes"]["text"] for _, answer in service.at_once(*[("POST", "/items", {"text": twin}, admin)] * 3)]
        check(service.ask("GET", "/items/8")[1]["codes"]["text"] not in found and len(set(map(tuple, found))) == 3, found)
        for item in ("AGAIN", ITEMS):  # a change that is sent twice does no harm
            words = [service.ask("POST", "/items", {"item": item, "text": twin}, admin)[1]["codes"]["text"] for _ in range(3)]
            check(words[0] == words[1] == words[2], item, words)
    translator = Path("translator/translator.json")  # of a modality that the model lacks
    text = translator.read_text()
    translator.write_text(text.replace('"text"', '"modality4"'))
    with serving("--admin-token-file", "token", "--translators", "translator") as service:
        service.refuse(400, "POST", "/items", {"modality4": twin}, "'modality4'", "no tokens of this modality", headers=admin)
    translator.write_text(text)
    write_features("G.npy", rows=ITEMS + 3, twins=[(ITEMS + i, 8) for i in range(3)])
    check_done(run("translate", "--embeddings", "G.npy", "--modality", "text", "--model", "translator", "--out-index", "Tiny/Tiny.index_lemb.json", "--threads", 1))
    index = json.loads(Path("Tiny/Tiny.index_lemb.json").read_text())
    check(sorted(found) == sorted(index[str(ITEMS + i)] for i in range(3)), found, [index[str(ITEMS + i)] for i in range(3)])


def killed():
    """Every item that was acknowledged is there after a kill at a random moment. MQL4GREC_KILLS: how often."""
    Path("token").write_text(TOKEN + "\n")
    admin = {"Authorization": f"Bearer {TOKEN}"}
    chance = random.Random(7)
    acknowledged, refused = {}, []
    for kill in range(int(os.environ.get("MQL4GREC_KILLS", 5))):
        service = Service("--admin-token-file", "token", "--state", "state")
        for item, words in acknowledged.items():
            status, found = service.ask("GET", f"/items/{item}")
            check(status == 200 and found["codes"]["text"] == words and found["title"] == f"title of {item}", "kill", kill, "lost", item, found)

        def insert(thread):
            connection = service.connect()
            for number in range(10**6):
                item, codes = f"K{kill}-{thread}-{number}", [chance.randrange(CODES) for _ in range(4)]
                try:
                    status, found = service.ask("POST", "/items", {"item": item, "title": f"title of {item}", "codes": {"text": codes}}, admin, connection)
                except (OSError, http.client.HTTPException):
                    return
                if status != 200:
                    return refused.append((status, found))
                acknowledged[item] = found["codes"]["text"]

        threads = [threading.Thread(target=insert, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.05, 0.4))
        service.process.kill()
        service.process.wait()
        for thread in threads:
            thread.join()
        service.reader.join()
    check(not refused, refused)
    check(len(acknowledged) > 20, "too few insertions to see anything", len(acknowledged))
    print(kill + 1, "kills,", len(acknowledged), "insertions were acknowledged")


def reasons():
    with serving() as service:
        answer = service.recommend(history=[1, 4, 7], k=3, explain=True, trace=True)
        for item in answer["items"]:
            check(sorted(one["position"] for one in item["because"]) == [0, 1, 2], item)
            drops = [one["drop"] for one in item["because"]]
            check(drops == sorted(drops, reverse=True) and all(0 <= one["shared_words"] <= 4 for one in item["because"]), item)
        check(answer["reasons_complete"] and answer["trace_complete"], answer)
        late = service.recommend(history=[1, 4, 7], k=3, explain=True, trace=True, deadline_ms=0)
        check(not late["complete"] and late["items"] == [] and not late["reasons_complete"] and not late["trace_complete"], late)
        for ms in (2, 5, 10, 20, 40):  # whenever it ends, it has reasons of the newest items
            late = service.recommend(history=[1, 4, 7], k=3, explain=True, deadline_ms=ms)
            for item in late["items"]:
                check({one["position"] for one in item.get("because", [])} in ({0, 1, 2}, {1, 2}, {2}, set()), late)
                check(not late["reasons_complete"] or len(item["because"]) == 3, late)
        check(service.recommend(history=[1, 4, 7], k=3, explain=True, deadline_ms=60000)["reasons_complete"], "in time")
        for kind, steps in answer["trace"].items():
            check([len(step[0]["words"]) for step in steps] == [1, 2, 3, 4], kind, steps)
            for one, next_one in zip(steps, steps[1:]):
                check({tuple(beam["words"][:-1]) for beam in next_one} <= {tuple(beam["words"]) for beam in one}, "beams extend beams")


def its_end():
    with serving(ready=False) as service:
        check(service.ask("GET", "/healthz")[0] == 200, "alive before it is ready")
    with serving("--grace-ms", 500, "--header-ms", 60000, "--idle-ms", 60000) as service:
        files = service.files()
        idle = socket.create_connection(("127.0.0.1", service.port))
        slow = socket.create_connection(("127.0.0.1", service.port))
        slow.sendall(b"GET / HT")
        wait_for("the connections are accepted", lambda: service.files() >= files + 2)
        began = time.time()
    check(time.time() - began < 20, "an idle connection does not delay the end")
    check(idle.recv(10) == b"", "it is closed")
    check([line["event"] for line in service.lines][-2:] == ["stopping", "stopped"], service.lines[-2:])


def not_built():
    return "this program was built without Boost, prometheus-cpp or spdlog"


main([not_built] if "was built without" in run("serve").stderr else [end_points, raw_ids, wrong_requests, deep_lists, hostile_clients, reloads,
      rules, changes, a_dataset_that_grows, changes_together, inserted_by_features, killed, reasons, overload, its_end])
