"""Classes of one's own in the drop-in dialects: overridden hooks, names rebound and modules reloaded, copies."""

import copy
import importlib
import pickle

import numpy as np
import pytest
from compat_support import attribute, flat, gradients, hook, parameters, weight
from course import VOICES

RNG = np.random.default_rng(0)
X, DY = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 4))
HOOKS = ("update_output", "update_grad_input", "acc_grad_params", "zero_grad_params", "get_parameters",
         "get_grad_params", "evaluate")  # fmt: skip


@pytest.fixture(params=VOICES.values(), ids=VOICES)
def voice(request):
    return request.param


@pytest.fixture
def lib(voice):
    return voice.compat


@pytest.fixture
def restored(voice):
    """The dialect's module, its names put back afterwards."""
    kept = dict(vars(voice.compat))
    yield voice.compat
    vars(voice.compat).update(kept)


def subclass(voice, base, name="Mine", **methods):
    """A class whose methods are given by their common names."""
    return type(name, (base,), {getattr(voice, key) if key in HOOKS else key: value for key, value in methods.items()})


def twice(voice, lib, store=True, give=True):
    """y = 2x by the hooks, which store, return, or both."""

    def update_output(self, inpt):
        result = 2 * inpt
        if store:
            self.output = result
        return result if give else None

    def update_grad_input(self, inpt, grad):
        result = 2 * grad
        if store:
            setattr(self, voice.grad_input, result)
        return result if give else None

    return subclass(voice, lib.Module, update_output=update_output, update_grad_input=update_grad_input)()


# ---------------------------------------------------------------------------------------------------------------
# Hooks
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store,give", [(True, True), (True, False), (False, True)])
def test_a_hook_stores_or_returns_or_both(voice, lib, store, give):
    if voice.name == "plain" and not give:
        return  # its forward and backward are the hooks, and return
    layer = twice(voice, lib, store, give)
    if voice.name != "plain":
        y, dx = layer.forward(X), layer.backward(X, DY)
        assert layer.output is y and getattr(layer, voice.grad_input) is dx
        np.testing.assert_array_equal([y, dx], [2 * X, 2 * DY])
    linear = lib.Linear(4, 4)
    net = voice.sequential(lib, layer, linear, twice(voice, lib, store, give))
    np.testing.assert_allclose(net.forward(X), 2 * linear.output)
    np.testing.assert_allclose(net.backward(X, DY), 4 * DY @ weight(voice, linear.W))
    np.testing.assert_allclose(attribute(linear, voice, "W"), weight(voice, 2 * DY.T @ (2 * X)))


def test_only_forward_and_backward(voice, lib):
    calls = []

    def forward(self, inpt):
        calls.append("forward")
        return inpt**2

    def backward(self, inpt, grad):
        calls.append("backward")
        return 2 * inpt * grad

    layer = type("Square", (lib.Module,), {"forward": forward, "backward": backward})()
    first, last = lib.Linear(4, 4), lib.Linear(4, 4)
    net = voice.sequential(lib, first, layer, last)
    if voice.name != "snake":
        calls.clear()
        layer.output = first.forward(X) ** 2  # the text reads it; a class that never stores it is served too
    np.testing.assert_allclose(net.forward(X), last.forward(first.output**2))
    inner = DY @ weight(voice, last.W) * 2 * first.output
    np.testing.assert_allclose(net.backward(X, DY), inner @ weight(voice, first.W))
    np.testing.assert_allclose(attribute(last, voice, "W"), weight(voice, DY.T @ first.output**2))
    assert calls == ["forward", "backward"] and repr(layer) == "Square"


@pytest.mark.parametrize("name", ["Linear", "ReLU", "Tanh", "BatchNormalization", "Dropout", "SoftMax"])
def test_every_overridden_hook_is_called(voice, lib, name):
    base, calls = getattr(lib, name), []

    def spy(key):
        original = getattr(base, getattr(voice, key, None) or key)

        def method(self, *args):
            calls.append(key)
            return original(self, *args)

        return method

    keys = [key for key in HOOKS if getattr(voice, key)]
    extra = [] if voice.name == "plain" else ["forward", "backward"]
    sizes = (4, 4) if name == "Linear" else ()
    layer = subclass(voice, base, **{key: spy(key) for key in (*keys, *extra, "train")})(*sizes)
    twin = base(*sizes)
    twin.__dict__.update({key: copy.deepcopy(value) for key, value in vars(layer).items()})
    net, plain = voice.sequential(lib, lib.Flatten(), layer), voice.sequential(lib, lib.Flatten(), twin)
    calls.clear()
    for one in (net, plain):
        np.random.seed(0)  # noqa: NPY002
        one.forward(X)
    np.testing.assert_array_equal(*(m.output[-1] if voice.name == "snake" else m.output for m in (net, plain)))
    assert calls == [*extra[:1], "update_output"]
    np.testing.assert_array_equal(net.backward(X, DY), plain.backward(X, DY))
    assert calls[len(extra[:1]) + 1 :] == [*extra[1:], *keys[1 : 3 if voice.acc_grad_params else 2]]
    calls.clear()
    hook(net, voice, "zero_grad_params")
    parameters(net, voice), gradients(net, voice)
    net.train()
    hook(net, voice, "evaluate")
    assert calls == ["zero_grad_params", "get_parameters", "get_grad_params", "train", "evaluate"]


