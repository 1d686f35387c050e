"""`fastnn.compile`: what it takes and refuses, what may change between two calls, threads, signals, memory."""

import copy
import pickle
import signal
import threading
import time

import numpy as np
import pytest
from support import Subclass, needs_native, outcome, read_only, same_bits
from twins import Twin, assert_alike, everything, explicit_step, programs_alone, teams

import fastnn
from fastnn import backend, data, nn, optim
from fastnn.compat import torch7
from fastnn.program import inference
from fastnn.program import step as compiled
from fastnn.program.explicit import count_hits

ULPS = 16


def task(rows=40, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, 5)).astype(dtype), rng.integers(0, 3, rows)


def network(dtype=np.float32):
    layers = nn.Linear(5, 6, rng=0), nn.BatchNorm1d(6), nn.LeakyReLU(), nn.Dropout(0.3, rng=1), nn.Linear(6, 3, rng=2)
    return nn.Sequential(nn.Sequential(*layers[:3]), *layers[3:]).astype(dtype)


def momentum(model):
    return optim.SGD(model, lr=0.01, momentum=0.9, dampening=0.3)


def twin(model=None, criterion=None, make=momentum):
    return Twin(model or network(), criterion or nn.CrossEntropyLoss(), make)


# ---------------------------------------------------------------------------------------------------------------
# What has a compiled form
# ---------------------------------------------------------------------------------------------------------------


class MyLinear(nn.Linear):
    """A subclass, which may compute anything."""


class MyLoss(nn.MSELoss):
    """A subclass of a criterion."""


class MySGD(optim.SGD):
    """A subclass of an optimiser."""


def hooked(layer):
    layer.forward = lambda x: x
    return layer


LAYERS = "compile: expected layers with a compiled form, got "
REFUSED = [MyLinear(3, 3), nn.Module(), hooked(nn.Tanh())]


@pytest.mark.parametrize("layer", REFUSED, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("nested", [False, True])
def test_a_layer_without_a_compiled_form_is_named(layer, nested):
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Tanh(), layer)) if nested else layer
    line = "raised", TypeError, LAYERS + type(layer).__name__
    assert outcome(fastnn.compile, model) == line
    assert outcome(fastnn.compile, model, nn.MSELoss(), optim.SGD(model)) == line


def test_criterions_and_optimisers_without_a_compiled_form_are_named():
    model, line = network(), "compile: expected "
    loss, sgd = nn.MSELoss(), optim.SGD(model)
    for arguments, text in [
        ((model, MyLoss(), sgd), "a criterion with a compiled form, got MyLoss"),
        ((model, nn.Criterion(), sgd), "a criterion with a compiled form, got Criterion"),
        ((model, loss, MySGD(model)), "an optimizer with a compiled form, got MySGD"),
        ((3,), "a model, got int"),
        ((torch7.Tanh(),), "a model, got Tanh"),
        ((model, nn.MSELoss, sgd), "a criterion, got type"),
        ((model, loss, model), "an optimizer, got Sequential"),
    ]:
        assert outcome(fastnn.compile, *arguments) == ("raised", TypeError, line + text)
    for arguments, missing in (((model, loss), "optimizer"), ((model, None, sgd), "criterion")):
        text = f"a criterion and an optimizer to train, got no {missing}"
        assert outcome(fastnn.compile, *arguments) == ("raised", ValueError, line + text)


@needs_native
def test_a_layer_without_a_compiled_form_that_is_put_in_later_is_named():
    with backend.use_backend("native"):
        x, y = task()
        model = network()
        step, infer = fastnn.compile(model, nn.CrossEntropyLoss(), momentum(model)), fastnn.compile(model)
        step(x, y), infer(x)
        model[0].insert(1, MyLinear(6, 6))
        for call in (lambda: step(x, y), lambda: step.epoch(x, y, 8), lambda: infer(x)):
            assert outcome(call) == ("raised", TypeError, LAYERS + "MyLinear")
        del model[0][1]
        step(x, y), infer(x)


def test_the_parts_of_a_step_cannot_be_assigned():
    model = network()
    step = fastnn.compile(model, nn.CrossEntropyLoss(), momentum(model))
    for name in ("model", "criterion", "optimizer"):
        with pytest.raises(AttributeError):
            setattr(step, name, getattr(step, name))
    assert step.model is model


def test_a_reduction_that_no_criterion_knows_takes_the_explicit_loop():
    x, y = task()
    model, criterion = network(), nn.CrossEntropyLoss()
    step = fastnn.compile(model, criterion, momentum(model))
    criterion.reduction = "none"
    expected = criterion.forward(copy.deepcopy(model).forward(x), y)
    assert step(x, y) == expected


