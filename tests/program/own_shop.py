"""docs/howto-own-shop.md: its commands run one after the other, on a small sample in the formats of Amazon 2018. own_shop.py PROGRAM"""
import gzip
import json
import random
import re
import shlex
from pathlib import Path

from encoders import png, write_image_encoder, write_text_encoder
from support import check, check_done, main, run

GUIDE = Path(__file__).parents[2] / "docs" / "howto-own-shop.md"
SHORTER = {"--epochs 500": "--epochs 100", "--epochs 30": "--epochs 1 --max-seconds 20"}  # the sample is small, and so is the patience
COLORS, THINGS = ["red", "green", "blue", "black", "white", "brown", "grey", "pink"], ["chair", "table", "lamp", "shelf", "bed"]


def write_shop(articles=300, customers=350, seed=5):
    """Ratings, metadata with entities and mark-up, and pictures; some articles lack a text or a picture."""
    chance = random.Random(seed)
    shop = Path("shop")
    (shop / "pictures").mkdir(parents=True)
    ids = [f"B{chance.randrange(10 ** 9):09}" for _ in range(articles)]
    lines = []
    for customer in range(customers):
        article = chance.randrange(articles)
        for step in range(chance.randint(6, 9)):
            lines.append((1400000000 + 1000 * step + customer, f"{ids[article]},A{customer:013},5.0,"))
            article = (article * 7 + 1 + chance.randrange(3)) % articles
    lines.sort()
    (shop / "ratings.csv").write_text("".join(f"{text}{time}\n" for time, text in lines))
    metadata = []
    for number, article in enumerate(ids):
        color, thing = COLORS[number % 8], THINGS[number // 8 % 5]
        if number % 29:
            metadata.append({"asin": article, "title": f"{color} {thing} &amp; <b>cover</b> no {number}", "description": [f"a {thing} made of {color} wood"] if number % 7 else []})
        if number % 31:
            shade = [40 * (number % 8 >> bit & 1) + 20 * bit + number // 2 for bit in range(3)]
            (shop / "pictures" / f"{article}.png").write_bytes(png(20, 16, lambda x, y: [(value + 5 * x * (y % 3)) % 256 for value in shade]))
    (shop / "meta.json.gz").write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in metadata).encode()))


def every_command_of_the_guide_runs():
    write_shop()
    write_text_encoder(Path("encoders/text"), [*COLORS, *THINGS, *"a made of wood cover no & . ,".split(), *map(str, range(300))])
    write_image_encoder(Path("encoders/image"))
    Path("data").mkdir()
    commands = [line for block in re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.M | re.S) for line in block.splitlines()]
    check(len(commands) == 8, "commands", commands)
    for command in commands:
        for long, short in SHORTER.items():
            command = command.replace(long, short)
        program, *arguments = shlex.split(command)
        check(program == "mql4grec", command)
        done = run(*arguments)
        if arguments[0] == "prepare" and "was built without" in done.stderr:
            return "this build reads no raw files"
        if "was built without" in done.stderr:
            return done.stderr
        check_done(done)
        print(" ", command.split(" --")[0], done.stdout.splitlines()[0] if done.stdout else "", flush=True)
    items = json.loads(Path("data/Shop/Shop.item.json").read_text())
    titles = [item["title"] for item in items.values()]
    check(any("& cover no" in title for title in titles) and not any("<b>" in title for title in titles), titles[:3])
    page = Path("report.html").read_text()
    check("What the tokens mean" in page and "url(data:image/png;base64," in page and "First tokens of image" in page, "the report lacks tokens or pictures")
    recommended = [line for line in done.stdout.splitlines() if line.strip()]
    check(len(recommended) >= 5, done.stdout)


main([every_command_of_the_guide_runs])
