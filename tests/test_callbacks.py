"""Callbacks: when their hooks are called, what each of them does, and what they refuse."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn
from fastnn import Trainer, nn, optim
from fastnn.callbacks import (
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LRScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from fastnn.optim import lr_scheduler
from fastnn.serialization import load_tensors


def task(rows=60):
    """Points around three centres."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, rows)
    return (rng.normal(size=(3, 4))[y] + rng.normal(size=(rows, 4))).astype(np.float32), y


class Own(nn.Module):
    """A layer without a compiled form."""

    def update_output(self, input):
        return input * 1

    def update_grad_input(self, input, grad_output):
        return grad_output * 1


def trainer(own=False, lr=0.1):
    layers = [nn.Linear(4, 8, rng=0), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5, rng=1), nn.Linear(8, 3, rng=2)]
    model = nn.Sequential(*layers, *([Own()] if own else []))
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=lr, momentum=0.9))


def fit(made, callbacks, epochs=3, **options):
    X, y = task()
    options = {"batch_size": 16, "rng": 0, "progress": False, "validation_data": (X[:20], y[:20]), **options}
    return made.fit(X, y, epochs, callbacks=callbacks, **options)


def estimator(**attributes):
    """As much of an estimator as callbacks are promised."""
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.BatchNorm1d(2))
    return SimpleNamespace(model=model, optimizer=optim.SGD(model, lr=1.0), stop_training=False, **attributes)


class Diary(Callback):
    """Writes down its calls, and raises in one of them."""

    def __init__(self, name="", raises=None, entries=None):
        self.name, self.raises, self.entries = name, raises, [] if entries is None else entries

    def note(self, hook, *values):
        self.entries.append((self.name + hook, *values))
        if hook == self.raises:
            raise RuntimeError(f"{self.name}{hook}")

    def on_train_begin(self, trainer):
        self.note("train_begin", trainer.epoch)

    def on_epoch_begin(self, trainer, epoch):
        self.note("epoch_begin", epoch)

    def on_epoch_end(self, trainer, record):
        assert record["epoch"] == trainer.epoch == len(trainer.history)
        self.note("epoch_end", record["epoch"])

    def on_checkpoint(self, trainer, record):
        self.note("checkpoint", record["epoch"])

    def on_train_end(self, trainer):
        self.note("train_end")


class BatchDiary(Diary):
    def on_batch_end(self, trainer, step, loss):
        self.note("batch_end", step, loss)


# ---------------------------------------------------------------------------------------------------------------
# The hooks
# ---------------------------------------------------------------------------------------------------------------


def test_hooks_come_in_order():
    entries = []
    fit(trainer(), [Diary("a ", entries=entries), Diary("b ", entries=entries)], 2)
    epochs = [
        (name + hook, epoch)
        for epoch in (1, 2)
        for hook in ("epoch_begin", "epoch_end", "checkpoint")
        for name in ("a ", "b ")
    ]
    begins, ends = [("a train_begin", 0), ("b train_begin", 0)], [("a train_end",), ("b train_end",)]
    assert entries == [*begins, *epochs, *ends]


@pytest.mark.parametrize("own", [False, True])
def test_batch_hooks_change_no_number(own):
    plain, stepped, diary = trainer(own), trainer(own), BatchDiary()
    expected, got = fit(plain, [], 3, drop_last=True), fit(stepped, [diary], 3, drop_last=True)
    for name, values in expected.history.items():
        assert name == "seconds" or got[name] == values, name
    for name, array in plain.model.state_dict().items():
        np.testing.assert_array_equal(stepped.model.state_dict()[name], array)
    batches = [entry[1:] for entry in diary.entries if entry[0] == "batch_end"]
    assert [step for step, _ in batches] == list(range(1, 10)) and all(type(loss) is float for _, loss in batches)
    assert np.mean([loss for _, loss in batches[:3]]) == pytest.approx(expected["loss"][0], rel=1e-12)


