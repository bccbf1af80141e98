"""Which layer of a torch module reads which, found by running it: functions are followed, neurons taken as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partialmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mapping.importers import torch_ops
from mapping.importers.applied import INPUT, SCALE, SUM, Source, unused
from mapping.importers.fields import numbers
from mapping.importers.followed import Followed, Lost, Padding, Seen, State
from mapping.importers.neuron_modules import check_neurons, stateless, steps_all, taken
from mapping.importers.origins import NOTHING, Produced
from mapping.ir.ops import Add, Norm, Pool
from xbarsim.errors import ParameterError

# that give the numbers they are given, in other places
_VIEWS = {
    "flatten", "unflatten", "view", "reshape", "squeeze", "unsqueeze", "permute", "transpose", "movedim", "moveaxis",
    "swapaxes", "contiguous", "clone", "detach", "__getitem__", "select", "narrow", "stack", "cat", "concat",
    "concatenate", "chunk", "split", "tensor_split", "unbind", "expand", "repeat", "tile", "broadcast_to", "flip",
    "roll", "index_select", "repeat_interleave", "expand_as", "view_as", "reshape_as",
}  # fmt: skip
_SAME = {"to", "float", "double", "type_as", "cpu", "data", "detach_", "requires_grad_", "type"}
_APPLIED = {"linear", "conv1d", "conv2d", "batch_norm"}  # to zeros too, from before the first step


@dataclass(eq=False)
class Neurons:
    """Neurons with states of their own: what they read and gave, an entry for each time step."""

    part: nn.Module
    sources: list[Source] = field(default_factory=list)
    numbers: list[Tensor] = field(default_factory=list)


class Trace(Followed):
    """What a module computes while it runs under it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(type(module).__name__)
        self.neurons: dict[str, Neurons] = {}
        self.returned = set[str]()
        self._inside = 0  # so many neurons
        for name, part in module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):  # nothing in it can be seen
                continue
            what = f"module {name!r} ({type(part).__name__})" if name else type(part).__name__
            part.register_forward_pre_hook(lambda part, args, what=what: self._enter(part, what))
            part.register_forward_hook(self._leave, with_kwargs=True)

    def give(self, x: Tensor, steps: np.ndarray, samples: np.ndarray) -> None:
        """Tell which rows of the input a tensor is."""
        self.applied.constant = bool((steps == NOTHING).all())
        self._put(x, Seen(self.origins.codes(Produced(INPUT, steps, samples, x.numel() // len(steps)), x.shape)))

    def returns(self, out: Any) -> None:
        """Tell what the module gives back."""
        for value in map(self._get, _tensors(out)):
            self.returned |= {value.neurons} if isinstance(value, State) else self._nodes(value) if value else set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, and follow what it does to numbers that are known."""
        kwargs = kwargs or {}
        if self._inside:
            return func(*args, **kwargs)
        name = func.__self__.__name__ if func.__name__ == "__get__" else func.__name__
        if args and isinstance(args[0], Tensor) and self._get(args[0]) is None:
            changed = name == "__setitem__" or (name.endswith("_") and not name.startswith("_"))
            if name in _APPLIED or (changed and any(self._get(x) for x in _tensors((args[1:], kwargs)))):
                self._put_zeros(args[0])
        out = func(*args, **kwargs)
        if any(self._get(x) for x in _tensors((args, kwargs))):
            self._follow(name, func, out, args, kwargs)
        return out

    def _enter(self, part: nn.Module, what: str) -> None:
        if not self._inside:
            check_neurons(part, what)
        self._path.append(what)
        self._leaf.append(next(part.children(), None) is None and what != self._path[0])
        self._inside += taken(part) is not None

    def _leave(self, part: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        if taken(part) is not None:
            self._inside -= 1
            if not self._inside:
                self._fired(part, args, kwargs, out)
        self._path.pop()
        self._leaf.pop()

    def _follow(self, name: str, func: Any, out: Any, args: Any, kwargs: Any) -> None:
        outputs = [args[0]] if name == "__setitem__" else list(_tensors(out))
        values = [value for x in _tensors((args, kwargs)) if (value := self._get(x))]
        lost = [value for value in values if not isinstance(value, Seen)]
        if not outputs or name.endswith("_like") or name.startswith("new_"):
            return
        if name in _SAME:  # other arguments tell a type
            if value := self._get(args[0]):
                self._put(outputs[0], value)
            return
        if lost and name not in _APPLIED:
            known = name in _VIEWS
            kept = lost[0] if len(values) == 1 and (known or isinstance(lost[0], Lost)) else self._lost(name, values)
            for x in outputs:
                self._put(x, kept)
            if not known:
                self._misread(name, values)
        elif name == "__setitem__":
            codes = self._seen(args[0]).clone()
            codes[args[1]] = self._seen(args[2])
            self._put(args[0], Seen(codes))
        elif name in _VIEWS:
            self._view(name, func, outputs, args, kwargs)
        else:
            handler = getattr(self, f"_do_{name.rstrip('_')}", None)
            if handler is None or handler(outputs[0], *args, **kwargs) is NotImplemented:
                self._misread(name, values)
                for x in outputs:
                    self._put(x, self._lost(name, values))

    def _view(self, name: str, func: Any, outputs: list[Tensor], args: Any, kwargs: Any) -> None:
        """Do to codes what is done to numbers."""
        first = next((name for name in ("tensors", "input") if name in kwargs), None)
        given, *rest = (kwargs[first], *args) if first else args
        many = not isinstance(given, Tensor)
        if not many and self._get(given) is None:  # others tell a shape
            return
        if many and any(self._get(x) is None and bool(x.any()) for x in given):
            for x in outputs:
                self._put(x, self._lost(name, []))
            return
        codes = [self._seen(x) for x in given] if many else self._seen(given)
        done = func(codes, *rest, **{k: v for k, v in kwargs.items() if k != first})
        for x, value in zip(outputs, _tensors(done)):
            self._put(x, Seen(value))

    def _do_conv2d(
        self, out: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, groups: int = 1,
    ) -> Any:  # fmt: skip
        if input.ndim != weight.ndim or self._get(weight):
            return NotImplemented
        what, kind, (codes, mode, padding) = self._path[-1], f"conv{weight.ndim - 2}d", self._padded(input, padding)
        axes = {"stride": stride, "padding": padding, "dilation": dilation}
        key = (kind, self._digest(weight), self._digest(bias), groups, mode, str(axes))
        op = lambda: torch_ops.convolution(what, weight, bias, groups, mode, **axes)  # noqa: E731
        return self._apply(kind, out, [_in_rows(codes, weight.ndim)], 1, key, op)

    _do_conv1d = _do_conv2d

    def _padded(self, input: Tensor, padding: Any) -> tuple[Tensor, str, Any]:
        """Return the codes of what is convolved, and what of a padding mode and width is ahead of it and in it."""
        value = self._get(input)
        ahead = value.padding if isinstance(value, Seen) else None
        if ahead is None:
            return self._seen(input), "zeros", padding
        assert isinstance(value, Seen)
        own = [0] if padding == "valid" else np.ravel(padding).tolist()
        if isinstance(own[0], str) or (any(own) and ahead.mode != "zeros"):
            raise ParameterError(f"{self._path[-1]}: pads what was padded by another rule; pad once")
        rows, cols = ahead.rows + own[0], ahead.cols + own[-1]
        return value.codes, ahead.mode, cols if input.ndim == 3 else (rows, cols)

    def _do_pad(
        self, out: Tensor, input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
    ) -> Any:
        sides = [int(n) for n in pad]
        (left, right), (top, bottom) = sides[:2], sides[2:4] or (0, 0)
        held, far = self._get(input), 2 if input.ndim == 3 else 4
        kept = (left, top) == (right, bottom) and min(sides) >= 0 and not any(sides[far:])
        if not kept or value or not isinstance(held, Seen) or held.padding or input.ndim not in (3, 4):
            return NotImplemented
        return self._put(out, Seen(held.codes, Padding(top, left, "zeros" if mode == "constant" else mode)))

    def _do_linear(self, out: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
        if self._get(weight):
            return NotImplemented
        what, key = self._path[-1], ("linear", self._digest(weight), self._digest(bias))
        op = lambda: torch_ops.product(what, weight, bias)  # noqa: E731
        return self._apply("linear", out, [self._seen(input)], input.ndim - 1, key, op)

    def _do_matmul(self, out: Tensor, input: Tensor, other: Tensor) -> Any:
        return self._do_linear(out, input, other.T) if other.ndim == 2 and not self._get(other) else NotImplemented

    def _do_batch_norm(
        self, out: Tensor, input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
        weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False, momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:  # fmt: skip
        what, numbers = self._path[-1], (running_mean, running_var, weight, bias)
        key = ("batch_norm", *map(self._digest, numbers), eps)
        op = lambda: torch_ops.norm(what, *numbers, eps)  # noqa: E731
        self._apply("batch_norm", out, [_in_rows(self._seen(input), input.ndim)], 1, key, op)

    def _do_max_pool2d(
        self, out: Tensor, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False, *, line: bool = False,
    ) -> None:  # fmt: skip
        given = kernel_size, stride, padding, dilation, ceil_mode
        self._pool(out, input, torch_ops.pool(self._path[-1], True, *given, line), line)

    def _do_avg_pool2d(
        self, out: Tensor, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
        ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None, *,
        line: bool = False,
    ) -> Any:  # fmt: skip
        if divisor_override is not None:
            return NotImplemented
        given = kernel_size, stride, padding, 1, ceil_mode
        return self._pool(out, input, torch_ops.pool(self._path[-1], False, *given, line), line)

    _do_max_pool1d, _do_avg_pool1d = partialmethod(_do_max_pool2d, line=True), partialmethod(_do_avg_pool2d, line=True)

    def _do_adaptive_avg_pool2d(self, out: Tensor, input: Tensor, output_size: Any) -> Any:
        sides = {n / m for n, m in zip(input.shape[-2:], out.shape[-2:])}
        side = sides.pop()
        if sides or side != int(side):
            return NotImplemented
        return self._pool(out, input, Pool(side=int(side), by="average"))

    def _pool(self, out: Tensor, input: Tensor, pool: Pool, line: bool = False) -> None:
        if pool.side == 1:
            return self._put(out, Seen(self._seen(input)))
        key = ("pool", pool.side, pool.by)
        codes = self._seen(input).unsqueeze(-2) if line else self._seen(input)
        return self._apply("pool", out, [codes], codes.ndim - 3, key, lambda: pool)

    def _do_dropout(
        self, out: Tensor, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Any:
        return NotImplemented if training else self._put(out, Seen(self._seen(input)))

    _do_dropout2d = _do_dropout

    def _do_add(self, out: Tensor, input: Tensor, other: Any, *, alpha: float = 1) -> Any:
        terms = [x for x in (input, other) if isinstance(x, Tensor) and x.any()]
        if alpha != 1 or any(self._get(x) is None or x.shape != out.shape for x in terms):
            return NotImplemented
        if not isinstance(other, Tensor) and other:
            return NotImplemented
        codes = [x for x in map(self._seen, (x for x in (input, other) if isinstance(x, Tensor))) if (x >= 0).any()]
        if len(codes) == 1:
            return self._put(out, Seen(codes[0]))
        return self._apply("sum", out, codes, self._rows_end(codes[0]), SUM, Add)

    def _do_mul(self, out: Tensor, input: Tensor, other: Any) -> Any:
        factor = torch.as_tensor(other).detach()
        if factor.numel() != 1 or self._get(input) is None or (isinstance(other, Tensor) and self._get(other)):
            return NotImplemented
        codes, gain = self._seen(input), float(factor)
        if gain == 1:
            return self._put(out, Seen(codes))
        axes = self._rows_end(codes)
        none, what = np.zeros(out.shape[axes]), self._path[-1]
        numbers(np.asarray(gain), what, "factor")
        scale = Norm(mean=none, var=none + 1, gamma=none + gain, shift=none, eps=0.0)
        return self._apply("scale", out, [codes], axes, (SCALE, gain), lambda: scale)

    def _do_div(self, out: Tensor, input: Tensor, other: Any, *, rounding_mode: str | None = None) -> Any:
        if rounding_mode or torch.as_tensor(other).numel() != 1 or not bool(other):
            return NotImplemented
        return self._do_mul(out, input, 1 / other)

    def _fired(self, part: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        """Note that neurons took a time step, or all of them."""
        x = next(_tensors((args, kwargs)))
        codes, axes = self._seen(x), 2 if steps_all(part) else 1
        name = self._neurons_of(part, args[1:], kwargs)
        neurons = self.neurons.setdefault(name, Neurons(part))
        many = x.shape[0] if axes == 2 else 1
        steps = np.repeat(len(neurons.numbers) + np.arange(many), x.shape[axes - 1])
        rows = self._rows(codes, axes, steps)
        neurons.sources += [self.applied.source(name, rows, x.shape[axes:], self.origins.sizes)] * many
        spikes, *states = _tensors(out)
        neurons.numbers += spikes.reshape(many, x.shape[axes - 1], -1).clone()
        samples = np.where(rows.samples == NOTHING, np.tile(np.arange(x.shape[axes - 1]), many), rows.samples)
        for state in states:
            self._put(state, State(name))
        self._put(spikes, Seen(self.origins.codes(Produced(name, steps, samples, x.numel() // len(steps)), x.shape)))

    def _neurons_of(self, part: nn.Module, args: Any, kwargs: Any) -> str:
        """Return the name of neurons: the module, or whose states it is given."""
        what, given = self._path[-1], list(_tensors((args, kwargs)))
        for value in map(self._get, given):
            if isinstance(value, Lost):
                raise ParameterError(f"{value.why} between two steps of {what}, whose states it changes")
            if isinstance(value, State):
                return value.neurons
        for value in map(self._get, given):
            nodes = self.origins.nodes(value.codes) if isinstance(value, Seen) else set[str]()
            if len(nodes) == 1 and (name := next(iter(nodes))) in self.neurons and self.neurons[name].part is part:
                return name
        return unused(what, self.neurons) if given or stateless(part) else what


def _in_rows(codes: Tensor, axes: int) -> Tensor:
    """Return what runs along one axis, (n, channels, length), as one row of pixels."""
    return codes.unsqueeze(-2) if axes == 3 else codes


def _tensors(x: Any) -> Iterator[Tensor]:
    """Yield all tensors in lists, tuples and dictionaries."""
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, list | tuple | dict):
        for part in x.values() if isinstance(x, dict) else x:
            yield from _tensors(part)