def test_repr():
    model = nn.Linear(2, 1, rng=0)
    step = fastnn.compile(model, nn.MSELoss(), optim.SGD(model))
    assert repr(step) == f"compile({model!r}, {step.criterion!r}, {step.optimizer!r})"
    assert repr(fastnn.compile(model)) == f"compile({model!r})"


def test_numbers_below_the_smallest_normal_one_are_there_again_after_a_training():
    """Compiled steps compute without them, on every thread of the team."""
    x, y = task(96)
    tiny, ones = np.full(1 << 20, 1e-39, np.float32), np.ones(1 << 20, np.float32)
    for threads in (1, 2):
        with fastnn.threads(threads):
            twin(network()).step.epoch(x, y, 48)
            bits = tiny.view(np.int32)  # such numbers are equal to 0 where they count as 0
            assert (backend.ops.unary_forward("ReLU", tiny, 0, 0).view(np.int32) == bits).all()
            assert ((tiny * ones).view(np.int32) == bits).all()


# ---------------------------------------------------------------------------------------------------------------
# Epochs
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows, size, drop", [(40, 8, False), (41, 8, False), (47, 8, True), (12, 50, False),
                                              (12, 50, True), (12, 12, False), (5, 3, False)])  # fmt: skip
@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_is_the_steps_of_batches(rows, size, drop, shuffle):
    x, y = task(rows)
    x = x[:, ::-1] if rows == 41 else x
    for model in (network(), nn.Sequential(nn.Linear(5, 3, rng=0))):
        if rows % size == 1 and not drop:
            model = nn.Sequential(nn.Linear(5, 3, rng=0))
        pair = twin(model)
        for epoch in range(2):
            losses = pair.step.epoch(x, y, size, shuffle, rng=epoch, drop_last=drop)
            loader = data.batches(x, y, size, shuffle, epoch, drop)
            expected = [explicit_step(pair.model, pair.criterion, pair.optimizer, *batch) for batch in loader]
            assert losses.dtype == np.float64 and losses.shape == (len(loader),)
            np.testing.assert_allclose(losses, expected, rtol=1e-5)
            pair.compare(ULPS)


def test_an_epoch_draws_from_the_generator_as_batches_does():
    x, y = task()
    step = twin().step
    mine, theirs = np.random.default_rng(3), np.random.default_rng(3)
    for targets in (y, y.tolist(), y.astype(np.int8)):
        step.epoch(x, targets, 8, rng=mine)
        list(data.batches(x, y, 8, True, theirs))
        assert mine.bit_generator.state == theirs.bit_generator.state
    again = twin().step.epoch(x, y, 8, rng=5), twin().step.epoch(x, y, 8, True, 5)
    assert same_bits(*again)


def test_an_epoch_of_unfit_arrays_raises_as_batches_does():
    x, y = task()
    step = twin().step
    for arguments in ((x, y[:-1]), (x, y, 0), (x, y, 1.5), (x, 3), (3, y)):
        assert outcome(step.epoch, *arguments) == outcome(data.batches, *arguments)
    assert step.epoch(x[:0], y[:0], 8).shape == (0,)


LOSSES = [nn.CrossEntropyLoss(), nn.CrossEntropyLoss(ignore_index=1), nn.MSELoss(),
          nn.NLLLoss(weight=np.array([1.0, 2.0, 0.5]), reduction="sum")]  # fmt: skip


@pytest.mark.parametrize("criterion", LOSSES, ids=repr)
@pytest.mark.parametrize("targets", ["labels", "ignored", "rows", "NaN scores"])
def test_hits_are_counted_as_the_explicit_loop_counts_them(criterion, targets):
    x, y = task(50)
    if targets == "ignored":
        y[::4] = criterion.ignore_index if hasattr(criterion, "ignore_index") else 0
    if targets == "rows" or isinstance(criterion, nn.MSELoss):
        y = data.one_hot(y, 3).astype(np.float32)
    if targets == "NaN scores":
        x[7, 2] = np.nan
    model = nn.Sequential(nn.Linear(5, 3, rng=0))
    step = fastnn.compile(model, criterion, optim.SGD(model, lr=1e-30))
    with programs_alone():
        losses, hits, counted = step.run_epoch(data.batches(x, y, 16, shuffle=True, rng=0), lambda steps: None)
    nan = targets == "NaN scores"
    assert len(losses) == 4 and np.isnan(losses).any() == nan
    if nan:  # the parameters are NaN from some batch on
        assert counted == (
            0 if isinstance(criterion, nn.MSELoss) else (y != getattr(criterion, "ignore_index", -1)).sum()
        )
        return
    assert (hits, counted) == count_hits(criterion, model.forward(x), y)
    assert counted == 0 or 0 < hits < counted


