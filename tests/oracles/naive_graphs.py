"""Graphs of networks run by the definition of each node, in loops and double precision."""

import numpy as np

from mapping.ir.ops import Add, Concatenate, Gather, Input, Lif, Norm, Pool, QuantizedRelu, Weights


def run_graph(graph, frames):
    """Run frames (t_steps, channels, height, width); return the outputs of all nodes by their names, (t_steps, ...)."""
    outputs = {name: [] for name in graph.nodes}
    membranes = {}
    for t, frame in enumerate(frames):
        for name in graph.order:
            op = graph.nodes[name]
            given = []
            for edge in graph.edges:
                if edge.target == name:
                    late = t < edge.delay
                    given.append(np.zeros(graph.shapes[edge.source]) if late else outputs[edge.source][t - edge.delay])
            if isinstance(op, Lif):
                outputs[name].append(_fire(op, given[0], membranes.setdefault(name, [0.0, 0.0])))
            else:
                outputs[name].append(frame if isinstance(op, Input) else _apply(op, given))
            assert outputs[name][-1].shape == graph.shapes[name], name
    return {name: np.array(found) for name, found in outputs.items()}


def _apply(op, given):
    (x, *others) = given
    column = (-1, 1, 1)
    if isinstance(op, Concatenate):
        return np.concatenate(given)
    if isinstance(op, Gather):
        return np.array([max([0, *(x.ravel()[k] for k in row if k >= 0)]) for row in op.table]).reshape(op.shape)
    if isinstance(op, Add):
        return x + sum(others)
    if isinstance(op, Weights):
        return _weighted(op, x)
    if isinstance(op, Pool):
        return _pooled(x, op.side, op.by)
    if isinstance(op, Norm):
        y = (x - op.mean.reshape(column)) / np.sqrt(op.var + op.eps).reshape(column)
        return op.gamma.reshape(column) * y + op.shift.reshape(column)
    assert isinstance(op, QuantizedRelu)
    groups = x.reshape(op.slices, -1, *x.shape[1:])
    y = sum(2**k * group for k, group in enumerate(groups))
    y = np.reshape(op.gain, column) * y + np.reshape(op.offset, column)
    return y if op.top is None else np.clip(np.rint(y), 0, op.top)


def _weighted(op, x):
    """One weight after the other; the average or maximum of a pool that was fused follows the products."""
    geometry, scale = op.geometry, np.broadcast_to(op.scale, len(op.values))
    if geometry.kind == "dense":
        x = x.reshape(-1, 1, 1)
    pad = geometry.kernel // 2 if geometry.padding is None else geometry.padding
    wide = np.pad(x.astype(float), ((0, 0), (pad, pad), (pad, pad)))
    rows, cols = ((size - geometry.kernel) // geometry.stride + 1 for size in wide.shape[1:])
    y = np.zeros((len(op.values), rows, cols))
    for out, row, col in np.ndindex(*y.shape):
        top, left = row * geometry.stride, col * geometry.stride
        for channel, i, j in np.ndindex(*op.values.shape[1:]):
            read = out if geometry.depthwise else channel
            y[out, row, col] += float(op.values[out, channel, i, j]) * wide[read, top + i, left + j]
    y = _pooled(y, geometry.pool, geometry.pool_by)
    return y * scale.reshape(-1, 1, 1) + (0 if op.bias is None else op.bias.reshape(-1, 1, 1))


def _pooled(x, side, by):
    channels, height, width = x.shape
    y = np.zeros((channels, height // side, width // side))
    for channel, row, col in np.ndindex(*y.shape):
        window = x[channel, row * side : (row + 1) * side, col * side : (col + 1) * side]
        y[channel, row, col] = {"average": window.mean, "sum": window.sum, "maximum": window.max}[by]()
    return y


def _fire(op, current, state):
    """Equation 1 of Eshraghian et al. 2022: U[t] = beta U[t-1] + I[t] - S[t-1] theta."""
    assert op.neuron.reset_mechanism == "subtract" and op.neuron.reset_delay is True and op.neuron.fire == ">="
    membrane, spikes = state
    state[0] = op.beta * membrane + current - spikes * op.threshold
    state[1] = (state[0] >= op.threshold).astype(float)
    return state[1]