def test_batch_hooks_are_seen_however_they_are_given():
    assert not CallbackList("", [Diary(), LambdaCallback(on_epoch_end=print), print]).wants_batches
    assert not CallbackList("", [LRScheduler(lr_scheduler.StepLR, step_size=1)]).wants_batches
    assert CallbackList("", [Diary(), BatchDiary()]).wants_batches
    assert CallbackList("", [LambdaCallback(on_batch_end=print)]).wants_batches
    by_batch = LRScheduler(lr_scheduler.StepLR, "batch", step_size=1)
    assert CallbackList("", [by_batch]).wants_batches
    CallbackList("MLP", [Diary(), print], batches=False)
    with pytest.raises(TypeError) as caught:
        CallbackList("MLP", [Diary(), by_batch], batches=False)
    expected = "MLP: expected callbacks without on_batch_end, which Trainer alone calls, got LRScheduler"
    assert str(caught.value) == expected


@pytest.mark.parametrize("hook", ["train_begin", "epoch_begin", "batch_end", "epoch_end", "checkpoint"])
def test_what_a_hook_raises_comes_through_and_all_is_closed(hook):
    made, entries = trainer(), []
    made.model[1].eval()
    modes = [module.training for module in made.model.modules()]
    callbacks = [Diary("a ", entries=entries), BatchDiary("b ", hook, entries), Diary("c ", entries=entries)]
    with pytest.raises(RuntimeError, match=f"b {hook}"):
        fit(made, callbacks)
    ends = [entry[0] for entry in entries if entry[0].endswith("train_end")]
    assert ends == (["a train_end"] if hook == "train_begin" else ["a train_end", "b train_end", "c train_end"])
    assert [module.training for module in made.model.modules()] == modes
    assert len(made.history) == (hook in ("epoch_end", "checkpoint"))


def test_all_trainings_end_though_one_raises_at_the_end():
    entries = []
    callbacks = [Diary("a ", "train_end", entries), Diary("b ", "train_end", entries), Diary("c ", entries=entries)]
    with pytest.raises(RuntimeError, match="b train_end"):
        fit(trainer(), callbacks, 1)
    assert [entry[0] for entry in entries][-3:] == ["a train_end", "b train_end", "c train_end"]


def test_training_stops_after_the_epoch_or_the_batch():
    def stop(trainer, *values):
        trainer.stop_training = values[0] == 2 or values[0] == {}

    def stop_at_two(trainer, record):
        trainer.stop_training = record["epoch"] == 2

    made = trainer()
    assert len(fit(made, [LambdaCallback(on_epoch_end=stop_at_two)], 9)) == made.epoch == 2 and made.stop_training
    assert len(fit(made, [], 3)) == 3 and not made.stop_training
    losses = []
    history = fit(trainer(), [BatchDiary(entries=losses), LambdaCallback(on_batch_end=stop)], 9, shuffle=False)
    assert len(history) == 1 and [entry[1] for entry in losses if entry[0] == "batch_end"] == [1, 2]
    assert history["loss"][0] == pytest.approx(np.mean([entry[2] for entry in losses if entry[0] == "batch_end"]))
    nothing = LambdaCallback(on_train_begin=lambda trainer: stop(trainer, {}))
    assert len(fit(trainer(), [nothing], 9)) == 0


def test_functions_and_classes():
    records = []
    fit(trainer(), [records.append, LambdaCallback(on_epoch_end=lambda trainer, record: records.append(trainer))], 1)
    assert records[0]["epoch"] == 1 and isinstance(records[1], Trainer)
    for wrong, text in [
        ([3], "Trainer.fit: expected callbacks of fastnn.callbacks or functions of the record, got int"),
        ([EarlyStopping], "Trainer.fit: expected callbacks of fastnn.callbacks or functions of the record, "
                          "got the class EarlyStopping"),
        (EarlyStopping(), "Trainer.fit: expected callbacks as a list, got EarlyStopping"),
        (print, "Trainer.fit: expected callbacks as a list, got builtin_function_or_method"),
    ]:  # fmt: skip
        with pytest.raises(TypeError) as caught:
            fit(trainer(), wrong)
        assert str(caught.value) == text
    with pytest.raises(TypeError, match=r"LambdaCallback: expected hooks of on_train_begin, .*, got on_end"):
        LambdaCallback(on_end=print)
    with pytest.raises(TypeError, match="LambdaCallback: expected on_epoch_end as a function, got int"):
        LambdaCallback(on_epoch_end=3)


