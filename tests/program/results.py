"""What the commands write: JSON keys, files for the released code's scripts, reports. results.py PROGRAM"""
import json
import os
from html.parser import HTMLParser
from pathlib import Path

from support import ITEMS, check, check_done, check_one_line, files_of, main, run, training, write_dataset

METRICS = ["hit@1", "hit@5", "hit@10", "ndcg@5", "ndcg@10"]
LISTS = ["text", "image", "ensemble", "item_text", "item_image", "item_ensemble"]
EVALUATION = ["dataset", "split", "users", "beams", *LISTS, "seconds", "users_per_second"]
TRAINING = ["epochs", "steps", "examples", "seconds", "examples_per_second", "train_loss", "valid_loss", "best_epoch"]
EVALUATE = ["evaluate", "--dataset", "Tiny", "--model", "start"]


def check_evaluation(result):
    check(list(result) == EVALUATION, list(result))
    for name in LISTS:
        check(list(result[name]) == METRICS and all(0 <= value <= 1 for value in result[name].values()), name, result[name])


def evaluation_as_json():
    to_file = check_done(run(*EVALUATE, "--json", "result.json"))
    result = json.loads(Path("result.json").read_text())
    check_evaluation(result)
    check((result["dataset"], result["split"], result["users"], result["beams"]) == ("Tiny", "test", 61, 20), result)
    check("HR@10" in to_file.stdout and "ensemble" in to_file.stdout, to_file.stdout)
    evaluated = json.loads(check_done(run(*EVALUATE, "--json", "-", "--users", 7, "--split", "valid", "--beams", 5, "--normalize", "trie", "--quiet")).stdout)
    check_evaluation(evaluated)
    check((evaluated["split"], evaluated["users"], evaluated["beams"]) == ("valid", 7, 5), evaluated)


def baselines_are_rows_beside_the_model():
    done = check_done(run(*EVALUATE, "--baselines", "popularity,markov", "--json", "result.json"))
    result = json.loads(Path("result.json").read_text())
    check(list(result) == [*EVALUATION, "baselines"] and list(result["baselines"]) == ["popularity", "markov"], result)
    popular, markov = result["baselines"].values()
    check(list(popular) == METRICS and markov["hit@10"] > 2 * popular["hit@10"], "the next item follows from the last one", result)
    check([line.split()[0] for line in done.stdout.splitlines()[-2:]] == ["popularity", "markov"], done.stdout)
    learn_with = lambda *more: run(*EVALUATE, "--baselines", "sasrec", "--baseline-dir", "odd", *more)
    learn = lambda *more: check_done(run(*EVALUATE, "--baselines", "sasrec", "--baseline-dir", "here", "--json", "sasrec.json", *more))
    check("SASRec epoch" in learn().stderr, "progress")
    learnt = json.loads(Path("sasrec.json").read_text())["baselines"]["sasrec"]
    check(list(learnt) == METRICS and learnt["hit@10"] > popular["hit@10"], learnt, popular)
    check(Path("here/sasrec-Tiny/training.safetensors").exists(), files_of("here").keys())
    check("SASRec epoch" not in learn().stderr and json.loads(Path("sasrec.json").read_text())["baselines"]["sasrec"] == learnt, "a finished training is used")
    narrow = check_done(run(*EVALUATE, "--baselines", "sasrec", "--baseline-dir", "narrow", "--sasrec-width", "8", "--sasrec-epochs", "1", "--json", "narrow.json"))
    check(narrow.stderr.count("SASRec epoch") == 1 and Path("narrow.json").read_text() != Path("sasrec.json").read_text(), narrow.stderr)
    check_one_line(learn_with("--sasrec-width", "9"), 1, "width of 9")
    check(run(*EVALUATE, "--sasrec-width", "8").returncode == 2, "an option of a baseline that isn't asked for")
    check(run(*EVALUATE, "--baselines", "popularity,luck").returncode == 2, "an unknown baseline")


def intervals_over_users():
    done = check_done(run(*EVALUATE, "--intervals", "--json", "result.json"))
    result = json.loads(Path("result.json").read_text())
    check(list(result) == [*EVALUATION, "intervals"], list(result))
    for name, (low, high) in result["intervals"]["item_ensemble"].items():
        check(0 <= low <= result["item_ensemble"][name] <= high <= 1, name, result)
    check("95 % intervals" in done.stdout, done.stdout)