def test_overriding_on_an_instance_or_on_the_class_itself(voice, lib, monkeypatch):
    layer = lib.ReLU()
    net = voice.sequential(lib, lib.Flatten(), layer)
    net.forward(X)
    setattr(layer, voice.update_output, lambda inpt: inpt + 1)
    np.testing.assert_array_equal(net.forward(X), X + 1)
    other = lib.Tanh()
    net = voice.sequential(lib, lib.Flatten(), other)
    monkeypatch.setattr(lib.Tanh, voice.update_grad_input, lambda self, inpt, grad: 7 * grad)
    net.forward(X)
    np.testing.assert_array_equal(net.backward(X, DY), 7 * DY)


def test_a_linear_layer_with_decay_and_own_parameters(voice, lib):
    base = lib.Linear
    accumulate = voice.acc_grad_params or "backward"

    def init(self, size):
        super(Decayed, self).__init__(size, size)
        self.extra, self.cache = np.zeros(3), None

    def acc_grad_params(self, inpt, grad):
        result = getattr(super(Decayed, self), accumulate)(inpt, grad)
        self.cache = inpt
        setattr(self, voice.gradients["W"], attribute(self, voice, "W") + 10 * self.W)
        return result

    def get_parameters(self):
        return [*getattr(base, voice.get_parameters)(self), self.extra]

    Decayed = subclass(voice, base, "Decayed", __init__=init, get_parameters=get_parameters)
    setattr(Decayed, accumulate, acc_grad_params)
    layer = Decayed(4)
    net = voice.sequential(lib, layer, lib.Tanh())
    dy = DY * (1 - net.forward(X) ** 2)
    net.backward(X, DY)
    np.testing.assert_allclose(attribute(layer, voice, "W"), weight(voice, dy.T @ X) + 10 * layer.W)
    assert layer.cache is X and flat(parameters(net, voice))[-1] is layer.extra


def test_criterions_of_ones_own(voice, lib):
    def loss(self, inpt, target):
        self.seen = target
        return np.abs(inpt - target).sum()

    def slope(self, inpt, target):
        return np.sign(inpt - target)

    criterion = subclass(voice, lib.Criterion, "Absolute", update_output=loss, update_grad_input=slope)()
    assert criterion.forward(X, DY) == np.abs(X - DY).sum() and criterion.seen is DY
    np.testing.assert_array_equal(criterion.backward(X, DY), np.sign(X - DY))
    if voice.name != "plain":
        assert criterion.output == np.abs(X - DY).sum() and getattr(criterion, voice.grad_input).shape == X.shape
    base = getattr(lib, voice.mse)
    half = subclass(voice, base, update_output=lambda self, x, t: getattr(base, voice.update_output)(self, x, t) / 2)()
    assert half.forward(X, DY) == pytest.approx(((X - DY) ** 2).sum() / 12) and half.backward(X, DY).shape == X.shape


def test_containers_of_ones_own(voice, lib):
    calls = []

    def forward(self, inpt):
        calls.append("forward")
        return lib.Sequential.forward(self, inpt)

    def backward(self, inpt, grad):
        calls.append("backward")
        return 3 * lib.Sequential.backward(self, inpt, grad)

    Loud = type("Loud", (lib.Sequential,), {"forward": forward, "backward": backward})
    inner = Loud(lib.Tanh()) if voice.name == "plain" else Loud()
    if voice.name != "plain":
        inner.add(lib.Tanh())
    net = voice.sequential(lib, lib.Flatten(), inner)
    np.testing.assert_allclose(net.forward(X), np.tanh(X))
    np.testing.assert_allclose(net.backward(X, DY), 3 * DY * (1 - np.tanh(X) ** 2))
    assert calls == ["forward", "backward"]
    if voice.name == "plain":
        return
    base = getattr(lib.Sequential, voice.update_output)
    counted = subclass(voice, lib.Sequential, update_output=lambda self, x: calls.append("hook") or 2 * base(self, x))()
    counted.add(lib.Tanh())
    np.testing.assert_allclose(voice.sequential(lib, counted).forward(X), 2 * np.tanh(X))
    assert calls[2:] == ["hook"]