def test_the_first_of_several_largest_scores_counts_and_nan_is_the_largest():
    scores = np.array(
        [[1, 2, 2], [np.nan, 3, 3], [0, np.nan, np.nan], [np.inf, np.inf, 0], [-0.0, 0.0, 0.0]], np.float32
    )
    model = nn.Sequential(nn.Linear(1, 3), nn.Identity())
    for row in scores:
        model[0].weight[...], model[0].bias[...] = 0, row
        for label in range(3):
            step = fastnn.compile(model, nn.NLLLoss(), optim.SGD(model, lr=0.0))
            with programs_alone():
                hits = step.run_epoch(data.batches(np.zeros((1, 1), np.float32), np.array([label]), 1))[1:]
            assert hits == (int(label == row.argmax()), 1)


def test_the_callback_hears_of_every_step():
    x, y = task(90)
    seen = []
    step = twin().step
    step.run_epoch(data.batches(x, y, 7), seen.append)
    step.run_epoch(data.batches(x.tolist(), y, 7), seen.append)
    assert sum(seen) == 26


# ---------------------------------------------------------------------------------------------------------------
# What changes between two calls
# ---------------------------------------------------------------------------------------------------------------


def set_weight(order):
    def change(model):
        layer = model[0][0]
        layer.weight = np.array(layer.weight * 1.5, order=order)

    return change


def attribute(path, **values):
    def change(model):
        for name, value in values.items():
            setattr(path(model), name, value)

    return change


def insert(model):
    model.insert(1, nn.Tanh())


def replace(model):
    model[0][0] = nn.Linear(5, 6, rng=9)


def append(model):
    model[0].append(nn.ELU())


def delete(model):
    del model[0][2]


def in_place(model):
    model[0][0].weight -= 0.25
    model[-1].bias[...] = [1, 2, 3]
    model[0][1].running_mean += 1


def load(model):
    model.load_state_dict({name: array + 1 for name, array in model.state_dict().items()})


def buffers(model):
    norm = model[0][1]
    norm.running_mean, norm.num_batches_tracked = norm.running_mean + 1, np.array(41)