def calibration_is_fitted_and_checked():
    done = check_done(run(*EVALUATE, "--calibrate", "--json", "result.json"))
    result = json.loads(Path("result.json").read_text())
    check(list(result) == [*EVALUATION, "calibration"], list(result))
    made = result["calibration"]
    check(made["outcomes"] >= 20 * 61 and "expected calibration error" in done.stdout, made, done.stdout)
    for measured in made["model"], made["calibrated"]:
        check(sum(one["count"] for one in measured["bins"]) >= 20 * 61 and 0 <= measured["expected_error"] <= 1, measured)
    kept = json.loads(Path("start/calibration.json").read_text())
    check(kept["scores"] == sorted(kept["scores"]) and kept["probabilities"] == sorted(kept["probabilities"]) and 0 <= kept["probabilities"][0], kept)
    made_with = {"beams": 20, "length_penalty": 1, "normalize": "vocabulary", "score_eos": True, "fusion": "average_plus_one", "modalities": ["text", "image"],
                 "max_history": 20, "fill_in": False}
    check({name: value for name, value in kept.items() if name not in ("scores", "probabilities")} == made_with, kept)
    check(run(*EVALUATE, "--calibrate", "--split", "valid").returncode == 2, "nothing is left to check it on")
    Path("start/calibration.json").unlink()
    Path("start/calibration.json").mkdir()
    check_one_line(run(*EVALUATE, "--calibrate"), 1, "calibration.json", "is a directory")  # before the work


def a_name_that_is_not_utf8_loses_no_result():
    write_dataset(Path("T\udce9ny"))
    done = check_done(run(*["T\udce9ny" if word == "Tiny" else word for word in EVALUATE], "--json", "result.json", errors="replace"))
    check(done.stdout != "" and json.loads(Path("result.json").read_text())["dataset"] == "T\ufffdny", "another name")


def reasons_of_a_recommendation():
    recommend = ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "3,8,3", "--k", 4]
    plain = json.loads(check_done(run(*recommend, "--json", "-", "--quiet")).stdout)
    explained = json.loads(check_done(run(*recommend, "--json", "-", "--quiet", "--explain")).stdout)
    for one, same in zip(explained["items"], plain["items"], strict=True):
        because = one.pop("because")
        check(one == same, one, same)
        check(sorted((reason["position"], reason["item"]) for reason in because) == [(0, 3), (1, 8), (2, 3)], because)
        drops = [reason["drop"] for reason in because]
        check(drops == sorted(drops, reverse=True), because)
        for reason in because:
            check(set(reason["shared_codes"]) == {"text", "image"} and all(0 <= n <= 4 for n in reason["shared_codes"].values()), reason)
    check("because of" in check_done(run(*recommend, "--explain")).stdout, "text")


def searches_as_the_released_code_saves_them():
    check_done(run(*EVALUATE, "--save", "saved/here", "--beams", 10))
    histories = json.loads(Path("Tiny/Tiny.inter.json").read_text())
    for name, suffix in (("seqrec", "lemb"), ("seqimage", "vitemb")):
        saved = json.loads(Path(f"saved/here/save_{name}_10.json").read_text())
        index = json.loads(Path(f"Tiny/Tiny.index_{suffix}.json").read_text())
        users = len(histories)
        check(list(saved) == ["all_outputs", "all_scores", "all_targets", "all_users"], list(saved))
        check([len(saved[key]) for key in saved] == [10 * users, 10 * users, users, users], [len(saved[key]) for key in saved])
        known = {"".join(tokens) for tokens in index.values()}
        check(set(saved["all_outputs"]) <= known, "unknown sequences")
        check(saved["all_users"] == list(range(users)), saved["all_users"])
        check(saved["all_targets"] == ["".join(index[str(items[-1])]) for items in histories.values()], "targets")
        for user in range(users):
            scores = saved["all_scores"][10 * user : 10 * user + 10]
            check(scores == sorted(scores, reverse=True), "best first", scores)


