"""The page of the service in a headless Chromium: what a person does, and what is shown. page.py PROGRAM"""
import importlib.util
import os
import shutil
import sys

if not importlib.util.find_spec("selenium") and sys.executable != "/usr/bin/python3" and os.path.exists("/usr/bin/python3"):
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])  # the system's Python, which has Debian's packages

import json
import subprocess
import time
from pathlib import Path

from support import ITEMS, PROGRAM, check, main, run

README = Path(__file__).resolve().parents[2] / "README.md"
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc000000301010018dd8db00000000049454e44ae426082")


class Page:
    """A service and a browser that shows its page."""

    def __init__(self, *options, where=("--dataset", "Tiny", "--model", "start", "--show-users")):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        self.process = subprocess.Popen([PROGRAM, "serve", *where, "--port", "0", *options],
                                        stderr=subprocess.PIPE, text=True)
        self.browser = None
        try:
            self.show(webdriver, Service)
        except BaseException:
            self.close()
            raise

    def show(self, webdriver, Service):
        for line in self.process.stderr:
            event = json.loads(line)
            if event["event"] == "ready":
                break
        else:
            check(False, "the service has ended")
        self.address = f"http://127.0.0.1:{event['port']}/"
        chosen = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            chosen.add_argument(argument)
        chosen.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.browser = webdriver.Chrome(options=chosen, service=Service(shutil.which("chromedriver")))
        self.browser.set_window_size(1300, 1000)
        self.browser.get(self.address)
        self.wait(lambda: self.status().endswith("items"))

    def wait(self, holds, seconds=30):
        """Waits until something holds. An element that is replaced while it is looked at is looked for again."""
        from selenium.common.exceptions import StaleElementReferenceException

        def does():
            try:
                return holds()
            except StaleElementReferenceException:
                return False

        end = time.time() + seconds
        while not does():
            check(time.time() < end, "waited in vain; the status is", self.status())
            time.sleep(0.05)

    def choose(self, selector, beginning):
        """Chooses an entry of a list. Typed letter by letter, a busy machine would take the second word for another choice."""
        self.wait(lambda: any(one.text.startswith(beginning) and (one.click() or one.is_selected()) for one in self.find(selector + " option")))

    def find(self, selector):
        return self.browser.find_elements("css selector", selector)

    def texts(self, selector):
        """The texts of all elements, at one moment."""
        return self.browser.execute_script("return [...document.querySelectorAll(arguments[0])].map(one => one.textContent)", selector)

    def status(self):
        return self.texts("#status")[0]

    def titles(self, part):
        return self.texts(f"{part} .title")

    def press(self, label, part="body"):
        """Presses the button with this label for screen readers, by the keyboard."""
        self.wait(lambda: [one.send_keys("\n") for one in [self.button(label, part)] if one])

    def button(self, label, part):
        return self.browser.execute_script("""
            return [...document.querySelectorAll(arguments[1] + " button")].find(one => (one.getAttribute("aria-label") || one.textContent) === arguments[0])""",
            label, part)

    def fused(self):
        return self.titles("#lists > div:first-child")

    def errors(self):
        return [entry for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]

    def close(self):
        try:
            if self.browser:
                self.browser.quit()
            self.process.terminate()
            self.process.wait(timeout=20)
        finally:
            self.process.kill()
            self.process.wait()


