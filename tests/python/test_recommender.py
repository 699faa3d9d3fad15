"""Recommender: answers, arrays, errors, threads."""
import concurrent.futures
import json
import shutil
import signal
import threading
import time

import numpy as np
import pytest

import mql4grec


def test_the_next_item_of_the_circle_is_first(shop):
    items, scores = shop.recommend([4, 5, 6, 7], k=5)
    assert items[0] == 8 and items.dtype == np.int32 and len(items) == 5
    assert scores.dtype == np.float64 and (np.diff(scores) <= 0).all()


def test_every_kind_of_history_is_read(shop):
    expected = shop.recommend([4, 5], k=3).items.tolist()
    for history in (np.array([4, 5]), np.array([4, 5], np.int32), np.array([4, 99, 5, 99], np.int64)[::2], (4, 5), range(4, 6), np.uint8([4, 5])):
        assert shop.recommend(history, k=3).items.tolist() == expected
    assert len(shop.recommend([], k=3).items) == 3
    assert len(shop.recommend(np.empty(0), k=3).items) == 3


def test_filters(shop):
    best = shop.recommend([4, 5], k=3).items
    assert not set(best) & set(shop.recommend([4, 5], k=3, deny=best).items)
    assert set(shop.recommend([4, 5], k=10, allow=[30, 9]).items.tolist()) == {9, 30}
    assert len(shop.recommend([4, 5], k=10, allow=[]).items) == 0


def test_rules(model, ring, tmp_path):
    directory = tmp_path / "Ring"
    shutil.copytree(ring.directory, directory)
    (directory / "Ring.sets.json").write_text(json.dumps({"low": list(range(10)), "even": [0], "named": ["i30"]}))
    shop = mql4grec.Recommender.load(model, directory, sets={"even": np.arange(0, 40, 2), "none": []})
    best = lambda **rules: sorted(shop.recommend([4, 5, 6, 7], k=40, **rules).items.tolist())
    assert best(any_of=["named"]) == [30] and best(any_of=["none"]) == [] and len(best(any_of=[])) == 40
    assert best(any_of=["low"], all_of=["even"]) == [0, 2, 4, 6, 8] and best(all_of=("low",), none_of={"even"}, deny=[1]) == [3, 5, 7, 9]
    assert best(any_of=["low"], exclude_seen=True) == [0, 1, 2, 3, 8, 9]
    some = best(any_of=["low"], quotas={"even": 1})
    assert len(some) == 6 and len([item for item in some if item % 2 == 0]) == 1
    found = shop.candidates([[1, 2], [8]], k=4, any_of=["low"], quotas={"even": 0}, exclude_seen=True)
    assert (found.items % 2 == 1).all() and 1 not in found.items[0] and found.counts.tolist() == [4, 4]
    shop.put_in_sets(20, ["low", "new"])
    assert best(any_of=["new"]) == [20] and 20 in best(any_of=["low"]) and 20 not in best(all_of=["even"])
    assert shop.recommend_new([4, 5], range(40)).items.size > 0
    among = shop.candidates([[4, 5]], allow=range(40), none_of=["low"], among_new=True)
    assert among.counts[0] > 0 and not set(among.items[0, :among.counts[0]].tolist()) & {*range(10), 20}
    for rules, text in (({"any_of": ["lo"]}, "'lo'"), ({"any_of": "low"}, "list of names"), ({"none_of": [3]}, "list of names"),
                        ({"quotas": {"even": -1}}, "a quota of -1"), ({"quotas": {"even": 1.5}}, "found 1.5 items of 'even'"),
                        ({"quotas": {"even": 2 ** 70}}, "quotas: expected"), ({"quotas": {"even\0": 1}}, "zero byte after 'even'"),
                        ({"all_of": ["low\0er"]}, "zero byte after 'low'"), ({"any_of": ["a\n" + 100 * "\u20ac"]}, "'a\\?" + 39 * "\u20ac" + "'"),
                        ({"scores": "best"}, "expected raw, renormalized, calibrated"),
                        ({"scores": "calibrated"}, "no calibration")):
        with pytest.raises(mql4grec.InvalidArgument, match=text):
            best(**rules)
    with pytest.raises(mql4grec.InvalidArgument, match="item 99 has no codes"):
        shop.put_in_sets(99, ["low"])
    with pytest.raises(mql4grec.InvalidArgument, match="item numbers"):
        mql4grec.Recommender.load(model, directory, sets={"wrong": ["a"]})
    with pytest.raises(mql4grec.InvalidArgument, match="set 'wrong' has item -1"):
        mql4grec.Recommender.load(model, directory, sets={"wrong": [3, -1]})
    with pytest.raises(mql4grec.InvalidArgument, match="zero byte after 'a'"):
        mql4grec.Recommender.load(model, directory, sets={"a\0b": [3]})
    (directory / "Ring.sets.json").write_text('{"low": ["i99"]}')
    with pytest.raises(mql4grec.FileError, match="there is no item"):
        mql4grec.Recommender.load(model, directory)