def trainings_as_json():
    for command in (training(), training("pretrain", dataset=None, init=None, datasets="Tiny,Tiny", batch_size=512, epochs=1, max_seconds=1)):
        done = check_done(run(*command, "--json", "-"))
        result = json.loads(done.stdout)
        check(list(result) == TRAINING, list(result))
        Path("out").rename(command[0])
    check_done(run(*training(out="again", init="pretrain", max_seconds=0.001), "--json", "again.json"))
    result = json.loads(Path("again.json").read_text())
    check(result["epochs"] == 0 and result["valid_loss"] is None, result)
    check(json.loads(Path("pretrain/mql4grec.json").read_text())["tasks"] == "next", "tasks of pretraining")
    both, one = training(max_seconds=0.001, out="x"), training(max_seconds=0.001, out="y", tasks="next")
    check(both[0] == one[0] == "finetune" and check_done(run(*one)).returncode == 0, "tasks next")
    check(json.loads(Path("y/mql4grec.json").read_text())["tasks"] == "next", "the card names the tasks")
    some = training(max_seconds=0.001, out="z", tasks="next-text,align-text-image")
    check_done(run(*some))
    check(json.loads(Path("z/mql4grec.json").read_text())["tasks"] == "next-text,align-text-image", "a list of tasks")
    check(run(*training(max_seconds=0.001, out="none", tasks="next-text,other")).returncode == 2, "an unknown task")


def settings_of(directory):
    """The conditions of a run, as its state names them."""
    content = Path(directory, "training.safetensors").read_bytes()
    return json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["conditions"])


def recipes_are_defaults_that_options_override():
    def started(out, **options):
        check_done(run(*training(out=out, max_seconds=0.001, **({"epochs": None, "batch_size": None} | options))))
        settings = settings_of(out)
        return settings["epochs"], settings["batch_size"], settings["learning_rate"], "muon" in settings, settings["dropout"]

    for out, options, expected in (("none", {}, (200, 1024, 5e-4, False, 0.1)), ("paper", {"recipe": "paper"}, (200, 1024, 5e-4, False, 0.1)),
                                   ("fast", {"recipe": "fast"}, (20, 256, 2e-3, True, 0.1)), ("muon", {"optimizer": "muon"}, (200, 1024, 5e-4, True, 0.1)),
                                   ("small", {"recipe": "small"}, (30, 64, 4e-3, True, 0)), ("new", {"recipe": "small", "init": None, "dropout": 0.2}, (30, 64, 4e-3, True, 0.2)),
                                   ("other", {"recipe": "fast", "epochs": 3, "batch_size": 32, "lr": 1e-3, "optimizer": "adamw"}, (3, 32, 1e-3, False, 0.1))):
        found = started(out, **options)
        check(found == expected, out, found, "expected", expected)
    widths = [json.loads(Path(out, "config.json").read_text())["d_model"] for out in ("small", "new", "start")]
    check(widths[0] == widths[2] and widths[1] == 32, "a model of --init keeps its size", widths)
    started("small", recipe="small", init=None, resume=True)  # so does the run that began with it
    check(run(*training(out="x", recipe="slow")).returncode == 2, "an unknown recipe")


def models_have_the_size_and_the_dropout_that_were_asked_for():
    check_done(run(*training(init=None, model_size="half", dropout=0, epochs=1)))
    config = json.loads(Path("out/config.json").read_text())
    check((config["d_model"], config["d_ff"], config["num_heads"], config["num_layers"]) == (64, 512, 3, 4), config)
    check(settings_of("out")["dropout"] == 0, settings_of("out"))
    check_one_line(run(*training(init=None, model_size="quarter", dropout=0, epochs=1, resume=True)), 1, "out/config.json", "--model-size quarter")
    check_one_line(run(*training(out="x", model_size="half")), 1, "start/config.json", "expected those of --model-size half: 64, 512, 3 and 4 + 4")
    check_done(run(*training(init="out", out="next", model_size="half", epochs=1)))
    check_one_line(run(*training(out="x", init=None, dropout=1)), 1, "dropout_rate is 1")


def a_fast_recipe_learns():
    result = json.loads(check_done(run(*training(recipe="fast", epochs=8, batch_size=16), "--json", "-")).stdout)
    first = json.loads(check_done(run(*training(out="one", recipe="fast", epochs=1, batch_size=16), "--json", "-")).stdout)
    check(result["valid_loss"] < first["valid_loss"], result, first)


def searches_with_weights_in_8_bits():
    exact = json.loads(check_done(run(*EVALUATE, "--json", "-")).stdout)
    rounded = json.loads(check_done(run(*EVALUATE, "--json", "-", "--precision", "int8")).stdout)
    check_evaluation(rounded)
    check(abs(exact["ensemble"]["hit@10"] - rounded["ensemble"]["hit@10"]) < 0.1, exact["ensemble"], rounded["ensemble"])
    recommend = ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "12,7,9", "--k", 20, "--json", "-"]
    best, close = ([item["item"] for item in json.loads(check_done(run(*recommend, *more)).stdout)["items"]] for more in ([], ["--precision", "int8"]))
    check(len(set(best) & set(close)) >= 15, best, close)
    refused = run(*training(out="x"), "--precision", "int8")
    check(refused.returncode != 0 and refused.stderr.count("\n") == 1 and "int8" in refused.stderr, "a training needs more bits:", refused.stderr)
    without = check_done(run(*recommend, "--precision", "int8", env={**os.environ, "MQL4GREC_MAX_INSTRUCTION_SET": "baseline"}))
    check("warning" in without.stderr and "int8" in without.stderr, without.stderr)