# ---------------------------------------------------------------------------------------------------------------
# Early stopping
# ---------------------------------------------------------------------------------------------------------------


def run(callback, values, name="val_loss", made=None):
    """The epochs of a training whose monitored values are these, until it is stopped."""
    made = made or estimator()
    made.stop_training = False
    callback.on_train_begin(made)
    epoch = 0
    for epoch, value in enumerate(values, 1):
        made.model[0].weight[...] = made.model[1].running_mean[...] = epoch
        callback.on_epoch_end(made, {"epoch": epoch, "loss": 0.0, name: value})
        if made.stop_training:
            break
    callback.on_train_end(made)
    return epoch, made.model[0].weight[0, 0], made.model[1].running_mean[0]


@pytest.mark.parametrize("options,values,epochs,best", [
    ({"patience": 2}, [3, 2, 2.5, 1, 1, 1.5, 0], 6, 4),
    ({"patience": 0}, [3, 2, 2, 0], 3, 2),
    ({"patience": 1}, [3, 2, 2, 0], 3, 2),
    ({"patience": 2, "min_delta": 0.5}, [3, 2.9, 2.4, 2.2, 2.1, 0], 5, 3),
    ({"patience": 2, "baseline": 1.0}, [3, 2, 0], 2, None),
    ({"patience": 2, "baseline": 2.5}, [3, 2, 2.1, 2.2, 0], 4, 2),
    ({"patience": 2}, [float("nan"), 3, float("nan"), float("nan"), 0], 4, 2),
    ({"patience": 2}, [float("nan"), float("nan"), 0], 2, None),
    ({"patience": 2, "mode": "max"}, [1, 2, 1, 1, 5], 4, 2),
    ({"patience": 2, "restore_best": False}, [3, 2, 2, 2, 0], 4, None),
    ({"patience": 3}, [3, 2, 1], 3, 3),
])  # fmt: skip
def test_early_stopping_by_hand(options, values, epochs, best):
    callback = EarlyStopping("val_loss", **options)
    last = best or epochs
    assert run(callback, values) == (epochs, last, last)
    assert callback.stopped_epoch == (epochs if epochs < len(values) else 0)
    if best:
        assert (callback.best_epoch, callback.best) == (best, values[best - 1])
    assert run(callback, values) == (epochs, last, last)  # the same object again begins anew


@pytest.mark.parametrize("name,mode", [
    ("val_loss", "min"), ("loss", "min"), ("val_mean_squared_error", "min"), ("val_accuracy", "max"),
    ("accuracy", "max"), ("val_r2_score", "max"), ("val_f1", "max"), ("val_top_k_accuracy", "max"), ("val_auc", "max"),
])  # fmt: skip
def test_the_direction_follows_from_the_name(name, mode):
    assert EarlyStopping(name).mode == ModelCheckpoint("p", name).mode == mode
    assert EarlyStopping(name, mode="min").mode == "min"
    better = [1, 2, 3, 4] if mode == "max" else [4, 3, 2, 1]
    assert run(EarlyStopping(name, patience=1), better, name)[0] == 4
    assert run(EarlyStopping(name, patience=1), better[::-1], name)[0] == 2