def test_kinds_of_scores(model, ring, tmp_path):
    calibrated = tmp_path / "model"
    shutil.copytree(model, calibrated)
    (calibrated / "calibration.json").write_text(json.dumps(
        {"beams": 20, "length_penalty": 1, "normalize": "vocabulary", "score_eos": True, "fusion": "average_plus_one", "modalities": ["text", "image"],
         "max_history": 20, "fill_in": False, "scores": [-100, 100], "probabilities": [0, 1]}))
    other = mql4grec.Recommender.load(calibrated, ring.directory, beams=7)
    with pytest.raises(mql4grec.InvalidArgument, match="fitted with beams 20, expected 7"):
        other.recommend([4, 5, 6], k=5, scores="calibrated")
    shop = mql4grec.Recommender.load(calibrated, ring.directory)
    raw, probabilities = (shop.recommend([4, 5, 6], k=5, scores=kind) for kind in ("raw", "calibrated"))
    assert raw.items.tolist() == probabilities.items.tolist()
    np.testing.assert_allclose(probabilities.scores, (raw.scores + 100) / 200, atol=1e-6)
    text = shop.recommend([4, 5, 6], k=40, scores="renormalized", modality="text")
    assert abs(np.exp(text.scores).sum() - 1) < 1e-3
    with pytest.raises(mql4grec.InvalidArgument, match="a modality's list"):
        shop.recommend([4], scores="calibrated", modality="image")


def test_the_lists_of_modalities(shop):
    fused, text, image = (shop.recommend([4, 5, 6], k=5, modality=m) for m in (None, "text", "image"))
    assert fused.scores[0] > 0 > max(text.scores[0], image.scores[0])
    assert fused.items[0] in (text.items[0], image.items[0])


def test_a_deadline_ends_a_search(shop):
    assert not shop.candidates([[4, 5]], deadline=0).complete[0]
    assert shop.candidates([[4, 5]], deadline=60).complete[0]
    assert not shop.candidates([[4, 5]], allow=[7], among_new=True, deadline=0).complete[0]
    new = shop.recommend_new([4, 5], range(40)).items.tolist()
    assert new and shop.recommend_new([4, 5], range(40), deadline=60).items.tolist() == new


def test_a_batch_has_the_answers_of_single_requests(shop):
    histories = [[(user + i) % shop.items for i in range(user % 9)] for user in range(60)]
    found = shop.candidates(histories, k=7, codes=True, threads=2)
    assert found.items.shape == found.scores.shape == (60, 7) and found.codes.shape == (60, 7, sum(shop.levels))
    assert found.complete.all() and (found.counts == 7).all() and found.seconds.shape == (60, 3) and (found.seconds > 0).all()
    for row, history in enumerate(histories):
        alone = shop.recommend(history, k=7)
        assert found.items[row].tolist() == alone.items.tolist()
        np.testing.assert_allclose(found.scores[row], alone.scores, atol=1e-4)
        assert (found.codes[row] == shop.codes(found.items[row])).all()
    flat = np.concatenate([np.array(history, np.int32) for history in histories])
    offsets = np.cumsum([0, *map(len, histories)])
    assert (shop.candidates((flat, offsets), k=7).items == found.items).all()
    few = shop.candidates(histories[:2], k=4, allow=[3], codes=True)
    assert few.counts.tolist() == [1, 1] and (few.items[:, 1:] == -1).all() and np.isneginf(few.scores[:, 1:]).all() and (few.codes[:, 1:] == -1).all()
    assert shop.candidates([], k=4).items.shape == (0, 4)


def test_arrays_outlive_the_recommender(model, ring):
    items = mql4grec.Recommender.load(model, ring.directory).recommend([4, 5, 6, 7], k=5).items
    assert items[0] == 8


def test_the_catalog(shop, ring):
    assert (shop.items, shop.users, shop.levels) == (40, 60, [3, 3])
    assert shop.title(7) == "item 7"
    assert shop.history(2).tolist() == ring.numbers(f"i{i:02}" for i in range(6, 14)).tolist()
    assert shop.codes(np.arange(40)).shape == (40, 6) and len(np.unique(shop.codes(np.arange(40))[:, :3], axis=0)) == 40


