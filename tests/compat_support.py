"""What the tests of the dialects share: layers by their common names, hooks and gradients in a dialect's spelling."""

import numpy as np

WITHOUT_STATE = ("ReLU", "LeakyReLU", "ELU", "SoftPlus", "Sigmoid", "Tanh")
EVERY_LAYER = (*WITHOUT_STATE, "Linear", "affine", "SoftMax", "LogSoftMax", "BatchNormalization", "Dropout", "Flatten")
CRITERIONS = ("mse", "nll_on_probabilities", "nll_on_log_probabilities")


def layer_of(voice, kind, size=4):
    """A new layer by its common name; Linear is 4 -> 3."""
    make = getattr(voice.compat, voice.affine if kind == "affine" else kind)
    return make(4, 3) if kind == "Linear" else make(size) if kind == "affine" else make()


def slope_of(kind, seed=1):
    return np.random.default_rng(seed).standard_normal((6, 3 if kind == "Linear" else 4))


def hook(layer, voice, name, *args):
    return getattr(layer, getattr(voice, name))(*args)


def parameters(layer, voice):
    return hook(layer, voice, "get_parameters")


def gradients(layer, voice):
    return hook(layer, voice, "get_grad_params")


def attribute(layer, voice, name):
    """A gradient by the parameter's name."""
    return getattr(layer, voice.gradients[name])


def flat(nested):
    return [leaf for item in nested for leaf in flat(item)] if isinstance(nested, list | tuple) else [nested]


def weight(voice, array):
    """An array of shape (out, in) in the dialect's own shape; its own inverse."""
    return array if voice.out_by_in else array.T


def linear_by_formula(layer, voice, x):
    return np.dot(x, np.asarray(weight(voice, layer.W)).T) + (layer.b if voice.has_bias else 0)
