"""The training loop: against the loop written out, modes, history, progress, pictures."""

import builtins
import io
import sys

import numpy as np
import pytest

from fastnn import History, Trainer, data, nn, optim


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
    assert all(word in lines[0] for word in ("  accuracy 0.", "  val_loss ", "  val_accuracy 0.", " s"))
    trainer().fit(X, y, 2, progress=False)
    assert capsys.readouterr() == ("", "")


def test_progress_is_a_bar_on_a_terminal(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    X, y = task()
    trainer().fit(X, y, 2, batch_size=20)
    assert "120/120" in sys.stderr.getvalue() and "epoch 2/2  loss " in sys.stderr.getvalue()


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


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_plot_writes_a_picture(tmp_path, ending):
    pytest.importorskip("matplotlib")
    figure = full_history().plot(tmp_path / f"curve.{ending}")
    assert (tmp_path / f"curve.{ending}").stat().st_size > 1000
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    loss = figure.axes[0].lines
    assert [line.get_label() for line in loss] == ["training", "validation"]
    assert loss[0].get_xdata().tolist() == [1, 2, 3] and list(loss[0].get_ydata()) == [1, 1 / 2, 1 / 3]


def test_plot_of_what_there_is():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    history = History()
    assert len(history) == 0 and repr(history) == "History(0 epochs)"
    assert history.plot().axes == []
    history.append({"loss": 1.0})
    figure = history.plot()
    assert len(figure.axes) == 1 and len(figure.axes[0].lines) == 1
    pyplot.close("all")


def test_plot_without_matplotlib_says_what_to_install(monkeypatch):
    without(monkeypatch, "matplotlib")
    with pytest.raises(ImportError) as caught:
        full_history().plot("never.png")
    assert "matplotlib" in str(caught.value) and "fastnn[plot]" in str(caught.value)
    assert "\n" not in str(caught.value)