def test_early_stopping_of_a_fit_has_the_best_model():
    made, stopping, seen = trainer(lr=0.5), EarlyStopping(patience=3), []
    history = fit(made, [stopping, LambdaCallback(on_train_end=lambda t: seen.append(t.model.state_dict()))], 500)
    losses = history["val_loss"]
    assert 3 < len(losses) < 500 and losses[stopping.best_epoch - 1] == min(losses) == stopping.best
    assert len(losses) == stopping.best_epoch + 3 == stopping.stopped_epoch
    X, y = task()
    assert made.evaluate(X[:20], y[:20])["loss"] == stopping.best
    assert seen[0].keys() == made.model.state_dict().keys()
    for name, array in made.model.state_dict().items():  # callbacks that come later see the best model at the end
        np.testing.assert_array_equal(array, seen[0][name])


def test_a_name_that_is_not_there_is_one_clear_line():
    with pytest.raises(ValueError) as caught:
        fit(trainer(), [EarlyStopping("val_los")])
    names = "loss, accuracy, lr, seconds, val_loss, val_accuracy"
    hint = " (validation data give those of val_)"
    assert str(caught.value) == f"EarlyStopping: expected monitor as one of {names}, got 'val_los'{hint}"
    with pytest.raises(ValueError, match=r"ModelCheckpoint: expected monitor as one of loss, .*, got 'f1'$"):
        fit(trainer(), [ModelCheckpoint("never", "f1", save_best_only=True)])
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau: expected monitor as one of loss, .*, got 'f1'$"):
        fit(trainer(), [ReduceLROnPlateau("f1")])


def test_early_stopping_refuses():
    for options, error, text in [
        ({"patience": -1}, ValueError, "EarlyStopping: expected patience >= 0, got -1"),
        ({"patience": 1.5}, TypeError, "EarlyStopping: expected patience as an integer, got 1.5"),
        ({"mode": "least"}, ValueError, "EarlyStopping: expected mode 'auto' or 'min' or 'max', got 'least'"),
        ({"min_delta": -0.1}, ValueError, "EarlyStopping: expected min_delta >= 0, got -0.1"),
        ({"monitor": 3}, TypeError, "EarlyStopping: expected monitor as a name, got int"),
        ({"baseline": "low"}, TypeError, "EarlyStopping: expected baseline as a real number, got 'low'"),
    ]:
        with pytest.raises(error) as caught:
            EarlyStopping(**options)
        assert str(caught.value) == text


def test_training_ends_where_the_loss_is_no_number():
    for value, stopped in [(1.0, False), (float("nan"), True), (float("inf"), True)]:
        made = estimator()
        TerminateOnNaN().on_epoch_end(made, {"epoch": 1, "loss": value})
        assert made.stop_training == stopped


# ---------------------------------------------------------------------------------------------------------------
# Files of models
# ---------------------------------------------------------------------------------------------------------------


def test_models_are_written_under_the_names_of_their_epochs(tmp_path):
    made, states = trainer(), []
    keeping = ModelCheckpoint(tmp_path / "run-{epoch:03d}-{val_loss:.3f}.safetensors", every=2)
    history = fit(made, [keeping, lambda record: states.append(made.model.state_dict())], 5)
    losses = history["val_loss"]
    names = [f"run-{epoch:03d}-{losses[epoch - 1]:.3f}.safetensors" for epoch in (2, 4)]
    assert sorted(os.listdir(tmp_path)) == names and keeping.last_path == str(tmp_path / names[1])
    for name, epoch in zip(names, (2, 4), strict=True):
        tensors, metadata = load_tensors(tmp_path / name)
        assert metadata["epoch"] == str(epoch) and float(metadata["val_loss"]) == losses[epoch - 1]
        loaded = fastnn.load(tmp_path / name)
        assert repr(loaded) == repr(made.model)
        for key, array in states[epoch - 1].items():
            np.testing.assert_array_equal(tensors[key], array)