CHANGES = {
    "in place": in_place,
    "weight in C order": set_weight("C"),
    "weight in Fortran order": set_weight("F"),
    "strided weight": lambda model: setattr(model[-1], "weight", np.repeat(model[-1].weight, 2, axis=1)[:, ::2]),
    "no bias": attribute(lambda model: model[-1], bias=None, grad_bias=None),
    "load_state_dict": load,
    "eval": lambda model: model.eval(),
    "dropout alone in eval": lambda model: model[1].eval(),
    "batch norm alone in eval": lambda model: model[0][1].eval(),
    "dropout.p": attribute(lambda model: model[1], p=0.7),
    "dropout.p = 0": attribute(lambda model: model[1], p=0.0),
    "dropout.key and step": attribute(lambda model: model[1], key=2**64 - 1, step=1000),
    "slope": attribute(lambda model: model[0][2], negative_slope=0.4),
    "negative slope": attribute(lambda model: model[0][2], negative_slope=-0.4),
    "eps": attribute(lambda model: model[0][1], eps=0.3),
    "momentum None": attribute(lambda model: model[0][1], momentum=None),
    "no tracking": attribute(lambda model: model[0][1], track_running_stats=False),
    "buffers": buffers,
    "insert": insert,
    "replace": replace,
    "append": append,
    "delete": delete,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("call", ["step", "epoch"])
def test_a_change_between_two_calls_is_noticed(change, call):
    x, y = task()
    pair = twin()
    infer = fastnn.compile(pair.copy)
    for number in range(4):
        if number == 2:
            change(pair.model), change(pair.copy)
        if call == "step":
            pair.both(x, y, ULPS)
        else:
            pair.step.epoch(x, y, 40, shuffle=False)
            explicit_step(pair.model, pair.criterion, pair.optimizer, x, y)
        pair.compare(ULPS, number)
        np.testing.assert_allclose(infer(x), copy.deepcopy(pair.model).eval().forward(x), rtol=2e-6, atol=2e-6)


def test_a_model_may_change_its_dtype():
    """What the optimiser keeps must fit, as in the explicit loop."""
    pair = twin(make=optim.SGD)
    for dtype in (np.float32, np.float64, np.float32):
        pair.model.astype(dtype), pair.copy.astype(dtype)
        with programs_alone():
            pair.both(X.astype(dtype), Y, ULPS)
        pair.compare(ULPS, dtype)
    pair = twin()
    pair.both(X, Y, ULPS)
    pair.model.astype(np.float64), pair.copy.astype(np.float64)
    refused_alike(pair, X.astype(np.float64), Y)


def state_of(optimizer):
    return {name: copy.deepcopy(value) for name, value in optimizer.state_dict().items()}


SETTINGS = {
    "rate": {"lr": 0.5},
    "numpy rate": {"lr": np.float32(0.5)},
    "no momentum": {"momentum": 0.0},
    "dampening": {"dampening": 0.9},
    "decay": {"weight_decay": 0.3},
    "nesterov": {"nesterov": True, "dampening": 0.0},
    "state lost": {"state": {}},
}


@pytest.mark.parametrize("change", SETTINGS.values(), ids=SETTINGS)
def test_hyper_parameters_may_change_and_change_back(change):
    x, y = task()
    pair = twin()
    for number in range(6):
        for optimizer in (pair.optimizer, pair.optimizer_of_copy):
            if number == 2:
                vars(optimizer).update(copy.deepcopy(change))
            if number == 4:
                vars(optimizer).update(momentum=0.9, lr=0.01)
        pair.both(x, y, ULPS)
        pair.compare(ULPS, number)


def test_a_saved_state_may_be_loaded_between_two_calls():
    x, y = task()
    pair = twin()
    for number in range(6):
        pair.both(x, y, ULPS)
        if number == 1:
            saved = state_of(pair.optimizer), state_of(pair.optimizer_of_copy)
        if number == 3:
            pair.optimizer.load_state_dict(saved[0]), pair.optimizer_of_copy.load_state_dict(saved[1])
        pair.compare(ULPS, number)
    assert pair.optimizer_of_copy.state[0]["step"] == 4


def test_a_schedule_is_followed():
    x, y = task()
    pair = twin(make=lambda model: optim.SGD(model, lr=0.05, momentum=0.9))
    schedules = [optim.lr_scheduler.ExponentialLR(o, 0.5) for o in (pair.optimizer, pair.optimizer_of_copy)]
    for number in range(5):
        pair.both(x, y, ULPS)
        pair.compare(ULPS, number)
        [schedule.step() for schedule in schedules]


def test_class_weights_and_constants_of_a_criterion_may_change():
    x, y = task()
    criterion = nn.CrossEntropyLoss(weight=np.array([1.0, 2.0, 3.0]))
    pair = twin(criterion=criterion)
    for name, value in [("reduction", "sum"), ("label_smoothing", 0.3), ("ignore_index", 1), ("weight", None),
                        ("weight", np.array([0.5, 1, 2], np.float32)), ("reduction", "batchmean")]:  # fmt: skip
        pair.both(x, y, ULPS)
        setattr(criterion, name, value)
        pair.both(x, y, ULPS)
        if criterion.weight is not None:
            criterion.weight *= 2
        pair.both(x, y, ULPS)
        pair.compare(2 * ULPS, name)


def test_rows_shapes_and_threads_may_change_from_call_to_call():
    pair = twin(nn.Sequential(nn.BatchNorm1d(5), nn.Flatten(), nn.Tanh(), nn.Dropout(0.2, rng=1)), nn.MSELoss())
    rng = np.random.default_rng(0)
    for number, (rows, length) in enumerate([(3, None), (70, 2), (5, None), (2, 7), (700, None), (3, 1)] * 2):
        x = rng.standard_normal((rows, 5) if length is None else (rows, 5, length)).astype(np.float32)
        with backend.threads(1 + number % 2):
            pair.both(x, np.zeros((rows, 5 * (length or 1)), np.float32), ULPS)
        pair.compare(ULPS, number)


def test_a_program_that_was_used_before_is_used_again(monkeypatch):
    made = []
    build = compiled.training_program
    monkeypatch.setattr(compiled, "training_program", lambda *a: made.append(1) or build(*a))
    x, y = task()
    pair = twin()
    for number in range(6):
        pair.copy.train(number % 2 == 0)
        pair.model.train(number % 2 == 0)
        pair.both(x[: 9 + number], y[: 9 + number], ULPS)
        pair.optimizer.lr = pair.optimizer_of_copy.lr = 0.1 / (number + 1)
    pair.compare(ULPS)
    assert len(made) in ((0,) if backend.backend() == "reference" else (2,))


def test_rows_that_are_not_contiguous_need_one_program(monkeypatch):
    made = []
    build = inference.inference_program
    monkeypatch.setattr(inference, "inference_program", lambda *a: made.append(1) or build(*a))
    infer = fastnn.compile(network())
    for x in (X, X[:, ::-1], np.asfortranarray(X), X[::2]):
        infer(x)
    assert len(made) in ((0,) if backend.backend() == "reference" else (1,))


@pytest.mark.parametrize("outs, ins", [(1, 5), (5, 1), (1, 1)])
@pytest.mark.parametrize("order", "CF")
def test_weights_of_one_row_or_column_have_programs(outs, ins, order):
    model = nn.Sequential(nn.Linear(ins, outs, rng=0))
    weight, model[0].weight = model[0].weight, np.empty((outs, ins), np.float32, order=order)
    model[0].weight[...] = weight
    pair = twin(model, nn.MSELoss(), optim.Adam)
    for _ in range(3):
        with programs_alone():
            pair.both(X[:, :ins].copy(), X[:, :outs].copy(), ULPS)
    pair.compare(ULPS)


def test_a_dropout_that_is_used_twice_is_as_in_the_explicit_loop():
    dropout = nn.Dropout(0.5, rng=0)
    pair = twin(nn.Sequential(nn.Linear(5, 5, rng=0), dropout, nn.Tanh(), dropout, nn.Linear(5, 3, rng=1)))
    for _ in range(3):
        pair.both(X, Y, ULPS)
        pair.compare(ULPS)
    assert pair.copy[1].step == 6


def test_gradients_and_outputs_of_layers_stay_as_they_are():
    x, y = task()
    model = network()
    step = fastnn.compile(model, nn.CrossEntropyLoss(), momentum(model))
    output = model.forward(x)
    for grad in model.grad_parameters():
        grad[...] = 7
    with programs_alone():
        step(x, y), step.epoch(x, y, 8)
    if backend.backend() == "native":
        assert model.output is output and all((grad == 7).all() for grad in model.grad_parameters())


def test_the_model_may_be_saved_copied_and_pickled(tmp_path):
    x, y = task()
    model = network()
    step, infer = fastnn.compile(model, nn.CrossEntropyLoss(), momentum(model)), fastnn.compile(model)
    step(x, y), infer(x)
    fastnn.save(model, tmp_path / "model.npz")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), fastnn.load(tmp_path / "model.npz")):
        assert_alike(everything(other), everything(model) | ({} if other[1].step else {"dropout 5": np.array(0)}))
        optimizer = momentum(other)
        optimizer.load_state_dict(step.optimizer.state_dict())
        fastnn.compile(other, nn.CrossEntropyLoss(), optimizer)(x, y)
        assert (other[-1].weight != model[-1].weight).any()


