"""Checkpoints: trainings that go on bit for bit, spoilt files that are refused, programs killed while they write."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trainings
from trainings import CASES, EPOCHS, HALF, Noise

import fastnn
from fastnn import nn, optim
from fastnn.callbacks import ModelCheckpoint
from fastnn.serialization import load_tensors, save_tensors

PROGRAM = str(Path(trainings.__file__))
KEY = "fastnn.checkpoint"


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        array = np.asarray(array)
        assert got[name].dtype == array.dtype and got[name].tobytes() == array.tobytes(), name


# ---------------------------------------------------------------------------------------------------------------
# Going on
# ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """The folder where another process has gone on from the checkpoint of every case."""
    folder = tmp_path_factory.mktemp("resumed")
    trainings.begin(folder)
    subprocess.run([sys.executable, PROGRAM, "resume", str(folder)], check=True, timeout=300)
    return folder


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: CASES[number].id)
def test_a_training_goes_on_in_another_process_bit_for_bit(resumed, number):
    whole = CASES[number].train(EPOCHS)
    assert len(whole["loss"]) == EPOCHS and len(set(whole["loss"].tolist())) == EPOCHS
    assert_same(load_tensors(resumed / f"{number}.safetensors")[0], whole)


def test_a_loop_of_ones_own_goes_on_bit_for_bit(tmp_path):
    X, y = trainings.data("float32")

    def start(seed):
        rng = np.random.Generator(np.random.MT19937(seed))  # whose state is an array
        model = nn.Sequential(nn.Linear(4, 8, rng=rng), nn.Dropout(0.5, rng=rng), nn.Linear(8, 3, rng=rng))
        optimizer = optim.RMSprop(model, momentum=0.5)
        schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
        return {"model": model, "optimizer": optimizer, "schedule": schedule, "rng": rng}

    def go(parts, epochs):
        step = fastnn.compile(parts["model"], nn.CrossEntropyLoss(), parts["optimizer"])
        losses = []
        for _ in range(epochs):
            losses.extend(step.epoch(X, y, 16, rng=parts["rng"]).tolist())
            parts["schedule"].step()
        return losses

    whole = go(start(1), 6)
    first = start(1)
    losses = go(first, 2)
    extra = {"losses": losses, "best": {"a": np.arange(3), "b": [None, True, "text", 1e-300, float("inf")]}}
    fastnn.save_checkpoint(tmp_path / "c", **first, extra=extra)
    second = start(2)
    loaded = fastnn.load_checkpoint(tmp_path / "c", **second)
    assert loaded["losses"] + go(second, 4) == whole
    assert loaded["best"]["a"].tolist() == [0, 1, 2] and loaded["best"]["b"] == extra["best"]["b"]


def test_the_file_is_safetensors_with_plain_names(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
    fastnn.save_checkpoint(tmp_path / "c", model=model, optimizer=optim.SGD(model), extra={"x": {"y": np.ones(2)}})
    tensors, metadata = load_tensors(tmp_path / "c")
    assert set(tensors) == {"model/0.weight", "model/0.bias", "extra/x/y"}
    np.testing.assert_array_equal(tensors["model/0.weight"], model[0].weight)
    parts = json.loads(metadata[KEY])["parts"]
    assert parts["optimizer"]["hyperparameters"]["lr"] == 1e-3
    assert parts["layers"] == {"1.": {"key": model[1].key, "step": 0}}


def test_options_of_an_optimiser_are_kept(tmp_path):
    model = nn.Linear(2, 3)
    first, second = optim.Adam(model), optim.Adam(model)
    first.penalty, first.eps_hat = 0.5, True
    fastnn.save_checkpoint(tmp_path / "c", optimizer=first)
    fastnn.load_checkpoint(tmp_path / "c", optimizer=second)
    assert (second.penalty, second.eps_hat) == (0.5, True)


def test_names_that_meet_stay_apart(tmp_path):
    extra = {"a/b": np.zeros(1), "a": {"b": np.ones(1), "b'": np.full(1, 2.0)}}
    fastnn.save_checkpoint(tmp_path / "c", extra=extra)
    loaded = fastnn.load_checkpoint(tmp_path / "c")
    assert (loaded["a/b"], loaded["a"]["b"], loaded["a"]["b'"]) == (0, 1, 2)


def test_the_model_alone_of_a_training(tmp_path):
    case = CASES[0]
    keeping = ModelCheckpoint(tmp_path / "{epoch}.ckpt", save="checkpoint")
    case.train(3, callbacks=[keeping])
    other, _ = case.trainer(seed=5)
    fastnn.manual_seed(1)
    loaded = fastnn.load_checkpoint(tmp_path / "2.ckpt", model=other.model)
    assert loaded["epoch"] == 2 and len(loaded["history"]["loss"]) == 2
    assert fastnn.random.generator().random() == np.random.default_rng(1).random()  # which stays where nothing goes on
    assert_same(other.model.state_dict(), {k: v for k, v in case.train(2).items() if k in other.model.state_dict()})


def test_going_on_where_all_epochs_are_done_changes_nothing(tmp_path):
    case = CASES[3]
    whole = case.train(HALF, callbacks=[ModelCheckpoint(tmp_path / "c", save="checkpoint")])
    assert_same(case.train(HALF, seed=99, resume=tmp_path / "c"), whole)
    assert_same(case.train(HALF - 1, seed=99, resume=tmp_path / "c"), whole)


# ---------------------------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------------------------


def everything(trainer, schedule):
    """The state of a trainer and of all that belongs to it, as bytes."""
    arrays = {**trainer.model.state_dict(), **{str(n): s["exp_avg"] for n, s in trainer.optimizer.state.items()}}
    layers = [(layer.key, layer.step) for layer in trainer.model.modules() if isinstance(layer, nn.Dropout)]
    noise = [str(layer.rng.bit_generator.state) for layer in trainer.model.modules() if isinstance(layer, Noise)]
    plain = repr(trainer.optimizer), schedule.state_dict(), layers, noise, trainer.history.history, trainer.epoch
    return (
        {name: array.tobytes() for name, array in arrays.items()},
        plain,
        fastnn.random.generator().bit_generator.state,
    )


@pytest.fixture
def saved(tmp_path):
    """A case, a trainer of it that has trained a little, and the checkpoint of another."""
    case = trainings.Case("Adam(model)", "StepLR(optimizer, 3)", "float32", True)
    case.train(2, callbacks=[ModelCheckpoint(tmp_path / "c", save="checkpoint")])
    trainer, schedule = case.trainer(7)
    X, y = trainings.data("float32")
    trainer.fit(X, y, 1, progress=False, schedule=schedule)
    return trainer, schedule, tmp_path / "c"


def refused(trainer, schedule, path):
    """The message of a resumed fit that must fail and change nothing."""
    before = everything(trainer, schedule)
    X, y = trainings.data("float32")
    with pytest.raises(ValueError) as caught:
        trainer.fit(X, y, 3, progress=False, schedule=schedule, resume=path)
    assert everything(trainer, schedule) == before
    assert str(caught.value).startswith(f"{path}: expected ") and "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_are_no_checkpoint_are_refused(saved, tmp_path):
    trainer, schedule, path = saved
    (tmp_path / "text").write_text("no checkpoint at all")
    refused(trainer, schedule, tmp_path / "text")
    (tmp_path / "short").write_bytes(path.read_bytes()[:-1])
    refused(trainer, schedule, tmp_path / "short")
    save_tensors({"a": np.ones(1)}, tmp_path / "other")
    assert "without 'fastnn.checkpoint'" in refused(trainer, schedule, tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        trainer.fit(*trainings.data("float32"), 3, progress=False, schedule=schedule, resume=tmp_path / "none")
    fastnn.save_checkpoint(tmp_path / "less", model=trainer.model)
    text = refused(trainer, schedule, tmp_path / "less")
    assert "a checkpoint with optimizer, rng, schedule, callbacks, got one with default_rng, model, layers" in text


def values(tree, path=()):
    """Every place in a tree of JSON."""
    yield path
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from values(value, (*path, key))


def changed(tree, path, change):
    """A copy of the tree with another value at one place, or without it."""
    copy = json.loads(json.dumps(tree))
    owner = copy
    for key in path[:-1]:
        owner = owner[key]
    if change is Ellipsis:
        del owner[path[-1]]
    else:
        owner[path[-1]] = change
    return copy


def test_every_spoilt_value_is_refused_or_harmless(saved):
    """Each value of the JSON in turn is left out, and replaced by one of another kind: nothing is half loaded."""
    trainer, schedule, path = saved
    tensors, metadata = load_tensors(path)
    content = json.loads(metadata[KEY])
    refusals = 0
    changes = (..., None, "text", [], {}, -1, 1 << 200, 0.5)
    for number, place in enumerate(values(content)):
        for change in (changes[number % 8], changes[(3 * number + 1) % 8]) if place else ():
            save_tensors(tensors, path, {KEY: json.dumps(changed(content, place, change))})
            before = everything(trainer, schedule)
            parts = {"model": trainer.model, "optimizer": trainer.optimizer, "schedule": schedule}
            try:
                fastnn.load_checkpoint(path, **parts, rng=np.random.default_rng(0))
            except ValueError as error:
                assert everything(trainer, schedule) == before, (place, change)
                assert str(error).startswith(f"{path}: expected ") and "\n" not in str(error), (place, change)
                refusals += 1
    assert refusals > 100


def test_other_trainings_are_refused(saved, tmp_path):
    trainer, schedule, path = saved
    other = fastnn.Trainer(nn.Sequential(nn.Linear(4, 3)), nn.CrossEntropyLoss(), trainer.optimizer)
    assert "for model: " in refused(other, schedule, path)
    sgd = fastnn.Trainer(trainer.model, trainer.criterion, optim.SGD(trainer.model))
    assert "for optimizer: SGD.load_state_dict: " in refused(sgd, schedule, path)
    exponential = optim.lr_scheduler.ExponentialLR(trainer.optimizer, 0.5)
    assert "for schedule: expected ExponentialLR of gamma, " in refused(trainer, exponential, path)
    before = everything(trainer, schedule)
    with pytest.raises(ValueError, match="for schedule: expected none, got one in the file"):
        trainer.fit(*trainings.data("float32"), 3, progress=False, resume=path)
    with pytest.raises(ValueError, match="for rng: "):
        rng = np.random.Generator(np.random.MT19937(0))
        trainer.fit(*trainings.data("float32"), 3, progress=False, resume=path, schedule=schedule, rng=rng)
    assert everything(trainer, schedule) == before


def test_what_cannot_be_saved_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "c"
    fastnn.save_checkpoint(path, extra={"a": 1})
    for extra, text in [
        ({"a": {1, 2}}, "save_checkpoint: expected extra/a of plain values and arrays, got set"),
        ({"a": [{2: 3}]}, "save_checkpoint: expected names as strings in extra/a/0, got 2"),
        ({"__tensor__": 3}, "save_checkpoint: expected names as strings in extra, got '__tensor__'"),
    ]:
        with pytest.raises(TypeError) as caught:
            fastnn.save_checkpoint(path, extra=extra)
        assert str(caught.value) == text
    assert fastnn.load_checkpoint(path) == {"a": 1} and os.listdir(tmp_path) == ["c"]


# ---------------------------------------------------------------------------------------------------------------
# Programs that are killed
# ---------------------------------------------------------------------------------------------------------------


def test_leftovers_are_removed_once_they_are_old(tmp_path):
    names = [".fastnn-old.tmp", ".fastnn-new.tmp", "fastnn-other.tmp"]
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    for name in (names[0], names[2]):
        os.utime(tmp_path / name, (time.time() - 7200,) * 2)
    fastnn.save_checkpoint(tmp_path / "c")
    assert sorted(os.listdir(tmp_path)) == [".fastnn-new.tmp", "c", "fastnn-other.tmp"]


def kill_writers(path, kills, seed):
    """Kill as many writers at random moments; after each the file must be whole. Returns how many left half a file."""
    rng, last, leftovers = random.Random(seed), 0, 0
    for _ in range(kills):
        with subprocess.Popen([sys.executable, PROGRAM, "write", str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.05))
            writer.kill()
            told = [int(line) for line in writer.stdout.read().splitlines() if line.isdigit()]
        if not path.exists():
            assert not told
            continue
        _, _, found = trainings.numbered(path, read=True)
        assert found in (told[-1], told[-1] + 1) if told else found in (last, last + 1)
        last = found
        left = [name for name in os.listdir(path.parent) if name != path.name]
        leftovers += len(left)
        for name in left:
            os.unlink(path.parent / name)
    assert last > kills  # many files between two kills
    return leftovers


def test_a_killed_program_leaves_a_whole_file(tmp_path):
    kill_writers(tmp_path / "c", 20, seed=0)


@pytest.mark.slow
def test_five_hundred_killed_programs_leave_whole_files(tmp_path):
    leftovers = kill_writers(tmp_path / "c", 500, seed=1)
    assert leftovers > 50  # of so many kills hit the writing itself
