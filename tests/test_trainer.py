"""The training loop: against the loop written out, modes, metrics, Ctrl-C, history, progress, pictures."""

import builtins
import csv
import io
import math
import pickle
import signal
import sys
import threading

import numpy as np
import pytest

import fastnn
from fastnn import History, Trainer, data, nn, optim
from fastnn.interrupts import Interrupts
from fastnn.program.explicit import train_step


def task(rows=60, classes=3):
    """Points around as many centres as there are classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, rows)
    centres = rng.normal(size=(classes, 4))
    return (3 * centres[y] + rng.normal(size=(rows, 4))).astype(np.float32), y


def network(dropout=0.0):
    return nn.Sequential(nn.Linear(4, 8, rng=0), nn.Tanh(), nn.Dropout(dropout, rng=2), nn.Linear(8, 3, rng=1))


def trainer(model=None, criterion=None, lr=0.1):
    model = model or network()
    return Trainer(model, criterion or nn.CrossEntropyLoss(), optim.SGD(model, lr=lr, momentum=0.9))


class Terminal(io.StringIO):
    def isatty(self):
        return True


# ---------------------------------------------------------------------------------------------------------------
# fit
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_fit_is_the_loop_written_out(dropout):
    X, y = task()
    fitted = trainer(network(dropout))
    history = fitted.fit(X, y, epochs=3, batch_size=16, rng=5, progress=False)
    model, criterion = network(dropout), nn.CrossEntropyLoss()
    optimizer = optim.SGD(model, lr=0.1, momentum=0.9)
    loader = data.batches(X, y, 16, shuffle=True, rng=5)
    for epoch in range(3):
        total, right = 0.0, 0
        for inputs, target in loader:
            model.zero_grad()
            output = model.forward(inputs)
            total += criterion.forward(output, target) * len(inputs)
            right += (output.argmax(axis=1) == target).sum()
            model.backward(inputs, criterion.backward(output, target))
            optimizer.step()
        assert history.history["loss"][epoch] == total / 60
        assert history.history["accuracy"][epoch] == right / 60
    for got, expected in zip(fitted.model.parameters(), model.parameters(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_fit_learns_and_records_every_epoch():
    X, y = task()
    fitted = trainer()
    records = []
    history = fitted.fit(
        X[:40], y[:40], 6, validation_data=(X[40:], y[40:]), callbacks=[records.append], rng=0, progress=False
    )
    names = {"loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"}
    assert set(history.history) == names and {len(values) for values in history.history.values()} == {6}
    assert len(history) == 6 and [record["epoch"] for record in records] == [1, 2, 3, 4, 5, 6]
    for name in names:
        assert [record[name] for record in records] == history.history[name]
        assert all(type(value) is float for value in history.history[name]), name
    assert history.history["loss"][-1] < history.history["loss"][0] / 2
    assert {"loss": history.history["val_loss"][-1], "accuracy": history.history["val_accuracy"][-1]} == (
        fitted.evaluate(X[40:], y[40:])
    )
    assert min(history.history["seconds"]) > 0
    assert repr(history).startswith("History(6 epochs; last: loss=")


def test_fit_by_seed_and_by_order():
    X, y = task()

    def losses(**options):
        return trainer().fit(X, y, 2, batch_size=7, progress=False, **options).history["loss"]

    assert losses(rng=1) == losses(rng=1) == losses(rng=np.random.default_rng(1))
    assert losses(rng=1) != losses(rng=2)
    assert losses(shuffle=False, rng=1) == losses(shuffle=False, rng=2)


def test_fit_of_a_regression_has_no_accuracy():
    X, _ = task()
    history = trainer(nn.Sequential(nn.Linear(4, 1, rng=0)), nn.MSELoss(), 0.01).fit(
        X, X[:, :1], 3, validation_data=(X, X[:, :1]), progress=False
    )
    assert set(history.history) == {"loss", "val_loss", "lr", "seconds"}


def test_fit_with_class_rows_and_with_ignored_rows_counts_accuracy():
    X, y = task()
    rows = trainer().fit(X, data.one_hot(y, 3), 2, rng=0, progress=False)
    labels = trainer().fit(X, y, 2, rng=0, progress=False)
    np.testing.assert_allclose(rows.history["loss"], labels.history["loss"], rtol=1e-5)
    assert rows.history["accuracy"] == labels.history["accuracy"]
    right = trainer()
    output = right.predict(X)
    half = np.where(np.arange(60) % 2, y, -100)
    assert right.evaluate(X, half)["accuracy"] == (output.argmax(axis=1) == y)[1::2].mean()
    right.criterion = nn.CrossEntropyLoss(ignore_index=1)
    assert right.evaluate(X, y)["accuracy"] == (output.argmax(axis=1) == y)[y != 1].mean()


def test_fit_sums_the_losses_of_a_sum():
    X, y = task()
    summed = trainer(criterion=nn.CrossEntropyLoss(reduction="sum"), lr=0.0).fit(X, y, 1, 16, progress=False)
    mean = trainer(lr=0.0).fit(X, y, 1, 16, progress=False)
    np.testing.assert_allclose(summed.history["loss"][0], 60 * mean.history["loss"][0], rtol=1e-6)


def test_fit_drops_the_last_batch():
    X, y = task(33)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match="expected more than 1 value per channel"):
        trainer(model).fit(X, y, 1, 32, progress=False)
    history = trainer(model, lr=0.0).fit(X, y, 1, 32, shuffle=False, drop_last=True, progress=False)
    np.testing.assert_allclose(history.history["loss"][0], nn.CrossEntropyLoss().forward(model.forward(X[:32]), y[:32]))


def test_fit_steps_a_schedule_after_each_epoch():
    X, y = task()
    fitted = trainer(lr=1.0)
    schedule = optim.lr_scheduler.ExponentialLR(fitted.optimizer, 0.5)
    history = fitted.fit(X, y, 3, schedule=schedule, progress=False)
    assert history.history["lr"] == [1.0, 0.5, 0.25] and fitted.optimizer.lr == 0.125


@pytest.mark.parametrize("validated", [False, True])
def test_fit_gives_a_plateau_schedule_the_loss(validated):
    X, y = task()
    fitted = trainer()
    schedule = optim.lr_scheduler.ReduceLROnPlateau(fitted.optimizer)
    seen = []
    schedule.step = seen.append
    history = fitted.fit(
        X, y, 3, validation_data=(X[:9], y[:9]) if validated else None, schedule=schedule, progress=False
    )
    assert seen == history.history["val_loss" if validated else "loss"]


def test_a_trainer_is_pickled_with_its_history(tmp_path):
    X, y = task()
    made = trainer()
    made.save_checkpoint(tmp_path / "new")
    made.fit(X, y, 2, callbacks=[lambda record: None], rng=0, progress=False)
    again = pickle.loads(pickle.dumps(made))
    assert again.history.history == made.history.history and again.optimizer.model is again.model
    again.save_checkpoint(tmp_path / "c")
    for path, epochs in ((tmp_path / "c", 2), (tmp_path / "new", 0)):
        assert fastnn.load_checkpoint(path, model=made.model)["epoch"] == epochs
    continued = again.fit(X, y, 3, rng=0, resume=tmp_path / "c", progress=False)
    assert len(continued) == 3 and continued["loss"][:2] == made.history["loss"]


def test_fit_refuses():
    X, y = task()
    for arguments, error, text in [
        ((X, y[:3], 1), ValueError, "batches: expected X and Y of one length, got 60 and 3 rows"),
        ((X, y, 0), ValueError, "Trainer.fit: expected epochs >= 1, got 0"),
        ((X, y, 1.5), TypeError, "Trainer.fit: expected epochs as an integer, got 1.5"),
        ((X, y, 1, 0), ValueError, "batches: expected batch_size >= 1, got 0"),
        ((X[:0], y[:0], 1), ValueError, "Trainer.fit: expected at least one batch to train on, got 0 rows"),
    ]:
        with pytest.raises(error) as caught:
            trainer().fit(*arguments, progress=False)
        assert str(caught.value) == text
    for validation, error, text in [
        ((X,), TypeError, "Trainer.fit: expected validation_data as a pair (X, Y), got tuple of 1"),
        (X, TypeError, "Trainer.fit: expected validation_data as a pair (X, Y), got ndarray"),
        ((X, y[:3]), ValueError, "batches: expected X and Y of one length, got 60 and 3 rows"),
        ((X[:0], y[:0]), ValueError, "Trainer.fit: expected at least one row of validation_data, got none"),
    ]:
        made = trainer()
        with pytest.raises(error) as caught:
            made.fit(X, y, 1, validation_data=validation, progress=False)
        assert str(caught.value) == text and not made.optimizer.state
    with pytest.raises(TypeError, match=r"Trainer.fit: expected train_metrics as True or False, got 1"):
        trainer().fit(X, y, 1, progress=False, train_metrics=1)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("stepped", [False, True])
def test_weights_of_samples(own, stepped):
    """A row of weight 2 counts as two, one of weight 0 as none; the loss of the epoch is the mean of all weights."""
    X, y = task()
    weights = np.random.default_rng(1).integers(0, 3, 60)
    weights[:16] = 0  # a whole batch
    layers = [nn.Linear(4, 8, rng=0), *([Pressing(None, -1)] if own else []), nn.Linear(8, 3, rng=1)]
    made = trainer(nn.Sequential(*layers), lr=0.0)
    callbacks = [fastnn.callbacks.LambdaCallback(on_batch_end=lambda *values: None)] if stepped else []
    options = {"batch_size": 16, "rng": 0, "progress": False, "callbacks": callbacks}
    whole = made.criterion.forward(made.predict(X), y, weights)
    for shuffle in (False, True):
        history = made.fit(X, y, 2, shuffle=shuffle, sample_weight=weights, **options)
        np.testing.assert_allclose(history["loss"], whole, rtol=1e-6)
    dropped = made.fit(X, y, 1, shuffle=False, sample_weight=weights, drop_last=True, **options)
    some = made.criterion.forward(made.predict(X[:48]), y[:48], weights[:48])
    assert dropped["loss"][0] == pytest.approx(some, rel=1e-6)
    first, second = trainer(nn.Sequential(*layers)), None
    start = first.model.state_dict()
    unweighted = first.fit(X, y, 3, **options)
    first.model.load_state_dict(start)
    second = trainer(first.model).fit(X, y, 3, sample_weight=np.ones(60), **options)
    np.testing.assert_allclose(second["loss"], unweighted["loss"], rtol=1e-5)  # in the same order of rows
    with pytest.raises(ValueError, match="sample_weight"):
        made.fit(X, y, 1, sample_weight=weights[:5], **options)


# ---------------------------------------------------------------------------------------------------------------
# Metrics
# ---------------------------------------------------------------------------------------------------------------


def widest(targets, outputs):
    """A metric that tells whether it was given what it should be."""
    assert isinstance(outputs, np.ndarray) and outputs.shape == (len(targets), 3)
    return np.abs(outputs).max()


def test_metrics_are_evaluated_where_they_are_asked_for():
    X, y = task()
    metrics = {"widest": widest, "accuracy": lambda targets, outputs: np.float32(0.25)}
    made = trainer()
    made = Trainer(made.model, made.criterion, made.optimizer, metrics)
    result = made.evaluate(X, y)
    assert list(result) == ["loss", "accuracy", "widest"] and result["accuracy"] == 0.25
    assert result["widest"] == np.abs(made.predict(X)).max() and type(result["widest"]) is float
    seen = []
    history = made.fit(
        X[:40], y[:40].tolist(), 2, validation_data=(X[40:], y[40:]), rng=0, progress=False,
        callbacks=[lambda record: seen.append((made.predict(X[40:]), made.predict(X[:40])))],
    )  # fmt: skip
    assert set(history.history) == {"loss", "accuracy", "lr", "seconds", "val_loss", "val_accuracy", "val_widest"}
    assert history["val_widest"] == [np.abs(outputs).max() for outputs, _ in seen]
    history = made.fit(X[:40], y[:40], 2, rng=0, progress=False, train_metrics=True,
                       callbacks=[lambda record: seen.append((None, made.predict(X[:40])))])  # fmt: skip
    assert history["widest"] == [np.abs(outputs).max() for _, outputs in seen[2:]]
    assert history["accuracy"] == [0.25, 0.25]


def test_metrics_of_the_package():
    X, y = task()
    made, names = trainer(), ("accuracy", "top_k_accuracy", "balanced_accuracy")
    functions = {name: getattr(fastnn.metrics, name) for name in names}
    made = Trainer(made.model, made.criterion, made.optimizer, functions)
    plain = trainer().evaluate(X, y)
    assert {name: made.evaluate(X, y)[name] for name in plain} == plain
    model = nn.Sequential(nn.Linear(4, 1, rng=0))
    made = Trainer(model, nn.MSELoss(), optim.SGD(model), {"r2": fastnn.metrics.r2_score})
    predicted, target = model.forward(X), X[:, :1]
    expected = 1 - np.square(target - predicted).sum() / np.square(target - target.mean()).sum()
    assert made.evaluate(X, target)["r2"] == pytest.approx(expected, rel=1e-5)


def test_metrics_refuse():
    model = network()
    parts = model, nn.CrossEntropyLoss(), optim.SGD(model)
    for metrics, error, text in [
        ([widest], TypeError, "Trainer: expected metrics as a mapping of names to functions, got list"),
        ({"loss": widest}, ValueError, "Trainer: expected another name for a metric than epoch, loss, lr, seconds, "
                                       "got 'loss'"),
        ({"size": 3}, TypeError, "Trainer: expected the metric 'size' as a function, got int"),
    ]:  # fmt: skip
        with pytest.raises(error) as caught:
            Trainer(*parts, metrics=metrics)
        assert str(caught.value) == text
    X, y = task()
    with pytest.raises(TypeError, match=r"Trainer: expected the metric 'rows' to be a number, got shape \(60,\)"):
        Trainer(*parts, metrics={"rows": lambda targets, outputs: outputs[:, 0]}).evaluate(X, y)


# ---------------------------------------------------------------------------------------------------------------
# Ctrl-C
# ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ctrl_c():
    """Python's own handler, whatever the run was started with."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