def recommendations():
    recommend = lambda *more: json.loads(check_done(run("recommend", "--dataset", "Tiny", "--model", "start", "--json", "-", *more)).stdout)
    answer = recommend("--history", "12,7,9", "--k", 5)
    check(answer["history"] == [12, 7, 9] and [item["rank"] for item in answer["items"]] == [1, 2, 3, 4, 5], answer)
    best = [item["item"] for item in answer["items"]]
    check(all(entry["title"] == f"Thing <{entry['item']}> & more" for entry in answer["items"]), answer)
    Path("deny").write_text("\n".join(map(str, best)) + "\n")
    Path("allow").write_text(json.dumps([0, 1, 2, 12345]))
    denied = [item["item"] for item in recommend("--history", "12,7,9", "--k", ITEMS, "--deny", "deny")["items"]]
    check(sorted(denied) == sorted(set(range(ITEMS)) - set(best)), "all but the denied", denied)
    check(sorted(item["item"] for item in recommend("--history", "12,7,9", "--allow", "allow")["items"]) == [0, 1, 2], "only the allowed")
    check(len(recommend("--history", "")["items"]) == 10, "an empty history has an answer")
    unknown = run("recommend", "--dataset", "Tiny", "--model", "start", "--history", "12,7,9,4000", "--k", 5)
    check(unknown.returncode == 0 and unknown.stderr.count("\n") == 1 and "warning" in unknown.stderr, unknown.stderr)
    check([int(line.split()[1]) for line in unknown.stdout.splitlines()[1:]] == best, unknown.stdout, best)


def rules_of_a_recommendation():
    """Named sets, quotas, seen items, kinds of scores."""
    described = json.loads(Path("Tiny/Tiny.item.json").read_text())
    for i, item in described.items():
        item["brand"] = f"B, {int(i) % 2}"
    Path("Tiny/Tiny.item.json").write_text(json.dumps(described))
    Path("Tiny/Tiny.sets.json").write_text(json.dumps({"sale": [1, 2, 3, 4, 5, 6], "a=b": [7, 8]}))
    command = ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "1,2,6"]
    recommend = lambda *more: json.loads(check_done(run(*command, "--json", "-", *more)).stdout)
    items = lambda *more: sorted(item["item"] for item in recommend(*more)["items"])
    check(items("--any-of", "sale", "--all-of", "brand:B, 1") == [1, 3, 5], "a set of the file and a brand with a comma in its name")
    check(items("--any-of", "sale", "--any-of", "a=b", "--none-of", "brand:B, 1") == [2, 4, 6, 8], "two sets")
    check(items("--any-of", "sale", "--exclude-seen") == [3, 4, 5], "seen items")
    some = items("--k", 10, "--quota", "sale=2", "--quota", "a=b=0")
    check(len(some) == 10 and len([i for i in some if i < 7 and i > 0]) <= 2 and not {7, 8} & set(some), some)
    for option in ("--any-of", "--all-of", "--none-of"):
        check_one_line(run(*command, option, "sail"), 1, option, "'sail'", "Tiny")
    check_one_line(run(*command, "--quota", "sail=1"), 1, "--quota", "'sail'")
    for wrong in ("sale", "sale=", "sale=x", "sale=-1", "=3", "sale=1.5"):
        check_one_line(run(*command, "--quota", wrong), 2, "--quota", f"'{wrong}'", "NAME=N")
    check_one_line(run(*command, "--scores", "best"), 2, "--scores", "calibrated")
    check_one_line(run(*command, "--scores", "calibrated"), 1, "calibration.json", "evaluate --calibrate")
    raw = recommend("--k", 5)
    check_done(run(*EVALUATE, "--calibrate", "--users", 61))
    calibrated = recommend("--k", 5, "--scores", "calibrated")
    found = [item.pop("probability") for item in calibrated["items"]]
    check(calibrated == raw and found == sorted(found, reverse=True) and all(0 <= p <= 1 for p in found), calibrated, raw)
    check("probability" in check_done(run(*command, "--scores", "calibrated")).stdout.splitlines()[0], "text")
    check_one_line(run(*command, "--scores", "calibrated", "--k", 21), 2, "--k", "21", "at most --beams 20")
    for other, fault in (("--beams", 21), "beams 20, expected 21"), (("--fill-in",), "fill_in false, expected true"):
        check_one_line(run(*command, "--scores", "calibrated", *other), 1, "calibration.json", f"fitted with {fault}", "evaluate --calibrate")
    check_done(run(*EVALUATE, "--calibrate", "--users", 30, "--beams", 21))
    check(all("probability" in item for item in recommend("--k", 21, "--beams", 21, "--scores", "calibrated")["items"]), "more beams")
    kept = json.loads(Path("start/calibration.json").read_text())
    Path("start/calibration.json").write_text(json.dumps({name: kept[name] for name in ("scores", "probabilities")}))
    check_one_line(run(*command, "--scores", "calibrated"), 1, "calibration.json", "'beams' is missing", "mql4grec evaluate --calibrate")
    check([item["score"] for item in recommend("--k", 5, "--scores", "renormalized")["items"]] != [item["score"] for item in raw["items"]], "renormalized")
    Path("Tiny/Tiny.sets.json").write_text(json.dumps({"sale": [ITEMS]}))
    check_one_line(run(*command, "--any-of", "sale"), 1, "Tiny.sets.json", str(ITEMS))


