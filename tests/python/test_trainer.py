"""Trainer: progress, interruption, resumption, errors."""
import numpy as np
import pytest

import mql4grec
from conftest import trainer


def test_progress_is_reported_and_a_run_can_be_resumed(tmp_path, ring):
    seen = []

    class Enough(Exception):
        pass

    def stop_early(p):
        seen.append(p)
        if p.step == 4:
            raise Enough

    with pytest.raises(Enough):
        trainer(ring, tmp_path / "model", epochs=2).fit(stop_early)
    assert [p.step for p in seen if not p.epoch_ended] == [1, 2, 3, 4] and seen[0].steps_per_epoch > 4 and np.isfinite(seen[-1].loss)
    with pytest.raises(mql4grec.InvalidArgument, match="model"):
        trainer(ring, tmp_path / "model", epochs=2).fit()
    done = trainer(ring, tmp_path / "model", epochs=2).fit(seen.append, resume=True)
    assert done.outcome == "finished" and done.epoch == 2 and done.best_epoch in (1, 2) and done.best_loss <= done.valid_loss
    assert sum(p.epoch_ended for p in seen) == 2
    trainer(ring, tmp_path / "whole", epochs=2).fit()
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


def test_a_model_is_the_start_of_another_one(tmp_path, ring, model):
    done = trainer(ring, tmp_path / "tuned", epochs=1, init=model, learning_rate=1e-6).fit()
    assert done.best_loss < 1.5  # that of the model; a new one begins near ln 8


def test_a_run_ends_in_time(tmp_path, ring):
    assert trainer(ring, tmp_path / "model").fit(max_seconds=1e-3).outcome == "out of time"


def test_training_releases_the_lock(tmp_path, ring, counting):
    with counting:
        trainer(ring, tmp_path / "model", epochs=10).fit()
    assert counting.count >= 5


@pytest.mark.parametrize("options, error, text", [
    ({"epochs": 0}, mql4grec.InvalidArgument, "0 epochs"),
    ({"learning_rate": -1.0}, mql4grec.InvalidArgument, "learning rate"),
    ({"tasks": "none"}, mql4grec.InvalidArgument, "none"),
    ({"recipe": "slow"}, mql4grec.InvalidArgument, "expected paper, fast, small"),
    ({"init": "/nowhere"}, mql4grec.FileError, "/nowhere"),
])
def test_errors(tmp_path, ring, options, error, text):
    with pytest.raises(error, match=text):
        trainer(ring, tmp_path / "model", **options).fit()
