"""The steps that `verify` puts a user's class or optimiser through: what is computed, in which order, on what numbers.

A class of the user's and the dialect's go through the same ones, with the same seed and the same small inputs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

SEED = 0
TOLERANCE = 1e-9  # relative to the largest number of an array
TINY = 1e-12  # what sums that cancel leave
ROWS, MANY = (8, 5), (200, 100)
RATE_OF_DROPOUT = 0.3

Step = tuple[str, Callable[[], Any]]  # what is computed; a label that ends in a verb goes with a value in words


class Trial(NamedTuple):
    """The values of all steps, or of those before one that failed."""

    values: dict[str, Any]
    failure: str | None


class Words(NamedTuple):
    """What the dialect calls the methods that both classes have; "" for one that the user's lacks."""

    dialect: str
    parameters: str
    gradients: str
    zero: str
    evaluate: str


class Example(NamedTuple):
    """A layer to be made, and the shapes of its input and output."""

    arguments: tuple[Any, ...] = ()
    input: tuple[int, ...] = ROWS
    output: tuple[int, ...] = ROWS
    parameters: tuple[str, ...] = ()


AFFINE = Example((5,), parameters=("gamma", "beta"))
LAYERS = {
    "Linear": Example((5, 4), output=(8, 4), parameters=("W", "b")),
    "Scaling": AFFINE,
    "ChannelwiseScaling": AFFINE,
    "Flatten": Example(input=(4, 3, 2), output=(4, 6)),
    "Conv2d": Example((2, 3, 3), (2, 2, 5, 4), (2, 3, 5, 4), ("W", "b")),
    "MaxPool2d": Example((2,), (2, 3, 4, 6), (2, 3, 2, 3)),
    "LeakyReLU": Example((0.2,)),
    "ELU": Example((0.7,)),
    **dict.fromkeys(("SoftMax", "LogSoftMax", "ReLU", "SoftPlus", "Sigmoid", "Tanh"), Example()),
}
ON_VALUES = {"MSECriterion", "MSE"}
ON_PROBABILITIES = {"ClassNLLCriterionUnstable", "NLLCriterionUnstable", "CrossEntropy"}
ON_LOG_PROBABILITIES = {"ClassNLLCriterion", "LogClassNLLCriterion", "NLLCriterion", "NLL"}
MOMENTUM = {"learning_rate": 0.1, "momentum": 0.8}
ADAM = {"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.95, "epsilon": 0.01}


def steps_of(name: str, mine: Any, words: Words) -> Callable[[Any, Mapping[str, Any]], Iterator[Step]] | None:
    """The steps of a name: a function of the class and of the user's values where those are known."""
    if name in LAYERS:
        return partial(_layer, LAYERS[name]._replace(arguments=taken(mine, LAYERS[name].arguments)), words)
    if name == "BatchNormalization":
        return partial(_batch_normalization, taken(mine, (0.9,)), words)
    if name == "Dropout":
        return partial(_dropout, taken(mine, (RATE_OF_DROPOUT,)), words)
    if name == "Sequential":
        return partial(_sequential, words)
    if name in ("sgd_momentum", "SGD", "adam_optimizer"):
        flat = words.dialect == "plain"
        settings: tuple[Any, ...] = (ADAM if name == "adam_optimizer" else MOMENTUM,)
        return partial(_optimizer, (0.1,) if flat and name == "SGD" else (*settings, {}), flat)
    if name in ON_VALUES | ON_PROBABILITIES | ON_LOG_PROBABILITIES:
        return partial(_criterion, _kind(name, words.dialect))
    return None


def taken(mine: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments if the user's constructor takes them, else none."""
    try:
        inspect.signature(mine).bind(*arguments)
    except (TypeError, ValueError):
        return ()
    return arguments


def tried(steps: Iterator[Step]) -> Trial:
    """The values of the steps; a step without a value, as of unfinished homework, counts as one that failed."""
    np.random.seed(SEED)  # noqa: NPY002
    values: dict[str, Any] = {}
    label = "the constructor"
    try:
        with np.errstate(all="ignore"):
            for label, compute in steps:
                values[label] = _kept(compute())
                if values[label] is None and label not in OPTIONAL:
                    return Trial(values, f"{label} gives None")
    except (Exception, SystemExit) as error:
        return Trial(values, f"{label} raises {type(error).__name__}: {error}".split("\n")[0].removesuffix(": "))
    return Trial(values, None)


OPTIONAL = {"W", "b", "gamma", "beta", "moving_mean after the first batch", "moving_variance after the first batch"}
OPTIONAL |= {"moving_mean after the second batch", "moving_variance after the second batch"}


def _kept(value: Any) -> Any:
    """A value as it is now: text, a copy as an array of float64, or None."""
    return value if value is None or isinstance(value, str) else np.array(value, np.float64)


# ---------------------------------------------------------------------------------------------------------------
# steps
# ---------------------------------------------------------------------------------------------------------------


def numbers(seed: int, shape: tuple[int, ...] = ROWS) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def _stored(value: Any, thing: Any, *names: str) -> Any:
    """What a method returned, or stored."""
    found = (value, *(getattr(thing, name, None) for name in names))
    return next((each for each in found if each is not None), None)


def _forward(layer: Any, *inputs: Any) -> Any:
    return _stored(layer.forward(*inputs), layer, "output")


def _backward(layer: Any, *inputs: Any) -> Any:
    return _stored(layer.backward(*inputs), layer, "gradInput", "grad_input")


def _evaluate(layer: Any, words: Words) -> None:
    """Switch to evaluation, also where the user's class has no method for it."""
    if hasattr(layer, words.evaluate):
        getattr(layer, words.evaluate)()
    else:
        layer.training = layer._train = False


def _array_of(layer: Any, name: str, lists: str, place: int) -> Any:
    """A parameter or a gradient: an attribute, or else its place in the layer's list."""
    value = getattr(layer, name, None)
    found = getattr(layer, lists)() if lists and value is None else ()
    return found[place] if place < len(found) else value


def _gradient_name(name: str, dialect: str) -> str:
    return f"grad_{name}" if dialect == "plain" else f"grad{name if len(name) == 1 else name.capitalize()}"


def _adopt(layer: Any, given: Mapping[str, Any]) -> None:
    """Give the dialect's layer the user's parameters, so that the steps below compare the same computation."""
    for name in ("W", "b", "gamma", "beta"):
        value, own = given.get(name), getattr(layer, name, None)
        if value is not None and own is not None and value.size == own.size:
            is_turned = value.shape != own.shape and value.shape == own.shape[::-1]
            setattr(layer, name, (value.T if is_turned else value.reshape(own.shape)).copy())


def _layer(example: Example, words: Words, thing: Any, given: Mapping[str, Any]) -> Iterator[Step]:
    layer = thing(*example.arguments)
    x, dy = numbers(1, example.input), numbers(2, example.output)
    for place, name in enumerate(example.parameters):
        yield name, partial(_array_of, layer, name, words.parameters, place)
    _adopt(layer, given)
    yield "forward", lambda: _forward(layer, x)
    yield "backward", lambda: _backward(layer, x, dy)
    if example.parameters:
        yield from _gradients(layer, example, words, x, dy)


def _gradients(layer: Any, example: Example, words: Words, x: np.ndarray, dy: np.ndarray) -> Iterator[Step]:
    """The gradients of the parameters: once, twice in a row, and after zeros."""
    found = [
        (_gradient_name(name, words.dialect), place)
        for place, name in enumerate(example.parameters)
        if _array_of(layer, name, words.parameters, place) is not None
    ]
    arrays = {name: partial(_array_of, layer, name, words.gradients, place) for name, place in found}
    yield from arrays.items()
    yield "gradients after two backwards are", lambda: _of_two_backwards(layer, list(arrays.values()), x, dy)
    if words.zero:
        for place, (name, array) in enumerate(arrays.items()):
            yield f"{name} after {words.zero}()", partial(_afresh, layer, words, array, None if place else (x, dy))
    for lists in filter(None, (words.parameters, words.gradients)):
        yield f"{lists}() is", partial(_form_of, layer, lists)


def _of_two_backwards(layer: Any, arrays: list[Callable[[], Any]], x: np.ndarray, dy: np.ndarray) -> str:
    """How a second backward changes the gradients of the first."""
    first = [_kept(array()) for array in arrays]
    layer.backward(x, dy)
    pairs = [(before, np.asarray(array())) for before, array in zip(first, arrays, strict=True)]
    if all(largest_difference(now, before) is None for before, now in pairs):
        return "those of the last one"
    return (
        "their sum" if all(largest_difference(now, 2 * before) is None for before, now in pairs) else "something else"
    )


def _afresh(layer: Any, words: Words, array: Callable[[], Any], batch: tuple[np.ndarray, np.ndarray] | None) -> Any:
    """A gradient after zeros and one more backward."""
    if batch is not None:
        getattr(layer, words.zero)()
        layer.backward(*batch)
    return array()


def _form_of(thing: Any, lists: str) -> str:
    return _form(getattr(thing, lists)())


def _form(value: Any) -> str:
    """How lists of arrays are nested: [[w, w], [], [w]]."""
    return f"[{', '.join(map(_form, value))}]" if isinstance(value, (list, tuple)) else "w"


def _batch_normalization(
    arguments: tuple[Any, ...], words: Words, thing: Any, given: Mapping[str, Any]
) -> Iterator[Step]:
    layer = thing(*arguments)
    for seed, number in enumerate(("first", "second")):
        x, dy = 2 * numbers(seed) + 1 + seed, numbers(seed + 5)
        yield f"forward after the {number} batch", partial(_forward, layer, x)
        yield f"backward after the {number} batch", partial(_backward, layer, x, dy)
        for name in ("moving_mean", "moving_variance"):
            yield f"{name} after the {number} batch", partial(getattr, layer, name, None)
    _evaluate(layer, words)
    x, dy = numbers(3), numbers(4)
    yield "forward in evaluation", lambda: _forward(layer, x)
    yield LATE, lambda: _backward(layer, x, dy)


LATE = "backward in evaluation"  # which no training calls: worth a note alone


def _dropout(arguments: tuple[Any, ...], words: Words, thing: Any, given: Mapping[str, Any]) -> Iterator[Step]:
    layer = thing(*arguments)
    x, dy = numbers(1), numbers(2)
    yield "forward", lambda: _forward(layer, x)
    yield "backward", lambda: _backward(layer, x, dy)
    yield MEAN, lambda: np.mean(_forward(layer, np.ones(MANY)))
    _evaluate(layer, words)
    yield "forward in evaluation", lambda: _forward(layer, x)


MEAN = "mean of many elements"  # judged by `_of_masks` alone


def _criterion(kind: str, thing: Any, given: Mapping[str, Any]) -> Iterator[Step]:
    criterion = thing()
    x, target = numbers(1), np.eye(5)[np.arange(8) % 5]
    if kind == "values":
        target = numbers(2)
    else:
        exps = np.exp(x)
        x = exps / exps.sum(axis=1, keepdims=True)
        x = np.log(x) if kind == "logarithms" else x
    yield "forward", lambda: _forward(criterion, x, target)
    yield "backward", lambda: _stored(criterion.backward(x, target), criterion, "gradInput", "grad_input")


def _kind(name: str, dialect: str) -> str:
    """What a criterion takes."""
    if name in ON_VALUES:
        return "values"
    is_early = dialect == "torch7_2017" and name == "ClassNLLCriterion"
    return "probabilities" if name in ON_PROBABILITIES or is_early else "logarithms"


def _optimizer(
    settings: tuple[Any, ...], flat: bool, thing: Callable[..., Any], given: Mapping[str, Any]
) -> Iterator[Step]:
    shapes: list[tuple[int, ...]] = [(4, 5), (4,), (3, 4), (3,)]
    arrays = [numbers(place, shape) for place, shape in enumerate(shapes)]
    state = tuple(dict(each) if isinstance(each, dict) else each for each in settings)  # an own state for each
    for number in (1, 2, 3):
        gradients = [numbers(10 * number + place, shape) for place, shape in enumerate(shapes)]
        lists = [each if flat else [each[:2], [], each[2:]] for each in (arrays, gradients)]
        yield f"step {number}", partial(_stepped, thing, (*lists, *state), arrays)


def _stepped(thing: Callable[..., Any], arguments: tuple[Any, ...], arrays: list[np.ndarray]) -> np.ndarray:
    thing(*arguments)
    return np.concatenate([array.ravel() for array in arrays])


def _sequential(words: Words, thing: Any, given: Mapping[str, Any]) -> Iterator[Step]:
    layers = [_probe(thing, factor, count) for factor, count in ((0.5, 2), (0.8, 0), (1.2, 1))]
    net = thing(*layers) if words.dialect == "plain" else thing()
    for layer in layers if words.dialect != "plain" else ():
        net.add(layer)
    x, dy = numbers(1), numbers(2)
    yield "forward", lambda: net.forward(x)
    yield "backward", lambda: net.backward(x, dy)
    for lists in filter(None, (words.parameters, words.gradients)):
        yield f"{lists}() is", partial(_form_of, net, lists)
    if words.zero:
        yield f"{words.zero}() reaches", partial(_reach, getattr(net, words.zero), layers, "is_zero")
    yield MODES, partial(_reach, partial(_evaluate, net, words), layers, "is_evaluated")


MODES = "the switch to evaluation reaches"


def _reach(switch: Callable[[], Any], layers: list[Any], attribute: str) -> str:
    switch()
    return "its layers" if all(getattr(layer, attribute) for layer in layers) else "itself alone"


class _Probe:
    """A layer of all spellings, factor x^2, which knows what its container asked it to do."""

    is_zero = is_evaluated = False

    def __init__(self, factor: float, count: int) -> None:
        self.factor, self.arrays = factor, [np.ones(2) for _ in range(count)]
        self.output = self.gradInput = self.grad_input = None
        self.training = self._train = True

    def forward(self, input: Any) -> Any:
        self.output = self.factor * input**2
        return self.output

    def backward(self, input: Any, gradient: Any) -> Any:
        self.gradInput = self.grad_input = 2 * self.factor * input * gradient
        return self.gradInput

    def _nothing(self, *arguments: Any) -> None:
        pass

    def _lists(self) -> list[Any]:
        return list(self.arrays)

    def _zero(self) -> None:
        self.is_zero = True

    def _evaluate(self) -> None:
        self.is_evaluated = True

    updateOutput = update_output = forward
    updateGradInput = update_grad_input = backward
    accGradParameters = update_grad_params = train = _nothing
    getParameters = get_parameters = get_params = parameters = _lists
    getGradParameters = get_grad_params = grad_parameters = _lists
    zeroGradParameters = zero_grad_params = zero_grad = _zero
    evaluate = eval = _evaluate


def _probe(container: Any, factor: float, count: int) -> Any:
    """A probe that is a Module of the container's file as well, since some containers ask."""
    base = container.__mro__[-2]
    return (type("Probe", (_Probe, base), {}) if base is not container else _Probe)(factor, count)


def largest_difference(mine: np.ndarray, theirs: np.ndarray) -> float | None:
    """The largest difference, or None where it is no more than rounding."""
    with np.errstate(all="ignore"):
        is_same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
        apart = np.where(is_same, 0.0, np.abs(mine - theirs))
    size = np.max(np.abs(theirs), initial=0.0, where=np.isfinite(theirs))
    largest = float(np.max(apart, initial=0.0))
    return None if largest <= TOLERANCE * size + TINY else largest