# ---------------------------------------------------------------------------------------------------------------
# Arrays that do not fit
# ---------------------------------------------------------------------------------------------------------------


X, Y = task()
BAD = {
    "shape": (X[:, :4], Y),
    "3 axes": (X[:, :, None, None], Y),
    "1 axis": (X[:, 0], Y),
    "0 axes": (X[0, 0], Y),
    "label too large": (X, Y + 1),
    "label negative": (X, Y - 1),
    "label of 64 bits": (X, np.where(Y, Y, Y.dtype.type(-100)).astype(np.uint64)),
    "fewer labels": (X, Y[:-1]),
    "more labels": (X, np.append(Y, 0)),
    "floating labels": (X, Y * 1.0),
    "boolean labels": (X, Y > 1),
    "no labels": (X, None),
    "text": (X, "abc"),
    "rows of other width": (X, np.zeros((40, 4), np.float32)),
    "complex x": (X * 1j, Y),
    "text x": (np.full((40, 5), "a"), Y),
    "None": (None, Y),
    "one row": (X[:1], Y[:1]),
    "ragged list": ([[1.0], [1.0, 2.0]], Y),
}


def spoil_weight(model):
    model[-1].weight = read_only(model[-1].weight)


def spoil_shape(model):
    model[0][0].weight = np.zeros((6, 9), np.float32)


def spoil_buffer(model):
    model[0][1].running_mean = read_only(model[0][1].running_mean)


SPOILT = {"read-only weight": spoil_weight, "shape of a weight": spoil_shape, "read-only buffer": spoil_buffer,
          "p": attribute(lambda m: m[1], p=1.5), "None": attribute(lambda m: m[0][0], weight=None)}  # fmt: skip


