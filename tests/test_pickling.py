"""Pickle, deep copies and joblib: layers, criterions, optimisers, schedulers, trainers, compiled callables."""

import copy
import pickle

import numpy as np
import pytest
from cases import CRITERIONS, LAYERS, OPTIMIZERS, SCHEDULERS, build

import fastnn
from fastnn import nn, optim

COPIES = {
    "deepcopy": copy.deepcopy,
    **{f"pickle{p}": lambda value, p=p: pickle.loads(pickle.dumps(value, p)) for p in (2, pickle.HIGHEST_PROTOCOL)},
}
copied = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((24, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 24)


def model(dropout=True):
    layers = [nn.Linear(4, 40, rng=0), nn.BatchNorm1d(40), nn.ReLU(), nn.Dropout(0.3, rng=1), nn.Linear(40, 3, rng=2)]
    return nn.Sequential(*(layer for layer in layers if dropout or not isinstance(layer, nn.Dropout)))


def training(optimizer=optim.Adam):
    net = model()
    return net, nn.CrossEntropyLoss(label_smoothing=0.1), optimizer(net, lr=0.01)


def same_state(one, other):
    """Two models have the same parameters and buffers, bit for bit."""
    for (name, a), (_, b) in zip(one.state_dict().items(), other.state_dict().items(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def apart(one, other):
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert not np.may_share_memory(a, b)


# ---------------------------------------------------------------------------------------------------------------
# Pickles and copies
# ---------------------------------------------------------------------------------------------------------------


@copied
@pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.id)
def test_every_layer_goes_on_as_its_copy(row, copied):
    layer, x = row.layer(np.float32).train(False).train(), row.input(row.shapes[0], np.float32)
    y = layer.forward(x)
    layer.backward(x, y)
    twin = copied(layer)
    assert repr(twin) == repr(layer) and twin.training
    assert vars(twin).keys() >= {*layer.param_names} & vars(layer).keys()
    for one in (layer, twin):
        one.forward(x)
    np.testing.assert_array_equal(twin.output, layer.output)
    same_state(twin, layer)
    apart(twin, layer)
    for a, b in zip(twin.grad_parameters(), layer.grad_parameters(), strict=True):
        np.testing.assert_array_equal(a, b)


@copied
@pytest.mark.parametrize("row", CRITERIONS[::7], ids=lambda row: row.id)
def test_criterions(row, copied):
    criterion, x, target = row.criterion(), row.input(), row.targets()
    criterion.forward(x, target)
    assert copied(criterion).forward(x, target) == criterion.output


@copied
@pytest.mark.parametrize("row", OPTIMIZERS, ids=lambda row: row.id)
def test_an_optimizer_stays_with_its_model(row, copied):
    net = model(dropout=False)
    parts = [net, nn.CrossEntropyLoss(), row.optimizer(net)]
    twins = None
    for number in range(4):
        if number == 2:
            twins = copied(parts)
            assert twins[2].model is twins[0] and twins[0] is not net
        for net, criterion, optimizer in filter(None, (parts, twins)):
            net.zero_grad()
            output = net.forward(X)
            net.backward(X, criterion.backward(output, Y))
            optimizer.step()
    same_state(twins[0], parts[0])
    assert repr(twins[2]) == repr(parts[2])


@copied
@pytest.mark.parametrize("row", SCHEDULERS, ids=lambda row: row.id)
def test_a_schedule_stays_with_its_optimizer(row, copied):
    optimizer = build(row.optimizer, optim, model=nn.Linear(2, 2))
    scheduler = row.scheduler(optimizer)
    for number in range(5):
        row.step(scheduler, number)
    twin, twin_optimizer = copied((scheduler, optimizer))
    assert twin.optimizer is twin_optimizer is not optimizer
    for number in range(5, 12):
        row.step(scheduler, number)
        row.step(twin, number)
        assert twin_optimizer.lr == optimizer.lr == twin.get_last_lr()[0]


@copied
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_trainers_and_compiled_steps_go_on_alike(copied, used):
    parts = training()
    trainer, step = fastnn.Trainer(*parts), fastnn.compile(*parts)
    if used:
        step(X, Y)
        trainer.fit(X, Y, epochs=1, batch_size=8, rng=0, progress=False)
    other, twin, infer = copied((trainer, step, fastnn.compile(parts[0])))
    assert type(twin) is type(step) and twin.model is other.model is infer.model and twin.optimizer is other.optimizer
    apart(twin.model, step.model)
    losses = [one.epoch(X, Y, batch_size=8, rng=1) for one in (step, twin)]
    np.testing.assert_array_equal(*losses)
    histories = [one.fit(X, Y, epochs=2, batch_size=8, rng=2, progress=False) for one in (trainer, other)]
    assert histories[0].history["loss"] == histories[1].history["loss"]
    same_state(twin.model, step.model)
    np.testing.assert_array_equal(infer(X), fastnn.compile(parts[0])(X))
    assert copied(histories[0]).history == histories[0].history


@copied
@pytest.mark.parametrize("freeze", [False, True])
def test_compiled_inference(copied, freeze):
    net = model()
    net.forward(X)
    infer = fastnn.compile(net, freeze=freeze)
    expected = infer(X)
    for twin in (copied(infer), copied(copied(infer))):
        np.testing.assert_array_equal(twin(X), expected)
        assert repr(twin) == repr(infer) and twin.freeze is freeze
    twin = copied(infer)
    twin.model[0].weight[...] = 0
    np.testing.assert_array_equal(infer(X), expected)


def test_a_pickle_has_no_outputs_and_no_programs():
    net, criterion, optimizer = training()
    step = fastnn.compile(net, criterion, optimizer)
    step(X, Y)
    size = len(pickle.dumps(step))
    many = np.concatenate([X] * 200)
    net.backward(many, criterion.backward(net.forward(many), np.concatenate([Y] * 200)))
    step(many, np.concatenate([Y] * 200))
    fastnn.compile(net)(many)
    assert len(pickle.dumps(step)) < size + 200


# ---------------------------------------------------------------------------------------------------------------
# joblib, which can map the arrays from the file
# ---------------------------------------------------------------------------------------------------------------


def test_joblib(tmp_path):
    joblib = pytest.importorskip("joblib")
    parts = training()
    step = fastnn.compile(*parts)
    step(X, Y)
    for compress in (0, 3):
        joblib.dump((*parts, step, fastnn.Trainer(*parts)), tmp_path / "all", compress=compress)
        net, criterion, _, twin, trainer = joblib.load(tmp_path / "all")
        assert twin.model is trainer.model is net and trainer.criterion is criterion
        same_state(net, parts[0])
        assert twin(X, Y) == copy.deepcopy(step)(X, Y)


def outcome_of(call, *arguments):
    with pytest.raises(ValueError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_model_that_joblib_maps_predicts_and_says_that_it_cannot_be_trained(tmp_path):
    joblib = pytest.importorskip("joblib")
    parts = training(optim.SGD)
    parts[0].forward(X)
    joblib.dump(parts, tmp_path / "all")
    net, criterion, optimizer = joblib.load(tmp_path / "all", mmap_mode="r")
    assert isinstance(net[0].weight, np.memmap) and not net[0].weight.flags.writeable
    expected = copy.deepcopy(parts[0]).eval().forward(X)
    np.testing.assert_array_equal(net.eval().forward(X), expected)
    np.testing.assert_array_equal(fastnn.compile(net)(X), expected)
    np.testing.assert_allclose(fastnn.compile(net, freeze=True)(X), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(fastnn.Trainer(net, criterion, optimizer).predict(X), expected)

    statistics = "BatchNorm1d: expected writeable running statistics, got a read-only array"
    gradients = "Sequential.zero_grad: expected writeable gradients, got a read-only array"
    assert outcome_of(net.zero_grad) == gradients
    assert outcome_of(net.train().forward, X) == statistics
    assert outcome_of(fastnn.compile(net, criterion, optimizer), X, Y) == statistics
    assert outcome_of(optimizer.step) == "SGD: expected a writeable parameter, got a read-only array"
    output = net.eval().forward(X)
    assert "expected a writeable grad_weight, got a read-only array" in outcome_of(net.backward, X, output)
    plain = nn.Sequential(net[0], nn.ReLU(), net[4])
    trainer = fastnn.Trainer(plain, criterion, optim.SGD(plain, lr=0.1))
    assert outcome_of(lambda: trainer.fit(X, Y, epochs=1, progress=False)) == gradients
    assert outcome_of(net.load_state_dict, parts[0].state_dict()).endswith("got a read-only array")
    np.testing.assert_array_equal(net.forward(X), expected)

    twin = copy.deepcopy(net)  # in memory of its own: it can be trained
    assert np.isfinite(fastnn.compile(twin, criterion, optim.SGD(twin, lr=0.1))(X, Y))


def test_zero_grad_leaves_all_gradients_where_one_is_read_only():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    for grad in net.grad_parameters():
        grad.fill(1)
    net[1].grad_bias.flags.writeable = False
    outcome_of(net.zero_grad)
    assert all((grad == 1).all() for grad in net.grad_parameters())


def test_running_statistics_stay_together_where_one_is_read_only():
    layer = nn.BatchNorm1d(4)
    layer.running_var.flags.writeable = False
    outcome_of(layer.forward, X)
    assert not layer.running_mean.any() and layer.num_batches_tracked == 0