def warnings_come_once():
    histories = json.loads(Path("Tiny/Tiny.inter.json").read_text())
    Path("Tiny/Tiny.inter.json").write_text(json.dumps(histories | {"short": [1], "shorter": []}))
    index = json.loads(Path("Tiny/Tiny.index_lemb.json").read_text())
    Path("Tiny/Tiny.index_lemb.json").write_text(json.dumps({str(i): index[str(i - i % 2)] for i in range(ITEMS)}))
    for command in (training(), EVALUATE):
        done = check_done(run(*command))
        warnings = [line for line in done.stderr.splitlines() if "warning" in line]
        check(len(warnings) == 2 and "2 of 63 users" in warnings[0] and "20 items" in warnings[1], done.stderr)
        check(("item ensemble" in done.stdout) == (command is EVALUATE), done.stdout)
    check(check_done(run(*EVALUATE, "--quiet")).stderr == "", "--quiet")


def a_model_that_would_be_asked_otherwise_than_it_has_learnt_is_named():
    for tasks, warned in (("next", False), ("all", False), ("released", True)):
        done = check_done(run(*training(out=tasks, tasks=tasks, max_seconds=0.001)))
        warnings = [line for line in done.stderr.splitlines() if "warning" in line]
        check(len(warnings) == warned, done.stderr)
    check("start" in warnings[0] and "<*_0><*_1><*_2>" in warnings[0] and "tasks all" in warnings[0] and "--tasks released uses no prompts" in warnings[0], warnings)
    check_done(run("pretrain", "--datasets", "Tiny", "--tasks", "released-next", "--out", "source", "--max-seconds", 0.001))
    done = check_done(run(*training(init="source", out="fine", tasks="released", max_seconds=0.001)))
    check("warning" not in done.stderr, done.stderr)


class page(HTMLParser):
    """Every tag that is opened, and the ones that would fetch something."""
    def __init__(self, text):
        super().__init__()
        self.tags, self.fetched = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href", "xlink:href")]


def reports_stand_alone():
    check_done(run(*training(), "--report", "training.html"))
    check_done(run("evaluate", "--dataset", "Tiny", "--model", "out", "--report", "evaluation.html"))
    for name, charts in (("training.html", 1), ("evaluation.html", 2)):
        text = Path(name).read_text()
        found = page(text)
        check(found.tags.count("svg") == charts and "script" not in found.tags and not found.fetched and "url(" not in text.replace("url(data:image/", ""), name, found.tags)
    check("thing" not in found.tags and "Thing &lt;" in text and "&amp; more" in text, "titles are escaped")


main([evaluation_as_json, baselines_are_rows_beside_the_model, intervals_over_users, calibration_is_fitted_and_checked, a_name_that_is_not_utf8_loses_no_result,
      reasons_of_a_recommendation, searches_as_the_released_code_saves_them, trainings_as_json,
      recipes_are_defaults_that_options_override, models_have_the_size_and_the_dropout_that_were_asked_for, a_fast_recipe_learns, searches_with_weights_in_8_bits, recommendations,
      rules_of_a_recommendation, warnings_come_once, a_model_that_would_be_asked_otherwise_than_it_has_learnt_is_named, reports_stand_alone])