def refused_alike(pair, x, y):
    """Explicit loop and compiled step raise the same, and the latter has changed nothing."""
    before = everything(pair.copy, pair.optimizer_of_copy)
    expected = outcome(explicit_step, pair.model, pair.criterion, pair.optimizer, x, y)
    assert expected[0] == "raised" and outcome(pair.step, x, y) == expected
    assert_alike(everything(pair.copy, pair.optimizer_of_copy), before)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("arrays", BAD.values(), ids=BAD)
def test_unfit_arrays_are_refused_as_by_the_explicit_loop(arrays, started):
    pair = twin()
    if started:
        pair.both(X, Y, ULPS)
    refused_alike(pair, *arrays)
    pair = twin() if not started else pair
    outcome(pair.step, *arrays)
    if not started:
        pair.both(X, Y, ULPS)
        pair.compare(ULPS)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_unfit_models_are_refused_as_by_the_explicit_loop(spoil, started):
    pair = twin()
    if started:
        pair.both(X, Y, ULPS)
    spoil(pair.model), spoil(pair.copy)
    refused_alike(pair, X, Y)


@needs_native
@pytest.mark.parametrize("rate", ["a", None, np.ones(2)], ids=repr)
def test_a_rate_that_is_no_number_is_refused_as_by_the_explicit_loop(rate):
    with backend.use_backend("native"):
        pair = twin()
        pair.both(X, Y, ULPS)
        pair.optimizer.lr = pair.optimizer_of_copy.lr = rate
        refused_alike(pair, X, Y)


def test_an_empty_batch_is_as_in_the_explicit_loop():
    pair = twin()
    for x, y in ((X, Y), (X[:0], Y[:0]), (X, Y)):
        pair.both(x, y, ULPS)
        pair.compare(ULPS)


@pytest.mark.parametrize("x, y", [
    (X.astype(np.float64), Y), (X.astype(np.float16), Y), ((8 * X).astype(np.int64), Y), (X.astype(">f4"), Y),
    (X.tolist(), Y.tolist()), (X.view(Subclass), Y), (X, Y.astype(np.int32)), (X, Y.astype(np.uint8)),
    (X, Y.astype(np.uint64)), (X, Y.astype(">i8")), (X, Y.tolist()), (X, Y.repeat(2)[::2]),
    (read_only(X), read_only(Y)), (np.asfortranarray(X), Y), (X[:, ::-1], Y), (X.repeat(2, axis=0)[::2], Y),
    (X, data.one_hot(Y, 3)), (X, data.one_hot(Y, 3).astype(np.float64)), (X, data.one_hot(Y, 3).astype(bool)),
    (X, np.asfortranarray(data.one_hot(Y, 3).astype(np.float32))),
])  # fmt: skip
def test_arrays_of_other_kinds_train_as_in_the_explicit_loop(x, y):
    pair, infer = twin(), None
    infer = fastnn.compile(pair.copy)
    for _ in range(3):
        expected = outcome(explicit_step, pair.model, pair.criterion, pair.optimizer, x, y)
        got = outcome(pair.step, x, y)
        assert got[0] == expected[0] and got == (pytest.approx(expected) if got[0] == "raised" else got)
        if got[0] == "returned":
            assert got[1] == pytest.approx(expected[1], rel=1e-5)
        pair.compare(ULPS)
        for result, other in zip(outcome(infer, x), outcome(copy.deepcopy(pair.model).eval().forward, x), strict=True):
            if isinstance(other, np.ndarray):
                assert result.dtype == other.dtype
                np.testing.assert_allclose(result, other, rtol=2e-6, atol=2e-6)


def test_unaligned_rows_are_taken():
    memory = np.zeros(X.nbytes + 1, np.uint8)[1:]
    x = memory.view(np.float32).reshape(X.shape)
    x[...] = X
    pair = twin()
    pair.both(x, Y, ULPS)
    pair.compare(ULPS)


# ---------------------------------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------------------------------


def overlap_weights(model):
    memory = np.random.default_rng(0).standard_normal(40).astype(np.float32)
    model[0].weight, model[2].weight = memory[:25].reshape(5, 5), memory[10:25].reshape(3, 5)


def tie(model):
    model[0].bias = model[0].weight[:, 0].copy()
    model[2].weight = model[0].weight[:3]


OVERLAPS = {"views of one array": overlap_weights, "a view of a weight": tie}


@pytest.mark.parametrize("change", OVERLAPS.values(), ids=OVERLAPS)
def test_parameters_may_overlap(change):
    pair = twin(nn.Sequential(nn.Linear(5, 5, rng=0), nn.Tanh(), nn.Linear(5, 3, rng=1)))
    for number in range(4):
        if number == 1:  # a deep copy would not overlap
            change(pair.model), change(pair.copy)
        pair.both(X, Y, ULPS)
        pair.compare(ULPS, number)


