"""Convolutions, pooling and their kin beside PyTorch for any geometry, and what is particular to them."""

import copy

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support import DTYPES, same_bits

import fastnn
from fastnn import backend, nn, reference

EXACT = {"rtol": 1e-9, "atol": 1e-11}


def outcome(function, *args, **kwargs):
    """What a call comes to: ("returned", value) or ("raised", type, text)."""
    try:
        return "returned", function(*args, **kwargs)
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        return "raised", type(error), str(error)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


# ---------------------------------------------------------------------------------------------------------------
# Any geometry
# ---------------------------------------------------------------------------------------------------------------


def pairs(low, high):
    """One number, or one for each axis."""
    return st.one_of(st.integers(low, high), st.tuples(st.integers(low, high), st.integers(low, high)))


images = st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 9))  # N, H, W
seeds = st.integers(0, 2**32 - 1)


@st.composite
def convolutions(draw, axes=2):
    """The arguments of a convolution."""
    groups, each = (
        draw(st.integers(1, 3)),
        (lambda low, high: pairs(low, high) if axes == 2 else st.integers(low, high)),
    )
    stride = draw(each(1, 3))
    padding = st.one_of(each(0, 4), st.just("valid"), *([st.just("same")] if stride in (1, (1, 1)) else []))
    options = {"stride": stride, "padding": draw(padding), "dilation": draw(each(1, 3)), "groups": groups}
    channels = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    return (*channels, draw(each(1, 4))), {**options, "bias": draw(st.booleans())}


