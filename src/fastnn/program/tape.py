"""The tape: what layers and criterions write their computation on, and what becomes a native program.

A layer's `lower(tape, input)` calls the methods of `Tape`, which append instructions and remember how to go back.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .. import backend, nn
from ..nn.criterions import REDUCTIONS
from .recorder import ELEMENTS_PER_NS, INPUT, MACS_PER_NS, TARGET, WEIGHTS, Array, Loss, Operand, Place, Unsuited, Value
from .tables import Tables

LABEL = 8  # bytes of a label, of a loss
ROWS = 1 << 40  # stands for the number of rows
HOOKS = {"forward", "backward", "update_output", "update_grad_input", "acc_grad_params"}
CHUNK = 4096  # elements of an elementwise loss that are summed together: FNN_SUM_CHUNK
BLOCK = 1 << 17  # elements of a weight whose gradient is made and used at once; 512 KB in float32
RECTIFIES = {  # instructions whose last number says whether their result is max(0, result), and its operand
    "linear_forward": 3, "conv_forward": 3, "conv_rows": 3, "conv_backward_input": 3, "conv_back_rows": 3,
    "batch_norm_planes": 3, "batch_norm_planes_inference": 5,
}  # fmt: skip
SHARES = 4  # blocks of a large weight come in multiples, so that a team shares them evenly
# What leaves integers as they are, or looks rows of a table up by them.
INTEGERS = nn.Sequential, nn.Concat, nn.Add, nn.Identity, nn.Flatten, nn.Unflatten, nn.Embedding


def compilable(part: Any) -> None:
    """Raise unless a layer or criterion is of a class of fastnn with a compiled form, and has no hooks of its own."""
    cls = type(part)
    own = cls.__module__.startswith(f"{nn.__name__}.") and cls.lower not in (nn.Module.lower, nn.Criterion.lower)
    if not own or vars(part).keys() & HOOKS:
        kind = "layers" if isinstance(part, nn.Module) else "a criterion"
        raise TypeError(f"compile: expected {kind} with a compiled form, got {cls.__name__}")


class Tape(Tables):
    """The vocabulary of layers and criterions: a method for each kind of work, which also says how to go back."""

    # Layers

    def layer(self, layer: Any, input: Value) -> Value:
        """What a layer makes of the input, if it is one with a compiled form."""
        compilable(layer)
        if self.integers and input.place is INPUT and not isinstance(layer, INTEGERS):
            raise Unsuited
        output: Value = layer.lower(self, input)
        return output

    def reshape(self, input: Value, change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Value:
        """The same elements in the shape that `change` makes of that of a batch; rows stay rows."""
        input = self.in_rows(input)
        try:
            rows, *shape = change((ROWS, *input.shape))
        except ValueError:
            raise Unsuited from None
        if rows != ROWS:
            raise Unsuited
        return input._replace(shape=tuple(shape))

    def linear(self, input: Value, weight: Any, bias: Any) -> Value:
        """x W^T + b; W may lie in memory either way."""
        input = self.in_rows(input)
        if not isinstance(weight, np.ndarray) or weight.ndim != 2 or input.shape != weight.shape[1:]:
            raise Unsuited
        weight, bias = self._behaved(weight, self.training), self.array(bias, weight.shape[:1], self.training)
        in_out = weight.flags.f_contiguous
        if not (in_out or weight.flags.c_contiguous) or weight.size == 0:
            raise Unsuited
        outs, ins = weight.shape
        sizes = (ins, outs, outs, 1) if in_out else (ins, outs, 1, ins)
        output = self._result(input, (outs,), self._use(weight, bias))
        packed, width = self._packed(weight) if self.packing else (None, 0)
        self._emit("linear_forward", input.place, weight, bias, output.place, packed, numbers=(*sizes, width, 0))
        self.ns += ins * outs / MACS_PER_NS * (3 if self.training else 1)

        def back(dy: Place) -> Place | None:
            dx = self._take(ins) if input.trained else None
            if dx is not None:
                self._emit("linear_backward_input", dy, weight, dx, numbers=sizes)
            sides = ((input.place, ins), (dy, outs))
            self._weight_gradient(weight, *(sides if in_out else sides[::-1]))
            if bias is not None:
                self._gradient(bias, "column_sums", (dy,), (outs, 1, 1))
            self._give_back(dy)
            return dx

        self._back.append((output.trained, back))
        return output

    def _packed(self, weight: Array) -> tuple[Array, int]:
        """Panels of columns of W^T one after the other, (panels, in, width), the last one filled up with zeros."""
        width = backend.ops.panel_width(self.dtype)
        outs, ins = weight.shape
        panels = -(-outs // width)
        packed = np.zeros((panels * width, ins), self.dtype)
        packed[:outs] = weight
        in_turn = packed.reshape(panels, width, ins).transpose(0, 2, 1).reshape(panels * ins, width)
        return backend.aligned(np.ascontiguousarray(in_turn)), width

    def _weight_gradient(self, weight: Array, left: tuple[Place, int], right: tuple[Place, int]) -> None:
        """left^T right, block by block of its rows."""
        place, more = self._sum_of(weight)
        blocks = max(1, round(weight.size / BLOCK))
        if weight.size >= BLOCK // SHARES:
            blocks = -(-blocks // SHARES) * SHARES
        block = -(-left[1] // blocks)
        self.scratch = max(self.scratch, self._bytes(block * right[1]))
        numbers = left[1], right[1], self._number(weight), block, more
        self._emit("linear_backward_params", left[0], right[0], place, numbers=numbers)
        self._used(weight)

    def unary(self, input: Value, operation: str, constants: tuple[float, float]) -> Value:
        """An activation of every element, in place where nobody needs the input any more."""
        kind, at_output = backend.ops.unary_kind(operation, *constants)
        keeps = self.training and not at_output  # the gradient needs the input
        if input.spare and not keeps:
            output = input._replace(spare=not self.training)
        else:
            output = self._result(input, input.shape, spare=keeps, lanes=input.lanes)
        numbers = kind, input.size, input.lanes
        before = self._rectified(input) if operation == "ReLU" and output.place is input.place else None
        if before is None:
            self._emit("unary_forward", input.place, output.place, numbers=numbers, scalars=constants)
        self.ns += input.size / ELEMENTS_PER_NS

        def back(dy: Place) -> Place:
            if before in ("batch_norm_planes", "batch_norm_planes_inference"):
                return dy  # whose way back minds the rectifier
            at, dx = (input if keeps else output).place, self._over(dy, input.size)
            self._emit("unary_backward", at, dy, dx, numbers=numbers, scalars=constants)
            return self._instead(dx, dy)

        self._back.append((output.trained, back))
        return output

    def _rectified(self, input: Value) -> str | None:
        """The instruction just before, which takes over the rectifier's work, if the input comes from it and it can."""
        before = self.code[-1]
        if before.name not in RECTIFIES or before.operands[RECTIFIES[before.name]] is not input.place:
            return None
        self.code[-1] = before._replace(numbers=(*before.numbers[:-1], 1))
        return before.name

    def softmax(self, input: Value, operation: str, dim: int) -> Value:
        """Softmax or its logarithm along an axis of a batch, but not along that of its rows."""
        input = self.in_rows(input)
        axis = (dim + len(input.shape) + 1 if dim < 0 else dim) - 1
        if not 0 <= axis < len(input.shape):
            raise Unsuited
        *outer, cols = input.shape
        if axis != len(outer):
            before, depth, after = prod(input.shape[:axis]), input.shape[axis], prod(input.shape[axis + 1 :])
            turned = self.swap_axes(input, (before, depth, after), (before, after, depth))
            output = self.softmax(turned, operation, -1)
            return self.swap_axes(output, (before, after, depth), input.shape)
        output = self._result(input, input.shape, spare=False)
        numbers = cols, prod(outer)
        self._emit(f"{operation}_forward", input.place, output.place, numbers=numbers)
        self.ns += 2 * input.size / ELEMENTS_PER_NS

        def back(dy: Place) -> Place:
            dx = self._over(dy, input.size)
            self._emit(f"{operation}_backward", output.place, dy, dx, numbers=numbers)
            return self._instead(dx, dy)

        self._back.append((output.trained, back))
        return output

    def swap_axes(self, input: Value, matrices: tuple[int, ...], shape: tuple[int, ...]) -> Value:
        """Each of the `matrices` (how many, rows, columns) of a row transposed; the result gets a shape."""
        many, rows, cols = matrices
        output = self._result(input, shape)
        self._emit("swap_axes", input.place, output.place, numbers=(many, rows, cols))
        self.ns += 4 * input.size / ELEMENTS_PER_NS

        def back(dy: Place) -> Place:
            dx = self._take(input.size)
            self._emit("swap_axes", dy, dx, numbers=(many, cols, rows))
            self._give_back(dy)
            return dx

        self._back.append((output.trained, back))
        return output

    def per_channel(self, input: Value, channels: int, layer: Callable[[Value, int], Value]) -> Value:
        """A layer of (rows, channels), whose function gets how many such rows a row has, on (C,) or (C, L)."""
        input = self.in_rows(input)
        if len(input.shape) not in (1, 2) or input.shape[0] != channels:
            raise Unsuited
        if len(input.shape) == 1:
            return layer(input, 1)
        length = input.shape[1]
        output = layer(self.swap_axes(input, (1, channels, length), (length, channels)), length)
        return self.swap_axes(output, (1, length, channels), input.shape)

    def channel_scale(self, input: Value, weight: Any, bias: Any) -> Value:
        """x w + b for each channel, the last axis of a row."""

        def layer(input: Value, per: int) -> Value:
            return self._channels(input, per, weight, bias, "channel_scale_forward", "channel_scale_backward")

        return self.per_channel(input, len(weight), layer)

    def _channels(self, input: Value, per: int, weight: Any, bias: Any, forward: str, backward: str,
                  statistics: tuple[Operand, ...] = (), more: tuple[Operand, ...] = (), numbers: tuple[int, ...] = (),
                  eps: tuple[float, ...] = (), momentum: tuple[float, ...] = (), planes: bool = False
                  ) -> Value:  # fmt: skip
        """A layer with a weight and a bias a channel; its operands are `statistics` before them, `more` at the end.

        Of planes, the way back takes the statistics that the way forth has found, and the bias, and minds a rectifier.
        """
        channels = input.shape[0 if len(input.shape) == 3 or input.lanes else -1]
        weight, bias = (self.array(array, (channels,), self.training) for array in (weight, bias))
        output = self._result(input, input.shape, self._use(weight, bias), lanes=input.lanes)
        sizes = channels, per
        self._emit(forward, input.place, *statistics, weight, bias, output.place, *more, numbers=(*sizes, *numbers),
                   scalars=(*eps, *momentum))  # fmt: skip
        made = len(self.code) - 1
        self.ns += (4 if self.training else 1) * input.size / ELEMENTS_PER_NS

        def back(dy: Place) -> Place | None:
            if any(array is not None and self._uses[id(array)] != 1 for array in (weight, bias)):
                raise Unsuited  # used twice
            dx, grads = self._take(input.size), [Place(fixed=self._bytes(channels)) for _ in range(2)]
            if planes:
                self._emit(backward, input.place, *(statistics or more[:2]), weight, bias, dy, dx, *grads,
                           numbers=(*sizes, self.code[made].numbers[-1], bool(statistics)), scalars=eps)  # fmt: skip
            else:
                self._emit(backward, input.place, *statistics, weight, dy, dx, *grads, numbers=sizes, scalars=eps)
            for array, grad in zip((weight, bias), grads, strict=True):
                if array is not None:
                    self._emit("update", grad, numbers=(self._number(array), channels))
            self._give_back(dy)
            if input.trained:
                return dx
            self._give_back(dx)
            return None

        self._back.append((output.trained, back))
        return output

    def batch_norm(self, input: Value, module: Any) -> Value:
        """Batch normalisation, by the batch or by the running statistics as the mode of the layer says."""
        mean, var = module.running_mean, module.running_var
        channels, affine = (module.num_features,), (module.weight, module.bias)
        if len(input.shape) + 1 not in module._axes:
            raise Unsuited
        planes = input.lanes or len(input.shape) == 3
        kind, per_channel = ("batch_norm_planes", self._per_plane) if planes else ("batch_norm", self.per_channel)

        def of_planes(input: Value) -> tuple[int, ...]:
            """Whether they are not in lanes (few rows, in inference), and whether a rectifier follows."""
            return (not input.lanes, 0) if planes else ()

        if not (self.training and module.training) and mean is not None:
            statistics = self.array(mean, channels), self.array(var, channels)
            names = f"{kind}_inference", f"{kind}_backward" if planes else f"{kind}_inference_backward"

            def by_running(input: Value, per: int) -> Value:
                return self._channels(input, per, *affine, *names, statistics=statistics, numbers=of_planes(input),
                                      eps=(module.eps,), planes=planes)  # fmt: skip

            return per_channel(input, *channels, by_running)
        if prod(input.shape) == module.num_features:
            self.least_rows = 2
        self.whole = True
        counter = -1
        running: tuple[Array | None, ...] = ()
        if self.training and module.training and module.track_running_stats:
            counter, running = self._tracked(module)
        forward = kind if planes else "batch_norm_forward"

        def by_batch(input: Value, per: int) -> Value:
            found = Place(fixed=self._bytes(*channels)), Place(fixed=self._bytes(*channels))
            return self._channels(input, per, *affine, forward, f"{kind}_backward",
                                  more=(*found, *running),
                                  numbers=(counter, module.momentum is None, *of_planes(input)),
                                  eps=(module.eps,), momentum=(module.momentum or 0.0,), planes=planes)  # fmt: skip

        return per_channel(input, *channels, by_batch)

    def _per_plane(self, input: Value, channels: int, layer: Callable[[Value, int], Value]) -> Value:
        """A layer of planes in lanes, whose function gets how many positions a plane has."""
        if input.shape[0] != channels:
            raise Unsuited
        return layer(self.in_lanes(input), prod(input.shape[1:]))

    def _tracked(self, module: Any) -> tuple[int, tuple[Array | None, ...]]:
        """The number of the layer's counter of batches, and its running statistics."""
        count, shape = module.num_batches_tracked, (module.num_features,)
        if type(count) is not np.ndarray or count.dtype != np.int64 or count.ndim or not count.flags.behaved:
            raise Unsuited
        running = tuple(self.array(array, shape, True) for array in (module.running_mean, module.running_var))
        if any(array is None for array in running):
            raise Unsuited
        if any(count is known for known in self.counters):
            raise Unsuited  # used twice: the second use would see the first one's batch
        self.counters.append(count)
        return len(self.counters) - 1, running

    def dropout(self, input: Value, module: Any, p: float) -> Value:
        """Dropout of a layer with `key` and `step`; the identity where it does not train."""
        if not (self.training and module.training):
            return input
        input = self.in_rows(input)
        numbers, scalars = (input.size, self.mask(module), round(65536 * p)), (1 / (1 - p),)
        output = self._result(input, input.shape)
        self._emit("dropout", input.place, output.place, numbers=numbers, scalars=scalars)
        self.ns += 2 * input.size / ELEMENTS_PER_NS

        def back(dy: Place) -> Place:
            dx = self._over(dy, input.size)
            self._emit("dropout", dy, dx, numbers=numbers, scalars=scalars)
            return self._instead(dx, dy)

        self._back.append((output.trained, back))
        return output

    # Losses

    def elementwise_loss(self, input: Value, operation: str, constant: float, reduction: str) -> None:
        """A loss that is summed over elements, and the whole way back."""
        input = self.in_rows(input)
        self._reduces(reduction)
        losses = Place(per_row=LABEL * -(-max(input.size, 1) // CHUNK), fixed=LABEL)
        self.loss = Loss(reduction, losses, input.size, rows=True, classes=False)
        dx = self._take(input.size)
        numbers = backend.ops.loss_kind(operation), input.size
        name = "elementwise_row_loss" if self.weighted else "elementwise_loss"
        self._emit(name, input.place, TARGET, losses, dx, numbers=numbers, scalars=(constant,))
        self._weigh(losses, dx, input.size)
        self._go_back(dx)

    def class_loss(self, input: Value, operation: str, weight: Any, ignore_index: int, smoothing: float,
                   reduction: str) -> None:  # fmt: skip
        """A loss of rows of class scores, the rows that it gets right, and the whole way back."""
        input = self.in_rows(input)
        self._reduces(reduction)
        if len(input.shape) != 1 or not -(2**63) <= ignore_index < 2**63:
            raise Unsuited
        weight = self._converted(weight, input.shape)
        self.loss = Loss(reduction, Place(per_row=LABEL), input.size, self.target_rows, True, weight, ignore_index)
        labels, rows = (None, TARGET) if self.target_rows else (TARGET, None)
        dx, self.hits = self._take(input.size), Place(per_row=1)
        self._emit("hits", input.place, labels, rows, self.hits, numbers=(input.size, ignore_index))
        self._emit(operation, input.place, labels, rows, weight, self.loss.losses, dx,
                   numbers=(input.size, ignore_index), scalars=(smoothing,))  # fmt: skip
        self.ns += 4 * input.size / ELEMENTS_PER_NS
        self._weigh(self.loss.losses, dx, input.size)
        self._go_back(dx)

    def _weigh(self, losses: Place, dx: Place, size: int) -> None:
        """Losses and gradients of rows, times the weights of the rows."""
        if self.weighted:
            self._emit("weigh_rows", WEIGHTS, losses, dx, numbers=(size,))

    def _reduces(self, reduction: str) -> None:
        """Raise unless a program knows the reduction, which may have been assigned unchecked."""
        if reduction not in REDUCTIONS:
            raise Unsuited

    def _converted(self, weight: Any, shape: tuple[int, ...]) -> Array | None:
        """Class weights in the dtype of the input, which are copied again before every run if that is another one."""
        if weight is None:
            return None
        if not isinstance(weight, np.ndarray) or weight.shape != shape:
            raise Unsuited
        if weight.dtype == self.dtype and weight.flags.carray:
            return weight
        converted = weight.astype(self.dtype, order="C")
        self.copies.append((weight, converted))
        return converted