def test_items_change_while_the_recommender_is_loaded(model, ring, features, tmp_path):
    kinds = {"text": features, "image": features[:, ::-1]}
    translators = []
    for kind, of_kind in kinds.items():
        codes = mql4grec.quantize(of_kind, levels=3, codes=8, threads=1, out=tmp_path / kind, modality=kind)
        assert (codes == mql4grec.quantize(of_kind, levels=3, codes=8, threads=1)).all()
        translators.append(mql4grec.Translator.load(tmp_path / kind))
    log = tmp_path / "changes"
    shop = mql4grec.Recommender.load(model, ring.directory, catalog_log=log)
    before = shop.recommend([4, 5, 6, 7], k=5).items.tolist()
    placed = shop.place(*((translator, kind[8]) for translator, kind in zip(translators, kinds.values())))
    of_eight = shop.codes([8])[0]
    assert placed[0] == of_eight[0] and placed[3] == of_eight[3] and (placed[:3] != of_eight[:3]).any() and (placed[3:] != of_eight[3:]).any()
    assert (shop.place((translators[0], features[8]))[3:] == -1).all()
    shop.set_items([100], placed)
    assert shop.items == 101 and (shop.codes([100])[0] == placed).all()
    assert 100 in shop.recommend([4, 5, 6, 7], k=101).items
    assert shop.recommend_new([4, 5, 6, 7], [100, 3000]).items.tolist() == [100]
    shop.remove_items([before[0], 3000])
    assert before[0] not in shop.recommend([4, 5, 6, 7], k=101).items and (shop.codes([before[0]]) == -1).all()
    with pytest.raises(mql4grec.FileError, match="changes"):  # in use
        mql4grec.Recommender.load(model, ring.directory, catalog_log=log)
    expected = shop.recommend([4, 5, 6, 7], k=101).items.tolist()
    del shop
    assert mql4grec.Recommender.load(model, ring.directory, catalog_log=log).recommend([4, 5, 6, 7], k=101).items.tolist() == expected


def test_explain(shop):
    history = list(range(25))
    why = shop.explain(history, [25, 3])
    assert why.log_p.shape == (2,) and why.drops.shape == (2, 25) and why.shared_codes.shape == (2, 25, 2)
    assert 0 > why.log_p[0] > why.log_p[1] and np.isnan(why.drops[:, :5]).all() and np.isfinite(why.drops[:, 5:]).all()
    assert (why.shared_codes[:, :5] == -1).all() and (why.shared_codes[:, 5:] >= 0).all()
    codes = shop.codes([25, 24])
    assert why.complete and shop.explain(history, [25], deadline=60).complete
    late = shop.explain(history, [25], deadline=0)
    assert not late.complete and np.isnan(late.log_p).all() and np.isnan(late.drops).all() and (late.shared_codes == -1).all()
    assert why.shared_codes[0, 24, 0] == (3 if (codes[0, :3] == codes[1, :3]).all() else (codes[0, :3] != codes[1, :3]).argmax())


def test_evaluate(shop):
    calls = []
    found = shop.evaluate(at=[1, 10], threads=2, progress=lambda done, users: calls.append((done, users)))
    assert found.users == 60 and list(found.sequence) == ["fused", "text", "image"] and calls[0] == (0, 60)
    assert found.sequence["fused"].hit[10] > 0.5 and found.item["fused"].ndcg[10] <= found.item["fused"].hit[10]
    assert shop.evaluate(split="valid", users=7).users == 7