def test_the_best_model_is_written(tmp_path):
    made, keeping = trainer(lr=0.5), ModelCheckpoint(tmp_path / "best", "val_accuracy", save_best_only=True)
    history = fit(made, [keeping], 20)
    values = history["val_accuracy"]
    assert keeping.best == max(values) and keeping.best_epoch == values.index(max(values)) + 1
    assert load_tensors(tmp_path / "best")[1]["epoch"] == str(keeping.best_epoch)
    X, y = task()
    again = Trainer(fastnn.load(tmp_path / "best"), made.criterion, made.optimizer)
    assert again.evaluate(X[:20], y[:20])["accuracy"] == keeping.best


def test_a_checkpoint_has_the_state_of_callbacks_that_come_later(tmp_path):
    """A stopping that has seen the epoch, wherever in the list it stands; and it stays stopped."""
    made = trainer(lr=0.5)
    callbacks = [ModelCheckpoint(tmp_path / "c", save="checkpoint"), EarlyStopping(patience=3)]
    history = fit(made, callbacks, 500)
    again, stopping = trainer(lr=0.5), EarlyStopping(patience=3)
    resumed = fit(again, [stopping], 500, resume=tmp_path / "c")
    assert resumed.history == history.history and stopping.stopped_epoch == len(history)
    for name, array in made.model.state_dict().items():  # the best model of both
        np.testing.assert_array_equal(again.model.state_dict()[name], array)
    patient = EarlyStopping(patience=5)
    assert len(fit(trainer(lr=0.5), [patient], len(history) + 1, resume=tmp_path / "c")) == len(history) + 1
    assert patient.stopped_epoch == 0
    callbacks[0].on_train_begin(again)
    assert callbacks[0].last_path == str(tmp_path / "c")  # of a training that goes on


def test_checkpoints_of_some_epochs(tmp_path):
    made = trainer(lr=0.5)
    every = ModelCheckpoint(tmp_path / "{epoch}", every=2, save="checkpoint")
    best = ModelCheckpoint(tmp_path / "best", save_best_only=True, save="checkpoint")
    values = fit(made, [every, best], 5)["val_loss"]
    assert sorted(os.listdir(tmp_path)) == ["2", "4", "best"]
    epochs = {name: fastnn.load_checkpoint(tmp_path / name, model=made.model)["epoch"] for name in ("2", "4", "best")}
    assert epochs == {"2": 2, "4": 4, "best": values.index(min(values)) + 1}


def test_callbacks_find_their_own_state_again(tmp_path):
    """By class, and by place among their class; others begin anew, and what nobody asks for is left."""

    class Counter(Callback):
        def __init__(self, count):
            self.count = count

        def state_dict(self):
            return {"count": self.count, "array": np.arange(self.count)}

        def load_state_dict(self, state_dict):
            self.count = state_dict["count"] + state_dict["array"].sum()

    made = trainer()
    fit(made, [Counter(3), Diary(), Counter(5), EarlyStopping()], 2)
    made.save_checkpoint(tmp_path / "c")
    counters = [Counter(0), Counter(0), Counter(9)]
    fit(trainer(), counters, 3, resume=tmp_path / "c")
    assert [counter.count for counter in counters] == [3 + 3, 5 + 10, 9]


def test_model_checkpoint_refuses(tmp_path):
    for options, error, text in [
        ({"path": 3}, TypeError, "expected str, bytes or os.PathLike object, not int"),
        ({"path": "a{epoch"}, ValueError, "expected path with fields in braces, got 'a{epoch'"),
        ({"path": "a", "every": 0}, ValueError, "ModelCheckpoint: expected every >= 1, got 0"),
        ({"path": "a", "save": "all"}, ValueError, "expected save 'model' or 'checkpoint', got 'all'"),
    ]:
        with pytest.raises(error) as caught:
            ModelCheckpoint(**options)
        assert text in str(caught.value)
    with pytest.raises(ValueError, match=r"ModelCheckpoint: expected monitor as one of loss, .*, got 'val_acc'"):
        fit(trainer(), [ModelCheckpoint(tmp_path / "{val_acc}")])
    with pytest.raises(ValueError, match=r"ModelCheckpoint: expected path with formats of numbers, got .*loss:03d"):
        fit(trainer(), [ModelCheckpoint(tmp_path / "{loss:03d}")])
    with pytest.raises(TypeError, match=r"expected a Trainer, which saves checkpoints, or save='model', got SimpleN"):
        ModelCheckpoint("never", save="checkpoint").on_train_begin(estimator())
    with pytest.raises(FileNotFoundError):
        fit(trainer(), [ModelCheckpoint(tmp_path / "no folder" / "c")])
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------------------------------------------------------
# Learning rates
# ---------------------------------------------------------------------------------------------------------------