@pytest.mark.parametrize("where", [0, 2])
def test_rows_may_be_a_parameter(where):
    """Steps on the values that it has before the step."""
    results = []
    for run in (
        explicit_step,
        lambda model, criterion, optimizer, x, y: fastnn.compile(model, criterion, optimizer)(x, y),
    ):
        model = nn.Sequential(nn.Linear(5, 5, rng=0), nn.Tanh(), nn.Linear(5, 5, rng=1))
        for layer in (model[0], model[2]):
            layer.weight = np.ascontiguousarray(layer.weight)
        run(model, nn.MSELoss(), optim.SGD(model, lr=0.5), model[where].weight, np.ones((5, 5), np.float32))
        results.append(everything(model))
    assert_alike(*results, ULPS)


def test_a_shape_that_is_assigned_in_place_is_noticed():
    model = nn.Sequential(nn.Linear(6, 4, rng=0))
    model[0].weight = np.ascontiguousarray(model[0].weight)
    step, infer = fastnn.compile(model, nn.MSELoss(), optim.SGD(model)), fastnn.compile(model)
    x, y = np.ones((3, 6), np.float32), np.zeros((3, 4), np.float32)
    step(x, y), infer(x)
    model[0].weight.shape = 6, 4
    line = outcome(model.forward, x)
    assert line[0] == "raised" and outcome(infer, x) == line and outcome(step, x, y) == line


def test_an_array_that_is_resized_is_noticed():
    model = nn.Sequential(nn.Linear(300, 400, rng=0))
    model[0].weight = np.ascontiguousarray(model[0].weight)
    step, infer = fastnn.compile(model, nn.MSELoss(), optim.SGD(model)), fastnn.compile(model)
    x, y = np.ones((3, 300), np.float32), np.zeros((3, 400), np.float32)
    for shape in ((4, 3), (400, 300), (4000, 300), (400, 300)):
        step(x, y), infer(x)
        model[0].weight.resize(shape, refcheck=False)
        line = outcome(model.forward, x)
        if shape != (400, 300):
            model[0].weight.resize((400, 300), refcheck=False)
            continue
        assert line[0] == "returned" and (infer(x) == line[1]).all()


# ---------------------------------------------------------------------------------------------------------------
# Inference
# ---------------------------------------------------------------------------------------------------------------


def test_inference_leaves_the_model_alone():
    model = network()
    output = model.forward(X)
    before, infer = everything(model), fastnn.compile(model)
    first = infer(X)
    kept = first.copy()
    assert_alike(everything(model), before)
    assert model.output is output and model.training and model[1].training
    infer(X[::-1])
    assert same_bits(first, kept) and first.flags.owndata | first.flags.writeable
    for empty in (X[:0], np.zeros((0, 5), np.float64)):
        assert infer(empty).shape == (0, 3)
    assert outcome(infer, X[:, :3]) == outcome(copy.deepcopy(model).eval().forward, X[:, :3])
    assert_alike(everything(model), before)


def test_inference_reads_the_parameters_at_every_call():
    model = nn.Sequential(nn.Linear(5, 3, rng=0), nn.Softplus())
    infer = fastnn.compile(model)
    for number in range(3):
        np.testing.assert_allclose(infer(X), copy.deepcopy(model).forward(X), rtol=1e-6)
        model[0].weight *= 2
        if number == 1:
            model[0].weight = np.zeros((3, 5), np.float32)


def test_inference_of_what_computes_nothing_gives_the_rows():
    for model in (nn.Identity(), nn.Sequential(), nn.Dropout(0.5), nn.Flatten()):
        np.testing.assert_array_equal(fastnn.compile(model)(X), X)


def test_threads_may_call_one_inference():
    model = network()
    infer, expected, wrong = fastnn.compile(model), copy.deepcopy(model).eval(), []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(60):
            x = rng.standard_normal((int(rng.integers(1, 400)), 5)).astype(np.float32)
            if not np.allclose(infer(x), copy.deepcopy(expected).forward(x), rtol=1e-5, atol=1e-6):
                wrong.append(len(x))

    with backend.threads(2), teams():
        run_threads(work, 4)
    assert wrong == []


# ---------------------------------------------------------------------------------------------------------------
# Threads and signals
# ---------------------------------------------------------------------------------------------------------------


def run_threads(work, count):
    raised = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert not any(thread.is_alive() for thread in threads) and raised == []


