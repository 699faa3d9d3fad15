"""write_dataset and quantize."""
import json
import math

import numpy as np
import pytest

import mql4grec


def content(ring, ending):
    return json.loads((ring.directory / f"Ring.{ending}.json").read_text())


def test_interactions_are_ordered_by_user_and_time(ring):
    assert ring.items == [f"i{i:02}" for i in range(40)] and ring.users == [f"u{u:02}" for u in range(60)]
    for user, history in content(ring, "inter").items():
        assert history == [(3 * int(user) + step) % 40 for step in range(8)]
    assert content(ring, "times")["5"] == [1000.0 + step for step in range(8)]
    assert (ring.directory / "Ring.item2id").read_text().splitlines()[3] == "i03\t3"


def test_codes_become_tokens(ring, shop):
    codes = shop.codes(np.arange(40))
    assert content(ring, "index_lemb")["7"] == [f"<{'abc'[level]}_{code}>" for level, code in enumerate(codes[7, :3])]
    assert content(ring, "index_vitemb")["7"] == [f"<{'ABC'[level]}_{code}>" for level, code in enumerate(codes[7, 3:])]


def test_pandas_frames_are_read(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"customer": [7, 7, 5, 7, 5], "article": ["b", "a", "a", "c", "b"],
                              "when": pandas.to_datetime(["2026-01-02", "2026-01-01", "2026-01-01", "2026-01-02", "2026-01-03"])})
    made = mql4grec.write_dataset(tmp_path / "Frame", frame, codes={"text": np.array([[0, 1], [2, 3], [-1, -1]])}, user="customer", item="article",
                                  time="when")
    assert made.items == ["a", "b", "c"] and made.users == [5, 7]
    assert json.loads((tmp_path / "Frame/Frame.inter.json").read_text()) == {"0": [0, 1], "1": [0, 1, 2]}
    assert json.loads((tmp_path / "Frame/Frame.times.json").read_text())["1"][1] == 1767312000.0
    assert json.loads((tmp_path / "Frame/Frame.index_lemb.json").read_text()) == {"0": ["<a_0>", "<b_1>"], "1": ["<a_2>", "<b_3>"]}


def test_without_times_the_order_of_the_frame_counts(tmp_path):
    made = mql4grec.write_dataset(tmp_path / "Plain", {"user": [1, 1, 1], "item": [2, 0, 1]}, codes={"text": [[0], [1], [2]]}, time=None)
    assert json.loads((tmp_path / "Plain/Plain.inter.json").read_text()) == {"0": [2, 0, 1]}
    assert not (tmp_path / "Plain/Plain.times.json").exists() and made.numbers([1, 0]).tolist() == [1, 0]


def test_quantize(features):
    codes = mql4grec.quantize(features, levels=2, codes=8, threads=1)
    assert codes.shape == (40, 2) and codes.min() >= 0 and codes.max() < 8 and len(np.unique(codes, axis=0)) == 40
    assert (codes == mql4grec.quantize(features.astype(np.float64)[:, :], levels=2, codes=8, threads=2)).all()
    with_missing = features.copy()
    with_missing[3] = 0
    assert mql4grec.quantize(with_missing, levels=2, codes=8)[3].tolist() == [-1, -1]


@pytest.mark.parametrize("options, text", [
    ({}, "expected features or codes"),
    ({"codes": {"sound": [[0]]}}, "sound"),
    ({"codes": {"text": [[0]]}}, "each of 2 items"),
    ({"codes": {"text": [[0.5], [1]]}}, "whole numbers"),
    ({"codes": {"text": [[0], [1]]}, "titles": ["one"]}, "1 titles for 2 items"),
    ({"codes": {"text": [[0], [1]]}, "items": ["a", "a"]}, "occurs twice"),
    ({"codes": {"text": [[0], [1]]}, "items": ["a", "z"]}, "item 'b'"),
    ({"features": {"text": np.zeros(3)}}, "each of 2 items"),
    ({"features": {"text": np.eye(2), "image": np.eye(3)}, "translators": "/nowhere"}, "image: .*each of 2 items"),  # before the first is quantized
    ({"features": {"text": np.eye(2)}, "titles": ["one"], "translators": "/nowhere"}, "1 titles for 2 items"),
])
def test_errors(tmp_path, options, text):
    with pytest.raises(mql4grec.InvalidArgument, match=text):
        mql4grec.write_dataset(tmp_path / "Wrong", {"user": [1, 1], "item": ["a", "b"], "time": [1, 2]}, **options)


@pytest.mark.parametrize("times", [[1.0, math.nan], [math.inf, 1], np.array(["NaT", "2026-01-01"], "datetime64[s]")])
def test_a_time_is_finite(tmp_path, times):
    with pytest.raises(mql4grec.InvalidArgument, match="the time in row [01] is (nan|inf|NaT)"):
        mql4grec.write_dataset(tmp_path / "Wrong", {"user": [1, 1], "item": ["a", "b"], "time": times}, codes={"text": [[0], [1]]})
    assert not (tmp_path / "Wrong").exists()


def test_files_of_other_item_numbers_are_refused(tmp_path):
    path, codes = tmp_path / "Shop", [[0], [1]]
    write = lambda items, **more: mql4grec.write_dataset(path, {"user": [1, 1], "item": items}, time=None, **(more or {"codes": {"text": codes}}))
    write(["a", "b"])
    for name, content in (("emb-text.npy", ""), ("sets.json", '{"sale": ["a", 1]}'), ("index_vitemb.json", "{}"), ("catalog.packed", "")):
        (path / f"Shop.{name}").write_text(content)
        with pytest.raises(mql4grec.FileError, match=f"Shop.{name}: is about items by number"):
            write(["a", "z"])
        assert "b\t1" in (path / "Shop.item2id").read_text()
        write(["a", "b"])  # the same numbers
        (path / f"Shop.{name}").unlink(missing_ok=True)
    (path / "Shop.sets.json").write_text('{"sale": ["a"]}')  # raw ids
    (path / "Shop.inter.packed").touch()
    write(["a", "z"])
    assert "z\t1" in (path / "Shop.item2id").read_text() and not (path / "Shop.inter.packed").exists()