def test_schedules_as_callbacks_are_the_schedules_of_fit():
    def rates(callbacks=(), schedule=None, epochs=6):
        made = trainer()
        made_callbacks = [make(made.optimizer) for make in callbacks]
        options = {"schedule": schedule and schedule(made.optimizer)}
        return fit(made, made_callbacks, epochs, **options)["lr"]

    expected = rates(schedule=lambda optimizer: lr_scheduler.StepLR(optimizer, 2, gamma=0.5))
    assert expected[-1] == 0.025
    assert rates([lambda optimizer: LRScheduler(lr_scheduler.StepLR(optimizer, 2, gamma=0.5))]) == expected
    assert rates([lambda optimizer: LRScheduler(lr_scheduler.StepLR, step_size=2, gamma=0.5)]) == expected
    assert rates([lambda optimizer: LRScheduler(lambda epoch: 0.1 * 0.5 ** ((epoch - 1) // 2))]) == expected
    plateau = rates(schedule=lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.5))
    assert len(set(plateau)) > 2
    assert rates([lambda optimizer: ReduceLROnPlateau(patience=0, threshold=0.5)]) == plateau
    own = [lambda optimizer: LRScheduler(lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.5))]
    assert rates(own) == plateau


def test_a_function_is_asked_for_the_epochs_that_there_are():
    asked = []
    table = {1: 0.3, 2: 0.2, 3: 0.1}
    assert fit(trainer(), [LRScheduler(lambda epoch: asked.append(epoch) or table[epoch])], 3)["lr"] == [0.3, 0.2, 0.1]
    assert asked == [1, 2, 3]
    assert fit(trainer(), [LRScheduler(lambda epoch: np.float32(0.5))], 1)["lr"] == [0.5]


def test_a_schedule_of_batches():
    made, expected = trainer(), trainer().optimizer
    seen = []
    policy = {"max_lr": 1.0, "total_steps": 12}
    callbacks = [
        LRScheduler(lr_scheduler.OneCycleLR, "batch", **policy),
        LambdaCallback(on_batch_end=lambda trainer, step, loss: seen.append(trainer.optimizer.lr)),
    ]
    fit(made, callbacks, 3)
    schedule = lr_scheduler.OneCycleLR(expected, **policy)
    for rate in seen:
        schedule.step()
        assert rate == expected.lr
    assert len(seen) == 12


def test_a_scheduler_of_ones_own_goes_on(tmp_path):
    def rates(epochs, **options):
        made = trainer()
        schedule = LRScheduler(lr_scheduler.CosineAnnealingLR(made.optimizer, 6))
        return fit(made, [schedule, ModelCheckpoint(tmp_path / "c", save="checkpoint")], epochs, **options)["lr"]

    whole = rates(6)
    assert rates(2) + rates(6, resume=tmp_path / "c")[2:] == whole and len(set(whole)) == 6


def test_lr_callbacks_refuse():
    for arguments, options, error, text in [
        ((3,), {}, TypeError, "LRScheduler: expected a scheduler or a function, got int"),
        ((abs, "batch"), {}, ValueError, "LRScheduler: expected every 'epoch' with a function, got 'batch'"),
        ((abs, "week"), {}, ValueError, "LRScheduler: expected every 'epoch' or 'batch', got 'week'"),
        ((abs,), {"gamma": 1}, TypeError, "LRScheduler: expected gamma with a class of schedulers, got none"),
    ]:
        with pytest.raises(error) as caught:
            LRScheduler(*arguments, **options)
        assert str(caught.value) == text
    for value, error, text in [
        ("fast", TypeError, "LRScheduler: expected lr of the function as a real number, got 'fast'"),
        (None, TypeError, "LRScheduler: expected lr of the function as a real number, got None"),
        (-1.0, ValueError, "LRScheduler: expected lr of the function >= 0, got -1.0"),
        (float("nan"), ValueError, "LRScheduler: expected a finite lr of the function, got nan"),
    ]:
        with pytest.raises(error) as caught:
            fit(trainer(), [LRScheduler(lambda epoch, value=value: value)])
        assert str(caught.value) == text
    with pytest.raises(ValueError, match="ReduceLROnPlateau: expected factor < 1, got 2"):
        ReduceLROnPlateau(factor=2)
    with pytest.raises(ValueError, match="ReduceLROnPlateau: expected mode 'auto' or 'min' or 'max', got 'up'"):
        ReduceLROnPlateau(mode="up")


# ---------------------------------------------------------------------------------------------------------------
# Logs
# ---------------------------------------------------------------------------------------------------------------


def rows(path):
    return [line.split(",") for line in path.read_text().splitlines()]


def test_csv_has_a_row_an_epoch_at_once(tmp_path):
    path, lengths = tmp_path / "log.csv", []
    path.write_text("something else\n")
    history = fit(trainer(), [CSVLogger(path), lambda record: lengths.append(len(rows(path)))], 3)
    names, *numbers = rows(path)
    assert lengths == [2, 3, 4] and names == ["epoch", *history.history]
    assert [row[0] for row in numbers] == ["1", "2", "3"]
    for column, name in enumerate(history.history, 1):
        assert [float(row[column]) for row in numbers] == history[name]  # every digit


def test_csv_appends_to_whole_rows_of_the_same_names(tmp_path):
    path = tmp_path / "log.csv"
    fit(trainer(), [CSVLogger(path, append=True)], 2)
    whole = path.read_text()
    path.write_text(whole + "3,0.12")  # as a crash of the machine may leave it
    fit(trainer(), [CSVLogger(path, append=True)], 1)
    assert path.read_text().startswith(whole) and [row[0] for row in rows(path)] == ["epoch", "1", "2", "1"]
    whole = path.read_text()
    with pytest.raises(ValueError, match=r"CSVLogger: expected a record of epoch, loss, .* to append to .*log.csv"):
        fit(trainer(), [CSVLogger(path, append=True)], 1, validation_data=None)
    assert path.read_text() == whole
    fit(trainer(), [CSVLogger(path)], 1)
    assert len(rows(path)) == 2


def test_csv_goes_on_at_the_epoch_of_the_checkpoint(tmp_path):
    path = tmp_path / "log.csv"
    made = trainer()
    fit(made, [CSVLogger(path), ModelCheckpoint(tmp_path / "{epoch}", save="checkpoint")], 5)
    history = fit(trainer(), [CSVLogger(path)], 6, resume=tmp_path / "3")
    assert [row[0] for row in rows(path)] == ["epoch", "1", "2", "3", "4", "5", "6"]
    assert [float(row[1]) for row in rows(path)[1:]] == history["loss"]
    path.write_text("epoch,loss\nsecond,0.5\n")
    with pytest.raises(ValueError, match=r"CSVLogger: expected rows that begin with an epoch in .*, got 'second'"):
        fit(trainer(), [CSVLogger(path)], 6, resume=tmp_path / "3")


def test_csv_leaves_names_out_that_come_later(tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(path)
    logger.on_train_begin(estimator())
    logger.on_epoch_end(None, {"epoch": 1, "loss": 0.5, "note, with comma": "a\nb"})
    logger.on_epoch_end(None, {"loss": 0.25, "epoch": 2, "more": 1})
    logger.on_train_end(None)
    assert path.read_text() == 'epoch,loss,"note, with comma"\n1,0.5,"a\nb"\n2,0.25,\n'
    with pytest.raises(TypeError, match="CSVLogger: expected append as True or False, got 1"):
        CSVLogger(path, append=1)
    with pytest.raises(FileNotFoundError):
        fit(trainer(), [CSVLogger(tmp_path / "none" / "log.csv")])


def test_csv_of_a_killed_program_has_whole_rows(tmp_path):
    path = tmp_path / "log.csv"
    code = """if True:
        import sys
        from fastnn.callbacks import CSVLogger
        logger = CSVLogger(sys.argv[1])
        logger.on_train_begin(None)
        for epoch in range(1, 10**9):
            logger.on_epoch_end(None, {"epoch": epoch, "loss": 1 / epoch, "same": epoch})
    """
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", code, str(path)]) as writer:
            deadline = time.monotonic() + 60
            while (not path.exists() or path.stat().st_size < 3000) and time.monotonic() < deadline:
                time.sleep(0.005)
            writer.kill()
        text = path.read_text()
        assert text.endswith("\n") and len(rows(path)) > 50
        assert all(row == [str(n), str(1 / n), str(n)] for n, row in enumerate(rows(path)[1:], 1))
        path.unlink()


def test_tensorboard_is_given_the_numbers(tmp_path):
    class Writer:
        def __init__(self):
            self.scalars, self.histograms, self.flushed = [], [], 0

        def add_scalar(self, *values):
            self.scalars.append(values)

        def add_histogram(self, tag, values, step):
            self.histograms.append((tag, values.copy(), step))

        def flush(self):
            self.flushed += 1

    writer, made = Writer(), trainer()
    history = fit(made, [TensorBoard(writer, prefix="run/", histograms=2)], 3)
    assert writer.flushed == 3
    for name, values in history.history.items():
        assert [scalar for scalar in writer.scalars if scalar[0] == f"run/{name}"] == [
            (f"run/{name}", value, epoch) for epoch, value in enumerate(values, 1)
        ]
    assert [tag for tag, _, _ in writer.histograms] == [f"run/{name}" for name, _ in made.model.named_parameters()]
    assert {step for _, _, step in writer.histograms} == {2}
    scalars = SimpleNamespace(add_scalar=lambda *values: None)
    TensorBoard(scalars).on_epoch_end(made, {"epoch": 1, "loss": 0.5})
    with pytest.raises(TypeError, match="TensorBoard: expected a writer with add_histogram, got SimpleNamespace"):
        TensorBoard(scalars, histograms=1)
    with pytest.raises(TypeError, match="TensorBoard: expected a writer with add_scalar, got str"):
        TensorBoard("folder")


def test_an_estimator_takes_them_all(tmp_path):
    """What `fastnn.sklearn` promises: model, optimizer, stop_training, and three hooks."""
    made = estimator()
    hooks = CallbackList("fit", [
        EarlyStopping(patience=2), TerminateOnNaN(), LRScheduler(lr_scheduler.StepLR, step_size=1), ReduceLROnPlateau(),
        CSVLogger(tmp_path / "log.csv"), ModelCheckpoint(tmp_path / "m-{epoch}", save_best_only=True),
        TensorBoard(SimpleNamespace(add_scalar=lambda *values: None)), LambdaCallback(on_train_end=lambda e: None),
    ])  # fmt: skip
    with hooks.training(made):
        for epoch, loss in enumerate([3.0, 2.0, 2.5, 2.5], 1):
            hooks.on_epoch_end(made, {"epoch": epoch, "loss": 1.0, "val_loss": loss})
    assert made.stop_training and made.optimizer.lr == pytest.approx(1e-4)
    assert sorted(os.listdir(tmp_path)) == ["log.csv", "m-1", "m-2"] and len(rows(tmp_path / "log.csv")) == 5