@needs_native
def test_threads_may_call_one_step():
    """One after the other: no step is lost."""
    with backend.use_backend("native"):
        model = network()
        step = fastnn.compile(model, nn.CrossEntropyLoss(), momentum(model))
        with programs_alone():
            run_threads(lambda n: [step(X[n : n + 20], Y[n : n + 20]) for _ in range(50)] + [step.epoch(X, Y, 8)], 4)
    assert {state["step"] for state in step.optimizer.state.values()} == {220}
    assert model[1].step == 220 and model[0][1].num_batches_tracked == 220
    assert all(np.isfinite(array).all() for array in model.parameters())


LONG = np.zeros((400_000, 5), np.float32), np.zeros(400_000, np.int64)


@needs_native
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
def test_control_c_ends_an_epoch():
    """Soon, between two steps: the counts agree, and training goes on."""
    with backend.use_backend("native"):
        model = network()
        step = fastnn.compile(model, nn.CrossEntropyLoss(), momentum(model))
        step(X, Y)
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            start = time.perf_counter()
            with pytest.raises(KeyboardInterrupt):
                for _ in range(1000):
                    step.epoch(*LONG, 2, shuffle=False)
            seconds = time.perf_counter() - start
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        steps = {state["step"] for state in step.optimizer.state.values()}
        assert steps == {model[1].step} == {int(model[0][1].num_batches_tracked)} and steps != {1}
        assert seconds < 2
        step(X, Y)
        assert model[1].step == steps.pop() + 1


@needs_native
def test_a_callback_that_raises_ends_an_epoch():
    with backend.use_backend("native"):
        model = network()
        step = fastnn.compile(model, nn.CrossEntropyLoss(), momentum(model))

        def stop(steps):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            step.run_epoch(data.batches(*LONG, 2), stop)
        assert {s["step"] for s in step.optimizer.state.values()} == {model[1].step} and 0 < model[1].step < 200_000


@needs_native
def test_a_callback_may_train_and_change_the_rate():
    """On any rows, whose program may be another."""
    with backend.use_backend("native"):
        model = nn.Sequential(nn.Linear(5, 3, rng=0), nn.Dropout(0.1, rng=1))
        step = fastnn.compile(model, nn.CrossEntropyLoss(), momentum(model))
        more = []

        def callback(steps):
            step.optimizer.lr *= 0.9
            more.append(step(X, Y))
            more.append(step(X, data.one_hot(Y, 3).astype(np.float32)))

        losses = step.run_epoch(data.batches(*LONG, 1), callback)[0]
        assert len(more) > 2 and {s["step"] for s in step.optimizer.state.values()} == {len(losses) + len(more)}
        assert model[1].step == len(losses) + len(more)


@needs_native
def test_a_change_of_the_model_inside_an_epoch_ends_it():
    with backend.use_backend("native"):
        model = network()
        step = fastnn.compile(model, nn.CrossEntropyLoss(), momentum(model))
        with pytest.raises(RuntimeError, match=r"epoch: expected the model as it was, got a change after \d+ steps"):
            step.run_epoch(data.batches(*LONG, 2), lambda steps: model.append(nn.Tanh()))
        step(X, Y)


@needs_native
def test_a_large_network_trains_to_the_same_bits_on_two_threads():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((700, 300)).astype(np.float32), rng.integers(0, 10, 700)
    results = []
    with backend.use_backend("native"):
        for threads in (1, 2):
            layers = [nn.Linear(300, 500, rng=0), nn.BatchNorm1d(500), nn.ReLU(), nn.Dropout(0.2, rng=1)]
            model = nn.Sequential(*layers, nn.Linear(500, 10, rng=2))
            step = fastnn.compile(model, nn.CrossEntropyLoss(), optim.Adam(model))
            with backend.threads(threads), programs_alone():
                losses = [step.epoch(x, y, 128, rng=epoch) for epoch in range(2)]
                output = fastnn.compile(model)(x)
            results.append({**everything(model, step.optimizer), "losses": np.array(losses), "output": output})
        pair = twin(copy.deepcopy(model), make=optim.Adam)
        with backend.threads(2):
            pair.both(x[:128], y[:128], 100)
    assert_alike(*results)


def test_the_back_end_may_change_between_two_calls():
    pair = twin()
    for number, name in enumerate(["reference", *(["native", "reference", "native"] if backend._core else [])]):
        with backend.use_backend(name):
            pair.both(X, Y, ULPS)
            np.testing.assert_allclose(
                fastnn.compile(pair.copy)(X), copy.deepcopy(pair.model).eval().forward(X), rtol=2e-6, atol=2e-6
            )
        pair.compare(4 * ULPS, number)