class Pressing(nn.Module):
    """A layer in whose backward pass Ctrl-C is pressed."""

    def __init__(self, press, steps):
        self.press, self.steps = press, steps

    def update_output(self, input):
        return input * 1

    def update_grad_input(self, input, grad_output):
        self.steps -= 1
        if self.steps == 0:
            self.press()
        return grad_output * 1


def network_with(layer):
    return nn.Sequential(nn.Linear(4, 8, rng=0), nn.BatchNorm1d(8), layer, nn.Linear(8, 3, rng=1))


def interrupted(made, callbacks=()):
    """Fit until Ctrl-C; the epochs that are whole then, and whether the callbacks have ended."""
    X, y = task()
    ended = []
    end = fastnn.callbacks.LambdaCallback(on_train_end=ended.append)
    with pytest.raises(KeyboardInterrupt):
        made.fit(X, y, 10**9, 20, rng=0, progress=False, callbacks=[*callbacks, end])
    assert ended == [made] and all(module.training for module in made.model.modules())
    return len(made.history)


@pytest.mark.parametrize("batches", [False, True])
def test_ctrl_c_waits_for_the_end_of_the_step(ctrl_c, batches):
    made = trainer(network_with(Pressing(ctrl_c, steps=5)))
    step = fastnn.callbacks.LambdaCallback(on_batch_end=lambda *values: None)
    assert interrupted(made, [step] if batches else []) == 1 and made.epoch == 2
    plain = trainer(network_with(Pressing(None, steps=-1)))
    loader = data.batches(*task(), 20, shuffle=True, rng=0)
    for x, y in [*loader, *loader][:5]:
        train_step(plain.model, plain.criterion, plain.optimizer, x, y)
    for name, array in plain.model.state_dict().items():
        np.testing.assert_array_equal(made.model.state_dict()[name], array)
    assert made.optimizer.state[0]["step"] == 5


