"""The demo learns something worth showing: it beats popularity by far, and leaves its report. demo.py PROGRAM"""
import json
from pathlib import Path

from support import check, check_done, main, run


def what_is_learnt_is_plain_to_see():
    printed = check_done(run("demo", "--out", "demo", "--json", "demo.json"))
    result = json.loads(Path("demo.json").read_text())
    ours, popular = result["ensemble"], result["popularity"]
    check(ours["hit@10"] > 5 * popular["hit@10"] and ours["ndcg@10"] > 5 * popular["ndcg@10"], ours, popular)
    for name, times in (("text", 5), ("image", 3)):  # the encoders are random: words survive them better than shapes
        check(result[name]["hit@10"] > times * popular["hit@10"], name, result[name], popular)
    check("times as often" in printed.stdout and "next interaction" in printed.stdout, printed.stdout)
    page = Path(result["report"]).read_text()
    check(page.startswith("<!") and "What the tokens mean" in page and page.count("url(data:image/png;base64,") > 50, result["report"])
    check("&amp; " not in json.dumps(json.loads(Path("demo/Kitchen/Kitchen.item.json").read_text())), "entities in the titles")


main([what_is_learnt_is_plain_to_see])