def test_a_block_that_calls_the_hooks_of_its_children(voice, lib):
    def init(self):
        super(Residual, self).__init__()
        self.inner, self.act = lib.Linear(4, 4), lib.SoftPlus()

    def update_output(self, inpt):
        self.hidden = hook(self.inner, voice, "update_output", inpt)
        self.output = inpt + hook(self.act, voice, "update_output", self.hidden)
        return self.output

    def update_grad_input(self, inpt, grad):
        self.middle = hook(self.act, voice, "update_grad_input", self.hidden, grad)
        result = grad + hook(self.inner, voice, "update_grad_input", inpt, self.middle)
        setattr(self, voice.grad_input, result)
        return result

    methods = {"__init__": init, "update_output": update_output, "update_grad_input": update_grad_input}
    if voice.acc_grad_params:
        methods["acc_grad_params"] = lambda self, x, dy: hook(self.inner, voice, "acc_grad_params", x, self.middle)
    Residual = subclass(voice, lib.Module, "Residual", **methods)
    block = Residual()
    net = voice.sequential(lib, block, lib.ReLU())
    dy = DY * (net.forward(X) > 0)
    middle = dy / (1 + np.exp(-block.hidden))
    np.testing.assert_allclose(net.backward(X, DY), dy + middle @ weight(voice, block.inner.W))
    np.testing.assert_allclose(attribute(block.inner, voice, "W"), weight(voice, middle.T @ X))


def test_a_class_that_never_calls_the_initialiser_of_its_base(voice, lib):
    def init(self):
        self.factor = 5

    layer = subclass(voice, lib.Module, __init__=init,
                     update_output=lambda self, x: x * self.factor,
                     update_grad_input=lambda self, x, dy: dy * self.factor)()  # fmt: skip
    net = voice.sequential(lib, layer, lib.Flatten())
    np.testing.assert_array_equal(net.forward(X), 5 * X)
    np.testing.assert_array_equal(net.backward(X, DY), 5 * DY)
    hook(net, voice, "evaluate")
    assert getattr(layer, voice.training) is False and str(net).split() == ["Mine", "Flatten"]


# ---------------------------------------------------------------------------------------------------------------
# Names rebound, modules reloaded, layers that derive from nothing
# ---------------------------------------------------------------------------------------------------------------

REBOUND = """
from fastnn.compat.{name} import *

for known in "Module Criterion Sequential Linear ReLU Dropout BatchNormalization {affine} {mse}".split():
    exec(f'''
class {{known}}({{known}}):
    def __init__(self, *args, **kwargs):
        super({{known}}, self).__init__(*args, **kwargs)
        self.mine = "{{known}}"
''')
made = [Module(), Criterion(), Sequential(), Linear(4, 4), ReLU(), Dropout(0.0), BatchNormalization()]
made += [{affine}(4), {mse}()]
"""


def test_names_rebound_to_subclasses_of_themselves(voice, restored):
    namespace = {}
    exec(REBOUND.format(name=voice.name, affine=voice.affine, mse=voice.mse), namespace)
    made = namespace["made"]
    assert [one.mine for one in made] == [type(one).__name__ for one in made]
    for name in ("Module", "Sequential", "Linear", "ReLU", "Dropout", "BatchNormalization", voice.affine, voice.mse):
        setattr(restored, name, namespace[name])  # in the framework itself, as a notebook that patches it does
    net = voice.sequential(restored, *made[3:8], restored.Linear(4, 4), restored.SoftMax())
    assert net.mine == "Sequential" and net.forward(X).shape == X.shape == net.backward(X, DY).shape
    assert restored.Linear(4, 4).mine == "Linear" and made[-1].forward(X, DY) > 0