def test_ctrl_c_in_a_compiled_epoch_leaves_whole_steps(ctrl_c):
    made = trainer(network_with(nn.ReLU()))
    timer = threading.Timer(0.2, ctrl_c)
    timer.start()
    epochs = interrupted(made)
    timer.join()
    steps = made.optimizer.state[0]["step"]
    assert steps // 3 in (epochs, epochs + 1) and steps == made.model[1].num_batches_tracked
    plain = trainer(network_with(nn.ReLU()))
    plain.fit(*task(), steps // 3, 20, rng=(rng := np.random.default_rng(0)), progress=False)
    for x, y in [*data.batches(*task(), 20, shuffle=True, rng=rng)][: steps % 3]:
        fastnn.compile(plain.model, plain.criterion, plain.optimizer)(x, y)
    for name, array in plain.model.state_dict().items():
        np.testing.assert_array_equal(made.model.state_dict()[name], array)


def test_ctrl_c_between_epochs_does_not_wait(ctrl_c):
    passed = []

    def press(record):
        ctrl_c()
        for _ in range(1000):
            passed.append(record["epoch"])

    assert interrupted(trainer(), [press]) == 1 and len(passed) < 1000


def test_ctrl_c_after_the_last_step_of_a_pass_is_not_lost(ctrl_c):
    passed = []
    with Interrupts().caught() as interrupts, pytest.raises(KeyboardInterrupt), interrupts.held():
        ctrl_c()
        passed.extend([1] * 1000)
    assert len(passed) == 1000


def test_ctrl_c_twice_does_not_wait(ctrl_c):
    def press():
        ctrl_c()
        ctrl_c()

    made = trainer(network_with(Pressing(press, steps=2)))
    interrupted(made)
    assert made.optimizer.state[0]["step"] == 1


def test_a_handler_of_ones_own_stays(ctrl_c):
    pressed = []
    signal.signal(signal.SIGINT, lambda *values: pressed.append(values))
    made = trainer(network_with(Pressing(ctrl_c, steps=2)))
    made.fit(*task(), 2, 20, progress=False)
    assert len(pressed) == 1 and len(made.history) == 2
    signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []
    thread = threading.Thread(target=lambda: done.append(len(trainer().fit(*task(), 2, progress=False))))
    thread.start()
    thread.join()
    assert done == [2]


# ---------------------------------------------------------------------------------------------------------------
# Modes, evaluate, predict
# ---------------------------------------------------------------------------------------------------------------


def modes(model):
    return [module.training for module in model.modules()]


@pytest.mark.parametrize("frozen", [False, True])
def test_every_module_has_its_mode_back(frozen):
    X, y = task()
    model = network(0.5)
    if frozen:
        model[0].eval()
        model[2].eval()
    before = modes(model)
    seen = []
    made = trainer(model)
    forward = model.forward
    model.forward = lambda x: seen.append(modes(model)) or forward(x)
    made.evaluate(X, y)
    made.predict(X)
    assert seen == [[False] * 5] * 2 and modes(model) == before
    seen.clear()
    made.fit(X, y, 1, 60, validation_data=(X, y), callbacks=[lambda record: seen.append(modes(model))], progress=False)
    assert seen == [[True] * 5, [False] * 5, [True] * 5] and modes(model) == before

    def fail(x):
        raise RuntimeError("no")

    model.forward = fail
    for call in (lambda: made.predict(X), lambda: made.evaluate(X, y), lambda: made.fit(X, y, 1, progress=False)):
        with pytest.raises(RuntimeError, match="no"):
            call()
        assert modes(model) == before


def test_predict_and_evaluate_do_not_depend_on_batches():
    X, y = task()
    model = network(0.5)
    made = trainer(model, nn.CrossEntropyLoss(weight=[1.0, 2.0, 3.0]))  # a weighted mean is no mean of batches' means
    whole = model.eval().forward(X)
    model.train()
    np.testing.assert_allclose(made.predict(X, batch_size=7), whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(made.predict(X), whole)
    expected = {"loss": made.criterion.forward(whole, y), "accuracy": float((whole.argmax(axis=1) == y).mean())}
    assert made.evaluate(X, y) == expected
    got = made.evaluate(X, y.tolist(), batch_size=11)
    assert got["loss"] == pytest.approx(expected["loss"]) and got["accuracy"] == expected["accuracy"]


def test_predict_and_evaluate_of_nothing():
    assert trainer().predict(np.empty((0, 4), np.float32)).shape == (0, 3)
    with pytest.raises(ValueError, match=r"Trainer.evaluate: expected at least one row, got none"):
        trainer().evaluate(np.empty((0, 4), np.float32), [])
    with pytest.raises(ValueError, match=r"Trainer.evaluate: expected X and Y of one length, got 60 and 3 rows"):
        trainer().evaluate(task()[0], [0, 1, 2])


# ---------------------------------------------------------------------------------------------------------------
# Progress and pictures
# ---------------------------------------------------------------------------------------------------------------


def test_progress_is_a_line_an_epoch(capsys):
    X, y = task()
    trainer().fit(X, y, 2, validation_data=(X, y))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 2
    assert lines[0].startswith("epoch 1/2  loss ") and lines[1].startswith("epoch 2/2  loss ")
    assert all(word in lines[0] for word in ("  accuracy 0.", "  val_loss ", "  val_accuracy 0.", " s  "))
    seconds, rate = lines[0].removesuffix(" samples/s").rsplit("  ", 2)[1:]
    assert seconds.endswith(" s") and int(rate.replace(",", "")) > 60
    trainer().fit(X, y, 2, progress=False)
    assert capsys.readouterr() == ("", "")
    made = trainer()
    Trainer(made.model, made.criterion, made.optimizer, {"width": widest}).fit(X, y, 1, validation_data=(X, y))
    assert "  val_accuracy 0." in (line := capsys.readouterr()[1]) and "  val_width " in line


def test_progress_is_a_bar_on_a_terminal(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    X, y = task()
    trainer().fit(X, y, 2, batch_size=20)
    assert "120/120" in sys.stderr.getvalue() and "epoch 2/2  loss " in sys.stderr.getvalue()


def test_progress_of_a_training_that_goes_on(monkeypatch, tmp_path):
    pytest.importorskip("tqdm")
    X, y = task(50)
    made = trainer()
    made.fit(X, y, 2, batch_size=20, progress=False)
    made.save_checkpoint(tmp_path / "c")
    monkeypatch.setattr(sys, "stderr", Terminal())
    trainer().fit(X, y, 3, batch_size=20, drop_last=True, resume=tmp_path / "c")
    assert " 80.0/120 " in sys.stderr.getvalue() and " 120/120 " in sys.stderr.getvalue()


def without(monkeypatch, package):
    """Let `import package` fail as where it is not installed."""
    real = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}")
        return real(name, *arguments, **keywords)

    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(builtins, "__import__", refuse)


def test_progress_is_lines_on_a_terminal_without_tqdm(monkeypatch):
    without(monkeypatch, "tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    X, y = task()
    trainer().fit(X, y, 2)
    assert len(sys.stderr.getvalue().splitlines()) == 2


def full_history():
    history = History()
    for epoch in range(3):
        history.append({"loss": 1 / (epoch + 1), "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.4, "lr": 0.1})
    return history


def test_history_as_a_table(tmp_path):
    history = full_history()
    assert history["loss"] == [1, 1 / 2, 1 / 3] and len(history) == 3
    with pytest.raises(KeyError, match=r"History: expected one of loss, accuracy, val_loss, .*, got 'f1'"):
        history["f1"]
    history.to_csv(tmp_path / "h.csv")
    with open(tmp_path / "h.csv", newline="") as file:
        names, *rows = csv.reader(file)
    assert names == ["epoch", *history.history] and [row[0] for row in rows] == ["1", "2", "3"]
    assert [float(row[1]) for row in rows] == history["loss"]
    table = history._repr_html_()
    assert table.count("<tr>") == 4 and table.count("<td>") == 15 and "<th>val_accuracy</th>" in table
    assert "<td>0.3333</td>" in table
    copy = History.of(history.history)
    assert copy.history == history.history and copy["loss"] is not history["loss"]


def test_the_best_epoch():
    history = History()
    for loss in (3.0, math.nan, 1.0, 2.0, 1.0):
        history.append({"loss": loss, "nothing": math.nan})
    assert history.best("loss") == (3, 1.0) and history.best("loss", "max") == (1, 3.0)
    assert history.best("nothing")[0] == 1
    with pytest.raises(ValueError, match=r"History.best: expected mode 'min' or 'max', got 'least'"):
        history.best("loss", "least")
    with pytest.raises(KeyError, match="History: expected one of no names yet, got 'loss'"):
        History().best("loss")


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_plot_writes_a_picture(tmp_path, ending):
    pytest.importorskip("matplotlib")
    figure = full_history().plot(tmp_path / f"curve.{ending}")
    assert (tmp_path / f"curve.{ending}").stat().st_size > 1000
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    loss = figure.axes[0].lines
    assert [line.get_label() for line in loss] == ["training", "validation", "best: 1 in epoch 1"]
    assert loss[0].get_xdata().tolist() == [1, 2, 3] and list(loss[0].get_ydata()) == [1, 1 / 2, 1 / 3]


def test_plot_of_metrics_and_of_wide_losses(tmp_path):
    pytest.importorskip("matplotlib")
    history = History()
    for epoch in range(40):
        metrics = dict.fromkeys(("val_accuracy", "val_r2", "width", "val_width"), epoch / 40)
        history.append({"loss": 0.8**epoch, "val_loss": 0.9**epoch, **metrics, "lr": 0.1, "seconds": 1.0})
    figure = history.plot(tmp_path / "c.svg")
    axes = {axes.get_ylabel(): axes for axes in figure.axes}
    assert list(axes) == ["loss", "accuracy", "r2", "width"] and len({a.get_position().y0 for a in figure.axes}) == 2
    assert [a.get_yscale() for a in figure.axes] == ["log", "linear", "linear", "linear"]
    labels = {name: [line.get_label() for line in a.lines] for name, a in axes.items()}
    assert labels["loss"] == ["training", "validation", f"best: {0.9**39:.4g} in epoch 40"]
    assert labels["accuracy"] == ["validation", "best: 0.975 in epoch 40"]
    assert labels["width"] == ["training", "validation"]  # of which nobody knows what is better
    ticks = [tick.get_text() for tick in (*axes["loss"].get_yticklabels(), *axes["loss"].get_yticklabels(minor=True))]
    assert {"1", "0.1", "0.5", "0.02"} <= set(ticks) and "0.3" not in ticks


def test_plot_of_what_there_is():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    history = History()
    assert len(history) == 0 and repr(history) == "History(0 epochs)"
    assert history.plot().axes == []
    history.append({"loss": 1.0})
    figure = history.plot()
    assert len(figure.axes) == 1 and len(figure.axes[0].lines) == 1
    history.append({"loss": math.nan, "val_loss": math.inf})
    history.history["accuracy"] = []
    assert len(history.plot().axes) == 1
    pyplot.close("all")


def test_plot_without_matplotlib_says_what_to_install(monkeypatch):
    without(monkeypatch, "matplotlib")
    with pytest.raises(ImportError) as caught:
        full_history().plot("never.png")
    assert "matplotlib" in str(caught.value) and "fastnn[plot]" in str(caught.value)
    assert "\n" not in str(caught.value)
