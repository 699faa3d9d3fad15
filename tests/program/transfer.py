"""From other datasets to one's own: few users, replay, tokens of domains, layer-wise rates. transfer.py PROGRAM"""
import json
from pathlib import Path

from support import check, check_done, check_one_line, files_of, main, run, training, write_dataset


def result_of(**options):
    return json.loads(check_done(run(*training(json="-", **options))).stdout)


def some_users():
    write_dataset(Path("Small"), users=11)
    everything = result_of(out="all", tasks="next")
    users = len(json.loads(Path("Tiny/Tiny.inter.json").read_text()))
    first = result_of(out="first", tasks="next", train_users=20)
    check(first["examples"] < everything["examples"] / 2, first, everything)
    check(result_of(out="none-left", tasks="next", train_users=users)["examples"] == everything["examples"], "all users are all users")
    share = dict(tasks="next", train_users="25%", resume=True)
    one, two = result_of(out="one", seed=1, **share), result_of(out="two", seed=2, **share)
    check(one["valid_loss"] != two["valid_loss"], "the seed chooses the users")
    check_one_line(run(*training(out="one", seed=1, tasks="next", train_users="26%", resume=True)), 1, "training_users", "0.25")
    evaluated = json.loads(check_done(run("evaluate", "--dataset", "Tiny", "--model", "first", "--json", "-")).stdout)
    check(evaluated["users"] == users, evaluated)
    for wrong in ("0", "0%", "101%", "many", "5%%", "-3"):
        check(run(*training(out="wrong", train_users=wrong)).returncode == 2, wrong)


def short_epochs():
    whole = result_of(out="whole", tasks="next", epochs=2)
    short = result_of(out="short", tasks="next", epochs=2, epoch_updates=3)
    check(short["steps"] == 6 < whole["steps"] and short["epochs"] == 2, short, whole)
    check_one_line(run(*training(out="short", tasks="next", epochs=2, epoch_updates=2, resume=True)), 1, "epoch_updates = 3")
    check(run(*training(out="wrong", epoch_updates=-1)).returncode == 2, "less than none")


def replay():
    write_dataset(Path("Games"), seed=3)
    alone = result_of(out="alone")
    check(result_of(out="with", replay="Games,Tiny", replay_share=0.5)["examples"] == alone["examples"] * 3 / 2, "half as many are replayed")
    check(result_of(out="fifth", replay="Games")["examples"] > alone["examples"], "the default is a fifth")
    check(run(*training(out="wrong", replay_share=0.5)).returncode == 2, "a share of nothing")
    check_one_line(run(*training(out="lost", replay="Missing")), 1, "Missing")


def domains():
    for name, seed in (("Games", 3), ("Arts", 4)):
        write_dataset(Path(name), seed=seed)
    pretraining = dict(command="pretrain", dataset=None, init=None, datasets="Games,Arts", epochs=1)
    check_done(run(*training(out="pre", domain_prefixes=3, **pretraining)))
    check(json.loads(Path("pre/mql4grec.json").read_text())["domains"] == ["Games", "Arts"], "the datasets are the domains")
    check_done(run(*training(init="pre", replay="Games", max_seconds=0.01)))
    check_done(run(*training(init="pre", replay="Games", resume=True)))
    check(json.loads(Path("out/mql4grec.json").read_text())["domains"] == ["Games", "Arts", "Tiny"], "a new one is added")
    known = check_done(run("evaluate", "--dataset", "Tiny", "--model", "out"))
    check("domains" not in known.stderr, known.stderr)
    unknown = check_done(run("evaluate", "--dataset", "Tiny", "--model", "pre"))
    check("Tiny: is none of the model's domains (Games, Arts)" in unknown.stderr, unknown.stderr)
    check_done(run("recommend", "--dataset", "Tiny", "--model", "out", "--history", "1,2"))
    write_dataset(Path("Music"))
    check_one_line(run(*training(out="more", dataset="Music", init="out")), 1, "3 tokens for domains", "Music")
    check_done(run(*training(out="plain", **pretraining)))
    check("domains" not in json.loads(Path("plain/mql4grec.json").read_text()), "no domains by default")


def layer_rates():
    check_done(run(*training(out="plain")))
    check_done(run(*training(out="same", layer_decay=1)))
    check_done(run(*training(out="slow", layer_decay=0.5)))
    plain, same, slow = (files_of(out)["model.safetensors"] for out in ("plain", "same", "slow"))
    check(plain == same != slow, "a decay of 1 changes nothing")
    check_done(run(*training(layer_decay=0.5, optimizer="muon", max_seconds=0.01)))
    check_one_line(run(*training(layer_decay=0.6, optimizer="muon", resume=True)), 1, "layer_decay = 0.5")
    check_done(run(*training(layer_decay=0.5, optimizer="muon", resume=True)))
    for wrong in (0, 1.5, -1):
        check(run(*training(out="wrong", layer_decay=wrong)).returncode == 2, wrong)


def gradient_surgery():
    write_dataset(Path("Games"), seed=3)
    models = set()
    for out, surgery in (("plain", None), ("none", "none"), ("tasks", "tasks"), ("datasets", "datasets")):
        check_done(run(*training(out=out, gradient_surgery=surgery, replay="Games")))
        models.add(files_of(out)["model.safetensors"])
    check(len(models) == 3, "surgery between tasks and datasets are two other runs")
    check_one_line(run(*training(out="tasks", gradient_surgery="datasets", replay="Games", resume=True)), 1, "surgery", "tasks")
    check(run(*training(out="wrong", gradient_surgery="users")).returncode == 2, "an unknown group")


main([some_users, short_epochs, replay, domains, layer_rates, gradient_surgery])