def test_a_reloaded_module_mixes_with_what_was_made_before(voice, restored):
    old = {name: getattr(restored, name) for name in restored.__all__}
    old_net = voice.sequential(restored, restored.Linear(4, 4), restored.Tanh())
    new = importlib.reload(restored)
    assert new.Linear is not old["Linear"]
    mine = type("Mine", (old["Linear"],), {})(4, 4)
    net = voice.sequential(new, old_net, new.Linear(4, 4), mine, old["BatchNormalization"](), new.SoftMax())
    outer = type("Outer", (old["Sequential"],), {})(net) if voice.name == "plain" else old["Sequential"]()
    if voice.name != "plain":
        outer.add(net)
    p = outer.forward(X)
    criterion, target = getattr(new, voice.mse)(), np.eye(4)[[0, 1, 2, 3, 0, 1]]
    state, config = {}, {"learning_rate": 0.1, "momentum": 0.9}
    before = criterion.forward(p, target)
    for step in (old["sgd_momentum"], new.sgd_momentum) * 15:
        hook(outer, voice, "zero_grad_params")
        p = outer.forward(X)
        outer.backward(X, criterion.backward(p, target))
        step(parameters(outer, voice), gradients(outer, voice), config, state)
    assert criterion.forward(outer.forward(X), target) < before and len(state["accumulated_grads"]) == 3 * len(
        voice.linear_parameters
    )
    hook(outer, voice, "evaluate")
    assert getattr(mine, voice.training) is False and len(list(filter(None, str(outer).splitlines()))) == 6


class Duck:
    """Derives from nothing; its methods are added below under the dialect's names."""

    def __init__(self):
        self.w, self.slope = np.full(4, 2.0), np.zeros(4)

    def forward(self, x):
        self.output = x * self.w
        return self.output

    def backward(self, x, g):
        self.slope = (x * g).sum(axis=0)
        return g * self.w

    def reset(self):
        self.slope = np.zeros(4)

    def mode(self):
        self.called = True


def test_a_layer_that_derives_from_nothing(voice, lib):
    names = {voice.get_parameters: lambda self: [self.w], voice.get_grad_params: lambda self: [self.slope],
             voice.zero_grad_params: Duck.reset, "train": Duck.mode, voice.evaluate: Duck.mode}  # fmt: skip
    duck, linear = type("Quack", (Duck,), names)(), lib.Linear(4, 4)
    net = voice.sequential(lib, duck, linear)
    np.testing.assert_allclose(net.forward(X), linear.forward(2 * X))
    np.testing.assert_allclose(net.backward(X, DY), 2 * DY @ weight(voice, linear.W))
    hook(net, voice, "evaluate")
    assert duck.called and flat(parameters(net, voice))[0] is duck.w
    before = duck.w.copy()
    getattr(lib, voice.momentum)(parameters(net, voice), gradients(net, voice), {"learning_rate": 1, "momentum": 0}, {})
    np.testing.assert_allclose(duck.w, before - duck.slope)
    assert duck.slope.all()
    hook(net, voice, "zero_grad_params")
    assert not duck.slope.any()


# ---------------------------------------------------------------------------------------------------------------
# Copies
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
@pytest.mark.parametrize("used", [False, True])
def test_nets_are_copied_and_pickled(voice, lib, copied, used):
    layers = [lib.Linear(4, 5), lib.BatchNormalization(0.9), getattr(lib, voice.affine)(5), lib.LeakyReLU(0.1),
              lib.Dropout(0.2), lib.ELU(0.3), lib.SoftPlus(), lib.Linear(5, 4), lib.LogSoftMax()]  # fmt: skip
    net = voice.sequential(lib, *layers)
    if used:
        net.backward(X, 0 * net.forward(X) + DY)
    twin = copied(net)
    arrays = [flat(parameters(one, voice)) + flat(gradients(one, voice)) for one in (net, twin)]
    assert not any(np.may_share_memory(a, b) for a, b in zip(*arrays, strict=True))
    results = []
    for one in (net, twin):
        np.random.seed(1)  # noqa: NPY002
        y = one.forward(X)
        dx = one.backward(X, DY)
        state = {}
        lib.adam_optimizer(parameters(one, voice), gradients(one, voice),
                           {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}, state)  # fmt: skip
        hook(one, voice, "evaluate")
        results.append([y, dx, one.forward(X), *flat(parameters(one, voice)), *state["v"].values()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    layer = getattr(twin, voice.modules)[0]
    assert flat(parameters(twin, voice))[0] is layer.W
    assert flat(gradients(twin, voice))[0] is attribute(layer, voice, "W")
    assert str(twin) == str(net) and copied(getattr(lib, voice.mse)()).forward(X, X) == 0


def test_plain_classes_without_forward_say_so():
    plain = VOICES["plain"].compat
    for base, inputs in ((plain.Module, (X,)), (plain.Criterion, (X, X))):
        mine = type("Mine", (base,), {})()
        for method, arguments in ((mine.forward, inputs), (mine.backward, (X, X))):
            with pytest.raises(NotImplementedError, match=r"^Mine: expected forward and backward in the class$"):
                method(*arguments)