def a_person_uses_it():
    Path("pictures").mkdir()
    for item in range(ITEMS):
        Path(f"pictures/{item}.png").write_bytes(PIXEL)
    items = json.loads(Path("Tiny/Tiny.item.json").read_text())
    items["7"]["title"] = "<script>document.title = 'taken over'</script><img src=x onerror=alert(1)>"
    for i, item in items.items():
        item.update(brand=f"B{int(i) % 2}", categories="<i>All</i>")
    Path("Tiny/Tiny.item.json").write_text(json.dumps(items))
    page = Page("--images", "pictures")
    try:
        check("40 items of Tiny" in page.texts("#model")[0], page.texts("#model"))
        check(page.titles("#history") == [] and len(page.fused()) == 10, "an empty history is answered")

        # the history of a user
        page.choose("#user", "user 3")
        history = json.loads(Path("Tiny/Tiny.inter.json").read_text())["3"]
        page.wait(lambda: page.titles("#history") == [items[str(item)]["title"] for item in history])
        page.wait(lambda: page.status() == "10 items")
        check(len(page.find("#lists > div")) == 3, "together, by text, by image")
        page.wait(lambda: len(page.find("#history .words .text")) == len(history))
        check(page.texts("#history .words .text")[0].startswith("<a_"), "the words of an item")
        page.wait(lambda: all(int(one.get_attribute("naturalWidth")) == 1 for one in page.find("#history img")))
        check(any("because of" in one for one in page.texts("#lists .soft")), "why an item is there")

        # rules
        first = page.fused()[0]
        page.press(f"Never: {first}", "#lists > div:first-child")
        page.wait(lambda: first not in page.fused() and len(page.fused()) == 10)
        page.press(f"✕ {first}".replace("✕ ", "✕ ") + f": {first}", "#deny")
        page.wait(lambda: page.fused()[0] == first)
        second = page.fused()[1]
        page.press(f"Only: {second}", "#lists > div:first-child")
        page.wait(lambda: page.fused() == [second])
        page.press(f"✕ {second}: {second}", "#allow")
        page.wait(lambda: len(page.fused()) == 10)

        # rules of sets: by a whole name, by its words, and a name that isn't one
        def add_rule(words, rule, most=None):
            page.find("#set")[0].send_keys(words)
            page.choose("#set-rule", rule)
            if most is not None:
                page.find("#quota")[0].clear()
                page.find("#quota")[0].send_keys(str(most))
            page.press("Add the rule")
            page.wait(lambda: page.status() == "10 items" or most == 0)

        sets = lambda: [text.split(" · ") for text in page.texts("#lists > div:first-child .sets")]
        page.wait(lambda: [len(one) for one in sets()] == [2] * 10)
        check(all(one[1] == "category:<i>All</i>" for one in sets()), "the sets of an item", sets())
        add_rule("brand:B0", "only items of")
        page.wait(lambda: [one[0] for one in sets()] == ["brand:B0"] * 10)
        check(page.texts("#set-rules button") == ["✕ only brand:B0"], page.texts("#set-rules"))
        page.press("Remove the rule: only brand:B0", "#set-rules")
        add_rule("b1", "at most", 3)
        page.wait(lambda: [one[0] for one in sets()].count("brand:B1") == 3 and len(sets()) == 10)
        page.press("Remove the rule: at most 3 of brand:B1", "#set-rules")
        add_rule("brand:B1", "no items")
        page.wait(lambda: {one[0] for one in sets()} == {"brand:B0"})
        page.find("#set")[0].send_keys("brand")
        page.wait(lambda: len(page.find("#set-names option")) == 2)
        page.press("Add the rule")
        page.wait(lambda: "choose one" in page.status())
        page.find("#set")[0].clear()
        page.press("Remove the rule: none of brand:B1", "#set-rules")
        page.wait(lambda: page.texts("#set-rules") == ["no rule"])
        page.find("#seen")[0].send_keys(" ")
        page.wait(lambda: page.status() == "10 items" and not set(page.titles("#history")) & set(page.fused()))

        # a history by titles; a title is never markup
        page.press("Empty the history")
        page.wait(lambda: page.titles("#history") == [])
        page.find("#query")[0].send_keys("script")
        page.wait(lambda: page.find("#found button"))
        page.press("Add to history: " + items["7"]["title"], "#found")
        page.wait(lambda: page.titles("#history") == [items["7"]["title"]])
        check(page.browser.title == "mql4grec" and not page.find("#history script, #history img[src=x]"), "a title was parsed as HTML")
        page.press("Remove: " + items["7"]["title"], "#history")
        page.wait(lambda: page.titles("#history") == [])

        # the search, word by word
        page.wait(lambda: len(page.find("#trees table")) == 2)
        widths = []
        for level in range(1, 5):
            page.browser.execute_script("const level = document.getElementById('level'); level.value = arguments[0]; level.dispatchEvent(new Event('input'))", level)
            widths.append(len(page.find("#trees table:first-of-type tr:first-child td")) / len(page.find("#trees table")) - 1)
        check(widths == [1, 2, 3, 4], "a word more in each step", widths)

        # nothing but the service is asked, and nothing fails
        hosts = {json.loads(entry["message"])["message"]["params"].get("request", {}).get("url", page.address)[:len(page.address)]
                 for entry in page.browser.get_log("performance") if "Network.requestWillBeSent" in entry["message"]}
        check(hosts <= {page.address, "data:,"}, "it asks elsewhere", hosts)
        check(not page.errors(), page.errors())

        # a narrow screen
        page.browser.set_window_size(380, 900)
        check(page.browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"), "nothing is wider than the screen")
    finally:
        page.close()


def an_administrator_changes_the_catalog():
    Path("token").write_text("a-token-of-the-administrator\n")
    page = Page("--admin-token-file", "token")
    try:
        check(not page.find("#lists button[aria-label^='Remove from catalog']"), "nothing can be removed without a token")
        page.find("#token")[0].send_keys("wrong, and long enough\t")
        first = page.fused()[0]
        page.press(f"Remove from catalog: {first}", "#lists > div:first-child")
        page.wait(lambda: "token" in page.status())
        page.find("#token")[0].clear()
        page.find("#token")[0].send_keys("a-token-of-the-administrator\t")
        page.press(f"Remove from catalog: {first}", "#lists > div:first-child")
        page.wait(lambda: first not in page.fused() and page.status() == "10 items")
        page.find("#new-title")[0].send_keys("A kettle & more <b>")
        page.find("#words-text")[0].send_keys("<a_7><b_7><c_2>")
        page.press("Insert")
        page.wait(lambda: "4 tokens" in page.status())
        page.find("#words-text")[0].send_keys("<d_4>")
        page.press("Insert")
        page.wait(lambda: page.status() == "10 items")
        page.find("#query")[0].send_keys("kettle")
        page.wait(lambda: page.find("#found button"))
        page.press("Add to history: A kettle & more <b>", "#found")
        page.wait(lambda: page.titles("#history") == ["A kettle & more <b>"])
        page.wait(lambda: page.texts("#history .words .text") == ["<a_7><b_7><c_2><d_4>"])
        expected = [entry for entry in page.errors() if " 401 " not in entry["message"] and " 400 " not in entry["message"]]
        check(not expected, expected)
    finally:
        page.close()


def everything_has_a_name():
    """What a screen reader needs: each control has a label, headings are in order, the language is stated."""
    page = Page()
    try:
        unnamed = page.browser.execute_script("""
            return [...document.querySelectorAll("button, input, select")].filter(one =>
              !one.getAttribute("aria-label") && !one.textContent.trim() && !(one.labels && one.labels.length)).map(one => one.outerHTML)""")
        check(not unnamed, unnamed)
        levels = page.browser.execute_script("return [...document.querySelectorAll('h1, h2, h3')].map(one => Number(one.tagName[1]))")
        check(levels[0] == 1 and all(after <= before + 1 for before, after in zip(levels, levels[1:])), levels)
        check(page.browser.execute_script("return document.documentElement.lang") == "en", "the language")
        check(page.find("#status")[0].get_attribute("aria-live") == "polite", "changes are announced")
    finally:
        page.close()


def the_readme():
    """The demo, then the README's command: a stranger sees it work."""
    text = README.read_text()
    command = text[text.index("build/release/examples/mql4grec serve"):]
    words = command[:command.index("```")].replace("\\\n", " ").split()
    done = run("demo", "--out", "build/demo", "--quiet")
    check(done.returncode == 0, done.stderr)
    page = Page(where=words[2:])
    try:
        page.choose("#user", "user 2")
        page.wait(lambda: len(page.find("#history img")) > 3 and page.status() == "10 items")
        check(len(page.fused()) == 10 and not page.errors(), page.errors())
    finally:
        page.close()


def not_possible():
    return "no selenium, chromium or chromedriver (Debian: python3-selenium, chromium, chromium-driver), or a program without serve"


possible = importlib.util.find_spec("selenium") and shutil.which("chromedriver") and "was built without" not in run("serve").stderr
main([a_person_uses_it, an_administrator_changes_the_catalog, everything_has_a_name, the_readme] if possible else [not_possible])