@pytest.mark.parametrize("call, error, text", [
    (lambda shop: mql4grec.Recommender.load("/nowhere", "/nowhere"), mql4grec.FileError, "/nowhere"),
    (lambda shop: mql4grec.Recommender.load("/nowhere", "/nowhere"), OSError, "/nowhere"),
    (lambda shop: mql4grec.Recommender.load("/nowhere", "/nowhere", precision="fp8"), mql4grec.InvalidArgument, "expected fp32, bf16, int8"),
    (lambda shop: shop.recommend([1.5]), ValueError, "float64"),
    (lambda shop: shop.recommend(["a"]), mql4grec.InvalidArgument, "item numbers"),
    (lambda shop: shop.recommend([[1]]), mql4grec.InvalidArgument, "2 dimensions"),
    (lambda shop: shop.recommend([2 ** 40]), mql4grec.InvalidArgument, "expected at most"),
    (lambda shop: shop.recommend([1], k=5000), ValueError, "k is 5000"),
    (lambda shop: shop.recommend([1], k=-1), mql4grec.InvalidArgument, "k is -1"),
    (lambda shop: shop.recommend([1], modality="sound"), mql4grec.InvalidArgument, "'sound'"),
    (lambda shop: shop.recommend([1], modality="modality2"), mql4grec.InvalidArgument, "list is 3"),
    (lambda shop: shop.candidates((np.int32([1, 2]), np.array([0, 3]))), mql4grec.InvalidArgument, "offsets[1] is 3"),
    (lambda shop: shop.candidates((np.int32([1, 2]), np.array([], np.int64))), ValueError, "offsets is empty"),
    (lambda shop: shop.title(40), mql4grec.Error, "item 40, expected 0 to 39"),
    (lambda shop: shop.codes([-1]), mql4grec.InvalidArgument, "item -1"),
    (lambda shop: shop.explain([1], [40]), mql4grec.InvalidArgument, "item 40"),
    (lambda shop: shop.set_items([1], [1, 2, 3]), ValueError, "expected 1 rows of 6"),
    (lambda shop: shop.set_items([1], [1, 2, 99, -1, -1, -1]), mql4grec.InvalidArgument, "code 99"),
    (lambda shop: shop.set_items([-2], [-1] * 6), mql4grec.InvalidArgument, "item -2"),
    (lambda shop: shop.set_items([1], [0.5] * 6), mql4grec.InvalidArgument, "float64"),
    (lambda shop: mql4grec.Translator.load("/nowhere"), mql4grec.FileError, "/nowhere"),
    (lambda shop: mql4grec.quantize([[1.0]], modality="sound"), mql4grec.InvalidArgument, "'sound'"),
    (lambda shop: shop.candidates([[1]], among_new=True), mql4grec.InvalidArgument, "recommend_new"),
    (lambda shop: shop.candidates([[1]], allow=[1], among_new=True, scores="calibrated"), mql4grec.InvalidArgument, "calibrat"),
    (lambda shop: shop.history(60), mql4grec.InvalidArgument, "user 60"),
    (lambda shop: shop.evaluate(split="all"), mql4grec.InvalidArgument, "expected test, valid"),
    (lambda shop: shop.evaluate(at=[0]), mql4grec.InvalidArgument, "metrics at 0"),
    (lambda shop: shop.evaluate(at=(1.5,)), mql4grec.InvalidArgument, "whole numbers"),
    (lambda shop: shop.evaluate(users=0), mql4grec.InvalidArgument, "users is 0"),
    (lambda shop: mql4grec.Translator.load("/" + 300 * "x"), mql4grec.FileError, "name too long"),
    (lambda shop: mql4grec.Translator.load("/nowhere\0"), mql4grec.InvalidArgument, "zero byte"),
])
def test_errors_are_one_line(shop, call, error, text):
    with pytest.raises(error) as raised:
        call(shop)
    assert text in str(raised.value) and "\n" not in str(raised.value)


def test_an_exception_of_a_progress_function_is_raised(shop):
    def fails(done, users):
        raise KeyError("mine")
    with pytest.raises(KeyError, match="mine"):
        shop.evaluate(progress=fails)


@pytest.mark.parametrize("work", [lambda shop: shop.candidates([[1, 2]] * 100_000, k=20), lambda shop: shop.candidates([[1, 2]] * 100_000, k=20, deadline=600),
                                  lambda shop: shop.evaluate(progress=lambda done, users: done or time.sleep(1))])
def test_ctrl_c_ends_a_computation(shop, work):
    started = time.monotonic()
    threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        work(shop)
    assert time.monotonic() - started < 20


def test_computations_release_the_lock(shop, counting):
    histories = [[i % 40, (i + 1) % 40] for i in range(3000)]
    with counting:
        started = time.perf_counter()
        shop.candidates(histories, k=20, threads=1)
        seconds = time.perf_counter() - started
    assert seconds > 0.05, "too fast to notice"
    assert counting.count >= 5


def test_threads_share_a_recommender(shop):
    histories = [[i, i + 1] for i in range(8)]
    expected = [shop.recommend(history, k=5).items.tolist() for history in histories]
    start = threading.Barrier(8)

    def client(number):
        start.wait()
        return all(shop.recommend(histories[number], k=5).items.tolist() == expected[number] for _ in range(50))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(client, range(8)))