def compare(torch, name, arguments, options, shape, seed):
    """Output, gradients and errors of a layer and of PyTorch's of the same name, arguments and parameters."""
    built = outcome(getattr(nn, name), *arguments, **options)
    twin = outcome(getattr(torch.nn, name), *arguments, **options)
    assert built[0] == twin[0], (built, twin)
    assume(built[0] == "returned")
    layer, twin = built[1].astype(np.float64), twin[1].double()
    rng = np.random.default_rng(seed)
    for (key, array), (other, tensor) in zip(layer.named_parameters(), twin.named_parameters(), strict=True):
        assert key == other
        array[...] = rng.standard_normal(array.shape)
        tensor.data = torch.tensor(array)
    x = rng.standard_normal(shape)
    tx = torch.tensor(x, requires_grad=True)
    y, ty = outcome(layer.forward, x), outcome(twin, tx)
    if 0 in shape and y[0] != ty[0]:
        return  # what has no output here, and empty batches there
    assert y[0] == ty[0], (y, ty)
    if y[0] == "raised":
        assert y[1] is ValueError and y[2].startswith(f"{name}: expected ") and "\n" not in y[2]
        return
    np.testing.assert_allclose(y[1], ty[1].detach().numpy(), **EXACT)
    assert y[1].shape == tuple(ty[1].shape)
    if not np.isfinite(y[1]).all():
        return  # a window with nothing but padding in it: PyTorch writes the gradient outside of the image
    dy = rng.standard_normal(y[1].shape)
    ty[1].backward(torch.tensor(dy))
    layer.zero_grad()
    np.testing.assert_allclose(layer.backward(x, dy), tx.grad.numpy(), **EXACT)
    for grad, tensor in zip(layer.grad_parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(grad, tensor.grad.numpy(), **EXACT)


@settings(max_examples=300)
@given(convolution=convolutions(), image=images, seed=seeds)
def test_convolutions_of_images(torch, convolution, image, seed):
    arguments, options = convolution
    compare(torch, "Conv2d", arguments, options, (image[0], arguments[0], *image[1:]), seed)


@settings(max_examples=150)
@given(convolution=convolutions(axes=1), n=st.integers(0, 3), length=st.integers(1, 12), seed=seeds)
def test_convolutions_of_sequences(torch, convolution, n, length, seed):
    arguments, options = convolution
    if options["padding"] == "same" and (options["dilation"] * (arguments[2] - 1)) % 2:
        assume(n > 0)  # PyTorch raises for an empty batch of those
    compare(torch, "Conv1d", arguments, options, (n, arguments[0], length), seed)


@settings(max_examples=200)
@given(convolution=convolutions(), more=pairs(0, 2), image=images, seed=seeds)
def test_transposed_convolutions(torch, convolution, more, image, seed):
    arguments, options = convolution
    assume(not isinstance(options["padding"], str))
    both = np.broadcast_to(more, 2) < np.broadcast_to(options["stride"], 2)
    assume(both.all())  # PyTorch takes one up to the dilation too
    compare(
        torch,
        "ConvTranspose2d",
        arguments,
        {**options, "output_padding": more},
        (image[0], arguments[0], *image[1:]),
        seed,
    )


@settings(max_examples=300)
@given(kernel=pairs(1, 4), stride=st.one_of(st.none(), pairs(1, 3)), padding=pairs(0, 2), dilation=pairs(1, 2),
       ceil_mode=st.booleans(), image=images, seed=seeds)  # fmt: skip
def test_the_largest_of_any_windows(torch, kernel, stride, padding, dilation, ceil_mode, image, seed):
    assume((2 * np.broadcast_to(padding, 2) <= np.broadcast_to(kernel, 2)).all())
    options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    compare(torch, "MaxPool2d", (kernel,), options, (image[0], 2, *image[1:]), seed)


@settings(max_examples=150)
@given(kernel=st.integers(1, 5), stride=st.one_of(st.none(), st.integers(1, 3)), padding=st.integers(0, 2),
       dilation=st.integers(1, 2), ceil_mode=st.booleans(), n=st.integers(0, 2), length=st.integers(1, 12),
       seed=seeds)  # fmt: skip
def test_the_largest_of_any_windows_of_sequences(torch, kernel, stride, padding, dilation, ceil_mode, n, length, seed):
    assume(2 * padding <= kernel)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    compare(torch, "MaxPool1d", (kernel,), options, (n, 2, length), seed)


@settings(max_examples=300)
@given(kernel=pairs(1, 4), stride=st.one_of(st.none(), pairs(1, 4)), padding=pairs(0, 2), ceil_mode=st.booleans(),
       count_include_pad=st.booleans(), image=images, seed=seeds)  # fmt: skip
def test_the_mean_of_any_windows(torch, kernel, stride, padding, ceil_mode, count_include_pad, image, seed):
    assume((2 * np.broadcast_to(padding, 2) <= np.broadcast_to(kernel, 2)).all())
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    compare(torch, "AvgPool2d", (kernel,), options, (image[0], 2, *image[1:]), seed)


@settings(max_examples=100)
@given(size=st.one_of(pairs(1, 12), st.tuples(st.none(), st.integers(1, 5))), image=images, seed=seeds)
def test_windows_that_cover_an_image_evenly(torch, size, image, seed):
    compare(torch, "AdaptiveAvgPool2d", (size,), {}, (image[0], 2, *image[1:]), seed)


@settings(max_examples=100)
@given(padding=st.one_of(st.integers(-2, 3), st.tuples(*(st.integers(-3, 3),) * 4)), image=images, seed=seeds)
def test_any_zeros_around_an_image(torch, padding, image, seed):
    left, right, top, bottom = np.broadcast_to(padding, 4).tolist()
    assume(image[1] + top + bottom > 0 and image[2] + left + right > 0)  # PyTorch makes empty images too
    assume(min(top, 0) + min(bottom, 0) + image[1] >= 0 and min(left, 0) + min(right, 0) + image[2] >= 0)
    compare(torch, "ZeroPad2d", (padding,), {}, (image[0], 2, *image[1:]), seed)


# ---------------------------------------------------------------------------------------------------------------
# Special values
# ---------------------------------------------------------------------------------------------------------------


def test_the_largest_element_of_special_ones():
    nan, inf = np.nan, np.inf
    x = np.array([[[[1, nan, -inf, -inf], [2, 3, -inf, -inf], [5, 5, -1, inf], [5, 5, inf, 0]]]])
    layer, dy = nn.MaxPool2d(2), np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    np.testing.assert_array_equal(layer.forward(x), [[[[nan, -inf], [5, inf]]]])
    expected = [[[[0, 1, 2, 0], [0, 0, 0, 0], [3, 0, 0, 4], [0, 0, 0, 0]]]]  # the first of equal ones, row by row
    np.testing.assert_array_equal(layer.backward(x, dy), expected)


@pytest.mark.parametrize("size", [(2, 2), (4, 6), (8, 8), (6, 18), (2, 32), (10, 70)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_of_equal_elements_of_two_by_two(isa, size, dtype):
    values = np.array([0, 1, 2, -np.inf, np.nan], dtype)
    x = np.random.default_rng(0).choice(values, (3, 2, *size))
    dy = 1 + np.arange(x.size // 4, dtype=dtype).reshape(3, 2, size[0] // 2, size[1] // 2)
    windows = x.reshape(3, 2, size[0] // 2, 2, size[1] // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(*dy.shape, 4)
    first = np.where(np.isnan(windows), 9, windows).argmax(-1)
    expected = np.where(np.arange(4) == first[..., None], dy[..., None], 0)
    expected = expected.reshape(*dy.shape, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(x.shape)
    np.testing.assert_array_equal(nn.MaxPool2d(2).backward(x, dy), expected)


@pytest.mark.parametrize("layer", [nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(3), nn.AvgPool2d(2)], ids=repr)
def test_many_planes_are_pooled_as_each_of_them(isa, layer):
    x = np.random.default_rng(0).integers(0, 5, (301, 10, 12, 12)).astype(np.float32)
    with backend.threads(1):
        y, dx = layer.forward(x), layer.backward(x, layer.forward(x))
        for begin in range(0, 301, 10):
            part = slice(begin, begin + 10)
            assert same_bits(layer.forward(x[part]), y[part])
            assert same_bits(layer.backward(x[part], y[part]), dx[part])


def test_padding_is_never_the_largest_element():
    x = np.full((1, 1, 2, 2), -np.inf)
    layer = nn.MaxPool2d(3, stride=1, padding=1)
    assert (layer.forward(x) == -np.inf).all()
    np.testing.assert_array_equal(layer.backward(x, np.ones((1, 1, 2, 2))), [[[[4, 0], [0, 0]]]])


def test_nan_stays_in_the_windows_that_have_it():
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 0] = np.nan
    for layer in (nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2), nn.MaxPool2d(2)):
        np.testing.assert_array_equal(np.isnan(layer.forward(x))[0, 0], [[True, False], [False, False]])


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [1, 19])
def test_convolutions_keep_what_is_not_finite(special, dtype, rows):
    """In each place what the definition gives, also where 3 x 3 taps go by patches of 4 x 4 positions."""
    rng, names = np.random.default_rng(0), ("stride", "padding", "dilation", "groups")
    geometry = dict(zip(names, ((1, 1), ((1, 1), (1, 1)), (1, 1), 1), strict=True))
    layer = nn.Conv2d(9, 10, 3, padding=1, rng=0).astype(dtype)
    x, dy = (rng.standard_normal((rows, channels, 9, 12)).astype(dtype) for channels in (9, 10))
    for place in ((-1, 2, 0, 0), (-1, 3, 4, 5), (0, 1, 8, 11)):
        x[place] = special
    y = layer.forward(x)
    same_where_not_finite(y, reference.conv_forward(x, layer.weight, layer.bias, **geometry))
    finite = np.where(np.isfinite(x), x, 1)
    dy[-1, 4, 3, 2] = special
    for input in (x, finite):
        layer.zero_grad()
        dx = layer.backward(input, dy)
        expected = np.zeros_like(layer.weight), np.zeros_like(layer.bias)
        reference.conv_backward_params(input, dy, *expected, **geometry)
        same_where_not_finite(dx, reference.conv_backward_input(dy, layer.weight, (9, 12), **geometry))
        for grad, twin in zip(layer.grad_parameters(), expected, strict=True):
            same_where_not_finite(grad, twin)


def same_where_not_finite(got, expected):
    assert 0 < np.isfinite(expected).sum() < expected.size
    np.testing.assert_array_equal(np.where(np.isfinite(got), 0, got), np.where(np.isfinite(expected), 0, expected))


@pytest.mark.parametrize("shape", [(2, 3, 1, 2), (70, 5, 3, 7), (9, 20, 8, 8), (3, 2, 70, 90)])
@pytest.mark.parametrize("kind", ["far", "outlier", "drift", "constant"])
def test_moments_of_planes_are_accurate_wherever_they_lie(isa, shape, kind):
    """Also far from 0 beside their spread, or where the first image lies far from the others."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape).astype(np.float32)
    if kind == "outlier":
        x[0] += 1e4
    elif kind == "drift":
        x += np.linspace(-1e3, 1e3, len(x)).reshape(-1, 1, 1, 1)
    else:
        x = 1e4 + (x if kind == "far" else 0 * x)
    x = x.astype(np.float32)
    layer, exact = nn.BatchNorm2d(shape[1], momentum=1.0), nn.BatchNorm2d(shape[1], momentum=1.0, dtype=np.float64)
    layer.forward(x)
    with backend.use_backend("reference"):
        exact.forward(x.astype(np.float64))
        expected = exact.backward(x.astype(np.float64), dy.astype(np.float64))
    eps = np.finfo(np.float32).eps
    np.testing.assert_allclose(layer.running_mean, exact.running_mean, rtol=4 * eps, atol=4 * eps * np.abs(x).max())
    np.testing.assert_allclose(layer.running_var, exact.running_var, rtol=256 * eps, atol=1e-9)
    spread = np.sqrt(exact.running_var.max() + layer.eps)  # x - mean is off by an eps of the mean
    near = (256 + np.abs(exact.running_mean).max() / spread) * eps
    got = layer.backward(x, dy)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=near * np.abs(expected).max())


# ---------------------------------------------------------------------------------------------------------------
# Shapes and arguments
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "shape", "line"),
    [
        ("Conv2d(3, 2, 3)", (2, 3, 4), "Conv2d: expected input of shape (N, 3, H, W), got (2, 3, 4)"),
        ("Conv2d(3, 2, 3)", (2, 4, 5, 5), "Conv2d: expected input of shape (N, 3, H, W), got (2, 4, 5, 5)"),
        ("Conv2d(3, 2, 5, padding=1)", (2, 3, 2, 9), "Conv2d: expected input of height x width from 3 x 3, got 2 x 9"),
        ("Conv1d(3, 2, 5)", (2, 3, 4), "Conv1d: expected input of length from 5, got 4"),
        ("Conv1d(3, 2, 5)", (2, 3), "Conv1d: expected input of shape (N, 3, L), got (2, 3)"),
        ("ConvTranspose2d(3, 2, 1, padding=1)", (2, 3, 2, 9),
         "ConvTranspose2d: expected an input with an output of at least one pixel, got (2, 3, 2, 9)"),
        ("MaxPool2d(3)", (2, 3, 2, 9), "MaxPool2d: expected input of height x width from 3 x 3, got 2 x 9"),
        ("MaxPool1d(3)", (2, 3, 2), "MaxPool1d: expected input of length from 3, got 2"),
        ("AvgPool2d(3)", (3, 4, 5), "AvgPool2d: expected input of shape (N, C, H, W), got (3, 4, 5)"),
        ("AdaptiveAvgPool2d(3)", (3, 4), "AdaptiveAvgPool2d: expected input of shape (N, C, H, W), got (3, 4)"),
        ("BatchNorm2d(3)", (3, 4), "BatchNorm2d: expected input of shape (N, 3, H, W), got (3, 4)"),
        ("BatchNorm2d(3)", (3, 4, 2, 2), "BatchNorm2d: expected input of shape (N, 3, H, W), got (3, 4, 2, 2)"),
        ("BatchNorm2d(3)", (1, 3, 1, 1),
         "BatchNorm2d: expected more than 1 value per channel when training, got input of shape (1, 3, 1, 1)"),
        ("LayerNorm((3, 4))", (2, 4, 3), "LayerNorm: expected input of shape (..., 3, 4), got (2, 4, 3)"),
        ("GroupNorm(2, 4)", (2, 3),
         "GroupNorm: expected input of shape (N, 4) or (N, 4, L) or (N, 4, H, W), got (2, 3)"),
        ("Dropout2d()", (2, 3), "Dropout2d: expected input of shape (N, C, H, W), got (2, 3)"),
        ("ZeroPad2d(-1)", (1, 1, 2, 5), "ZeroPad2d: expected input of which a pixel is left, got 2 x 5 pixels"),
        ("Upsample(scale_factor=2)", (2, 3), "Upsample: expected input of shape (N, C, L) or (N, C, H, W), got (2, 3)"),
        ("Upsample(size=5)", (1, 1, 2, 5), "Upsample: expected input of a size that divides 5, got (1, 1, 2, 5)"),
    ],
)  # fmt: skip
def test_layers_say_what_input_they_expect(call, shape, line):
    layer = eval(call, vars(nn))
    assert outcome(layer.forward, np.zeros(shape, np.float32)) == ("raised", ValueError, line)


@pytest.mark.parametrize(
    ("call", "kind", "line"),
    [
        ("Conv2d(3, 4, 0)", ValueError, "Conv2d: expected kernel_size >= 1, got 0"),
        ("Conv2d(3, 4, (1, 2, 3))", TypeError, "Conv2d: expected kernel_size as an integer or 2 of them, got tuple"),
        ("Conv2d(3, 4, 2, padding='full')", ValueError, "Conv2d: expected padding 'same' or 'valid', got 'full'"),
        ("Conv2d(3, 4, 2, (1, 2), 'same')", ValueError, "Conv2d: expected stride 1 with padding 'same', got (1, 2)"),
        ("Conv1d(3, 4, 2, groups=2)", ValueError,
         "Conv1d: expected groups that divide in_channels and out_channels, got 2 for 3 and 4"),
        ("ConvTranspose2d(3, 4, 2, output_padding=1)", ValueError,
         "ConvTranspose2d: expected output_padding less than stride (1, 1), got (1, 1)"),
        ("MaxPool2d(2.0)", TypeError, "MaxPool2d: expected kernel_size as an integer or 2 of them, got 2.0"),
        ("AvgPool2d(2, padding=2)", ValueError, "AvgPool2d: expected padding of at most half of a window, got 2"),
        ("AdaptiveAvgPool2d(0)", ValueError, "AdaptiveAvgPool2d: expected output_size >= 1, got 0"),
        ("LayerNorm(())", ValueError, "LayerNorm: expected normalized_shape with at least one axis, got ()"),
        ("RMSNorm(3, eps=-1)", ValueError, "RMSNorm: expected eps >= 0, got -1"),
        ("GroupNorm(4, 6)", ValueError, "GroupNorm: expected num_groups to divide num_channels 6, got 4"),
        ("Embedding(3, 2, 3)", ValueError, "Embedding: expected padding_idx of a row of 3, got 3"),
        ("ZeroPad2d((1, 2))", TypeError, "ZeroPad2d: expected padding as an integer or 4 of them, got tuple"),
        ("Upsample()", ValueError, "Upsample: expected either size or scale_factor, got neither"),
        ("Upsample(2, 2)", ValueError, "Upsample: expected either size or scale_factor, got both"),
        ("Upsample(scale_factor=1.5)", TypeError,
         "Upsample: expected scale_factor as an integer or 2 of them, got 1.5"),
        ("Dropout2d(1.0)", ValueError, "Dropout2d: expected p in [0, 1), got 1.0"),
    ],
)  # fmt: skip
def test_constructors_check_their_arguments(call, kind, line):
    assert outcome(eval, call, {**vars(nn)}) == ("raised", kind, line)


def test_embedding_takes_whole_numbers_of_its_table():
    layer = nn.Embedding(3, 2)
    for x, kind, line in (
        (np.array([0.0, 1.0]), TypeError, "Embedding: expected input of integers, got dtype float64"),
        (np.array([0, 3]), IndexError, "Embedding: expected input in [0, 3), got 3"),
        (np.array([[0], [-1]]), IndexError, "Embedding: expected input in [0, 3), got -1"),
    ):
        assert outcome(layer.forward, x) == ("raised", kind, line)
        kept = layer.grad_weight.copy()
        assert outcome(layer.acc_grad_params, x, np.ones((*x.shape, 2))) == ("raised", kind, line)
        np.testing.assert_array_equal(layer.grad_weight, kept)


def test_padded_rows_are_zero_at_first_and_get_no_gradient():
    layer = nn.Embedding(4, 3, padding_idx=-1, rng=0)
    assert layer.padding_idx == 3 and not layer.weight[3].any() and layer.weight[:3].all()
    layer.backward([3, 1, 3, 1], np.ones((4, 3), np.float32))
    np.testing.assert_array_equal(layer.grad_weight, [[0] * 3, [2] * 3, [0] * 3, [0] * 3])


# ---------------------------------------------------------------------------------------------------------------
# Initial values, masks, training
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "fan_in"),
    [("Conv2d(6, 200, (3, 2), groups=2", 18), ("Conv1d(8, 300, 3", 24), ("ConvTranspose2d(100, 50, 3", 450)],
)
def test_initial_weights_have_the_spread_of_pytorch(torch, call, fan_in):
    ours, again = (eval(call + ", rng=0)", vars(nn)) for _ in range(2))
    torch.manual_seed(0)
    theirs = eval(call + ")", vars(torch.nn))
    for name in ("weight", "bias"):
        a, b = getattr(ours, name), getattr(theirs, name).detach().numpy()
        assert a.shape == b.shape and same_bits(a, getattr(again, name))
        assert np.abs(a).max() <= 1 / np.sqrt(fan_in) and np.abs(b).max() <= 1 / np.sqrt(fan_in) + 1e-7
        np.testing.assert_allclose(a.std(), b.std(), rtol=0.15)


def test_whole_channels_are_dropped():
    layer, x = nn.Dropout2d(0.25, rng=3), np.random.default_rng(0).random((40, 50, 3, 2)) + 1
    y = layer.forward(x)
    dropped = ~y.any(axis=(2, 3))
    assert abs(dropped.mean() - 0.25) < 0.04
    np.testing.assert_allclose(y, x * ~dropped[:, :, None, None] / 0.75)
    np.testing.assert_allclose(layer.backward(x, x), y)
    assert not same_bits(layer.forward(x), y)
    layer.undo_output()
    layer.undo_output()
    assert same_bits(layer.forward(x), y)


@pytest.mark.parametrize("kind", ["Conv2d", "Conv1d", "ConvTranspose2d", "LayerNorm", "BatchNorm2d"])
def test_a_gradient_of_another_shape_changes_nothing(kind):
    layer = {"Conv2d": nn.Conv2d(2, 3, 2), "Conv1d": nn.Conv1d(2, 3, 2), "ConvTranspose2d": nn.ConvTranspose2d(2, 3, 2),
             "LayerNorm": nn.LayerNorm(6), "BatchNorm2d": nn.BatchNorm2d(2)}[kind]  # fmt: skip
    x = np.random.default_rng(0).random((4, 2, 6) if kind == "Conv1d" else (4, 2, 4, 6))
    shape = layer.forward(x).shape
    grads = copy.deepcopy(layer.grad_parameters())
    for wrong in ((*shape[:-1], shape[-1] + 1), (shape[0], shape[1], *shape[:1:-1]), shape[1:]):
        if wrong != shape:
            got = outcome(layer.backward, x, np.ones(wrong))
            assert got[:2] == ("raised", ValueError) and "expected grad_output of shape" in got[2], got
    assert all(map(same_bits, layer.grad_parameters(), grads))


def test_a_small_network_of_images_learns():
    X, y = fastnn.data.load_digits()
    X = X.reshape(-1, 1, 8, 8).astype(np.float32) / 16
    fastnn.manual_seed(0)
    model = nn.Sequential(  # the gradient of a bias before the batch norm would be rounding alone, which Adam magnifies
        nn.Conv2d(1, 8, 3, padding="same", bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(64, 10))  # fmt: skip
    trainer = fastnn.Trainer(model, nn.CrossEntropyLoss(), fastnn.optim.Adam(model, lr=0.01))
    history = trainer.fit(X[:500], y[:500], epochs=10, batch_size=50, rng=0, progress=False)
    assert history.history["loss"][-1] < 0.4
    assert (model.eval().forward(X[500:]).argmax(axis=1) == y[500:]).mean() > 0.85


LENET = """Sequential(
    Conv2d(1, 6, 5, padding=2), ReLU(), MaxPool2d(2), Conv2d(6, 16, 5), BatchNorm2d(16), ReLU(), AvgPool2d(2),
    Flatten(), Linear(64, 30), ReLU(), Dropout(0.2), LayerNorm(30), Linear(30, 10))"""
WORDS = "Sequential(Embedding(9, 6, padding_idx=0), RMSNorm(6), Flatten(), Linear(42, 4), LogSoftmax(-1))"


def network(call, dtype):
    """The network in evaluation mode with random parameters and statistics, and an input for it."""
    rng, model = np.random.default_rng(0), eval(call, vars(nn)).astype(dtype).eval()
    for name, array in (*model.named_parameters(), *model.named_buffers()):
        if array.dtype == dtype:
            array[...] = rng.random(array.shape) + 0.5 if name.endswith("var") else rng.standard_normal(array.shape) / 4
    x = rng.standard_normal((5, 1, 16, 16)).astype(dtype) if call == LENET else rng.integers(0, 9, (5, 7))
    return model, x


whole = pytest.mark.parametrize("call", [LENET, WORDS], ids=["images", "words"])
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


@whole
@dtypes
def test_networks_are_saved_and_loaded(call, dtype, tmp_path):
    model, x = network(call, dtype)
    expected = model.forward(x)
    assert expected.dtype == dtype
    model.save(tmp_path / "model.safetensors")
    loaded = fastnn.load(tmp_path / "model.safetensors").eval()
    assert repr(loaded) == repr(model) and same_bits(loaded.forward(x), expected)


@whole
@dtypes
def test_networks_go_to_pytorch_and_back(torch, call, dtype):
    model, x = network(call, dtype)
    twin = fastnn.interop.to_torch(model)
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(model.forward(x), twin(torch.tensor(x)).detach().numpy(), rtol=rtol, atol=rtol / 10)
    again = fastnn.interop.from_torch(twin)
    assert repr(again) == repr(model) and same_bits(again.forward(x), model.forward(x))


@whole
def test_networks_run_as_onnx_files(call):
    pytest.importorskip("onnx", reason="onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model, x = network(call, np.float32)
    proto = fastnn.interop.to_onnx(model, input_shape=x.shape[1:])
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for rows in (x, x[:1]):
        (got,) = session.run(None, {session.get_inputs()[0].name: rows})
        np.testing.assert_allclose(got, model.forward(rows), rtol=1e-4, atol=1e-5)


def test_a_network_of_words_learns():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 12, (400, 6))
    y = (X < 4).sum(axis=1) > (X >= 8).sum(axis=1)
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Embedding(12, 4), nn.LayerNorm(4), nn.Flatten(), nn.Linear(24, 2))
    trainer = fastnn.Trainer(model, nn.CrossEntropyLoss(), fastnn.optim.Adam(model, lr=0.02))
    history = trainer.fit(X, y.astype(np.int64), epochs=12, batch_size=20, rng=0, progress=False)
    assert history.history["accuracy"][-1] > 0.9
