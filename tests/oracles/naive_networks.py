"""Slow twins, written from the equations of the paper and of frameworks, not from the code under test."""

import numpy as np
import torch

from mapping.networks.network import Network

HYPER = {"beta", "threshold"}  # tensors of a layer that its specification sets


def conv_same(x, kernel):
    """Correlate x (c, h, w) with kernel (out, c, k, k), zero padding, one output pixel at a time."""
    k = kernel.shape[-1]
    padded = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    out = np.empty((len(kernel), *x.shape[1:]))
    for y in range(x.shape[1]):
        for z in range(x.shape[2]):
            out[:, y, z] = np.tensordot(kernel, padded[:, y : y + k, z : z + k], axes=3)
    return out


def naive_convolution(x, kernel, spec):
    """Correlate x (c, h, w) with kernel (out, c of a group, rows, columns) by the definition of torch.nn.Conv2d."""
    (n_out, own, *sides), sizes = kernel.shape, x.shape[1:]
    steps, apart = np.broadcast_to(spec.stride, 2), np.broadcast_to(spec.dilation, 2)
    reach = [d * (k - 1) for d, k in zip(apart, sides)]
    around = [(r // 2, r - r // 2) for r in reach] if spec.padding is None else np.broadcast_to(spec.padding, 2)
    around = [(pair[0], pair[-1]) for pair in map(np.atleast_1d, around)]
    rows, cols = ((n + sum(pair) - r - 1) // s + 1 for n, pair, r, s in zip(sizes, around, reach, steps))
    out = np.zeros((n_out, rows, cols))
    for k, row, col, channel, i, j in np.ndindex(n_out, rows, cols, own, *sides):
        first = k // (n_out // (x.shape[0] // own)) * own
        at = [
            _inside(p * s + t * d - pair[0], n, spec.padding_mode)
            for p, s, t, d, pair, n in zip((row, col), steps, (i, j), apart, around, sizes)
        ]
        if None not in at:
            out[k, row, col] += kernel[k, channel, i, j] * x[first + channel, at[0], at[1]]
    return out


def _inside(at, size, mode):
    """The pixel that stands at a place inside or outside of a line of so many."""
    if 0 <= at < size:
        return at
    mirrored = -at if at < 0 else 2 * (size - 1) - at
    return {"zeros": None, "circular": at % size, "replicate": min(max(at, 0), size - 1), "reflect": mirrored}[mode]


def average_pool(x, size):
    (down, across), (channels, height, width) = np.broadcast_to(size, 2), x.shape
    rows, cols = height // down, width // across
    whole = x[:, : rows * down, : cols * across]
    return whole.reshape(channels, rows, down, cols, across).mean((2, 4))


def weighted_input(layer, x):
    """Current into the neurons of one layer: sign of the weights, pooling, batch norm in inference mode."""
    weight = np.where(layer.weight.detach().numpy() >= 0, 1.0, -1.0)
    if layer.spec.kind == "dense":
        current = (weight[:, :, 0, 0] @ x.reshape(-1))[:, None, None]
    else:
        current = average_pool(conv_same(x, weight), layer.spec.pool)
    if layer.norm is None:
        return current
    norm = layer.norm
    mean, variance = norm.running_mean.numpy().astype(float), norm.running_var.numpy().astype(float)
    gamma, bias = norm.weight.detach().numpy().astype(float), norm.bias.detach().numpy().astype(float)
    scaled = (current - mean[:, None, None]) / np.sqrt(variance + norm.eps)[:, None, None]
    return scaled * gamma[:, None, None] + bias[:, None, None]


def run_neurons(currents, spec, threshold, beta):
    """Leaky integrate-and-fire by equations 1 and 2 of Eshraghian et al. 2022 and the variants of NeuronSpec.

    currents is a list of arrays (channels, height, width), one for each step; threshold and beta are broadcast to them.
    Returns spikes and membranes. One neuron after the other, each as its framework describes it: equation 1 takes the
    threshold at the next step; SpikingJelly and Sinabs take it at once from whatever fires, and a layer in which one
    wins from whatever reached its threshold; snnTorch without delay takes it at once too, but first takes one, unasked,
    from what is left above the threshold, and then does not take it for a spike of the same step.
    """

    def fires(u, theta):
        return u > theta if spec.fire == ">" else u >= theta

    shape = currents[0].shape
    theta, decay = np.broadcast_to(threshold, shape), np.broadcast_to(beta, shape)
    rest, pending = np.zeros(shape), np.zeros(shape, bool)  # what a step starts from, and who still owes a reset
    spikes, membranes = [], []
    for now in currents:
        u, reached, s = np.zeros(shape), np.zeros(shape, bool), np.zeros(shape)
        for k in np.ndindex(shape):
            u[k] = decay[k] * rest[k] + now[k]
            if pending[k] and spec.reset_mechanism == "subtract":
                u[k] = u[k] - theta[k]
            if pending[k] and spec.reset_mechanism == "zero":
                u[k] = now[k]
            if spikes:
                others = spikes[-1][:, k[1], k[2]].sum() - spikes[-1][k]
                u[k] = u[k] - spec.inhibition * theta[k] * others
            if spec.clip:
                u[k] = min(max(u[k], -theta[k]), theta[k])
            reached[k] = fires(u[k], theta[k])
        for k in np.ndindex(shape):
            winner = int(np.argmax(u[:, k[1], k[2]] / theta[:, k[1], k[2]]))
            s[k] = reached[k] and (not spec.winner_take_all or k[0] == winner)
        after, owes = u.copy(), np.zeros(shape, bool)
        for k in np.ndindex(shape):
            loss = {"subtract": theta[k], "zero": u[k], "none": 0.0}[spec.reset_mechanism]
            if spec.reset_delay is True:
                owes[k] = reached[k]
            elif spec.reset_delay is False:
                after[k] = u[k] - (loss if reached[k] else 0.0)
            else:
                after[k] = u[k] - loss * (int(s[k]) - int(pending[k]))
                owes[k] = fires(after[k], theta[k])
        rest, pending = after, owes
        spikes.append(s)
        membranes.append(u)
    return np.array(spikes), np.array(membranes)


class _Surrogate(torch.autograd.Function):
    """The step function, with the derivative of equation 3 of Eshraghian et al. 2022."""

    @staticmethod
    def forward(ctx, distance, reached, slope):
        ctx.save_for_backward(distance)
        ctx.slope = slope
        return reached.to(distance)

    @staticmethod
    def backward(ctx, grad):
        return grad / (1 + ctx.slope * ctx.saved_tensors[0].abs()) ** 2, None, None


def naive_lif(current, threshold, beta, spec, t_steps):
    """The same neurons on (t_steps, n, channels, height, width), as a loop that torch differentiates without resets."""
    left = owed = torch.zeros_like(current[0])
    spikes, membranes = [], []
    for t in range(t_steps):
        u = beta * (left * (1 - owed) if spec.reset_mechanism == "zero" else left) + current[t]
        if spec.reset_mechanism == "subtract":
            u = u - owed * threshold
        if spikes:
            before = spikes[-1].detach()
            u = u - spec.inhibition * threshold * (before.sum(1, keepdim=True) - before)
        if spec.clip:
            kept = torch.maximum(torch.minimum(u, threshold), -threshold)
            u = kept if spec.clip_gradient == "hard" else kept.detach() + (u - u.detach())
        reached = (u > threshold if spec.fire == ">" else u >= threshold).detach()
        s = _Surrogate.apply(u - threshold, reached, spec.slope)
        if spec.winner_take_all:
            first = (u / threshold).argmax(1, keepdim=True)
            s = s * (torch.arange(u.shape[1])[:, None, None] == first)
        spikes.append(s)
        membranes.append(u)
        fired, owes = reached.to(u), torch.zeros_like(u)
        if spec.reset_delay == "snntorch":
            fired = s.detach() - owed
        if spec.reset_delay is True:
            left, owes = u, fired
        else:
            left = u - fired * threshold if spec.reset_mechanism == "subtract" else u
            left = left - fired * u if spec.reset_mechanism == "zero" else left
        if spec.reset_delay == "snntorch":
            owes = (left > threshold if spec.fire == ">" else left >= threshold).to(u)
        owed = owes.detach()
    return torch.stack(spikes), torch.stack(membranes)


def run_network(network, image):
    """One image in [0, 1] as a constant current; spikes and membranes of each layer."""
    inputs = [image] * network.t_steps
    history = []
    for k, layer in enumerate(network.layers):
        same = weighted_input(layer, inputs[0]) if k == 0 else None
        currents = [weighted_input(layer, x) if same is None else same for x in inputs]
        threshold, beta = layer.threshold.numpy().astype(float), layer.beta.detach().numpy().astype(float)
        inputs, membranes = run_neurons(currents, layer.neuron, threshold, beta)
        history.append((inputs, membranes))
    return history


def rebuilt(network, **changes):
    """Return a network with the weights of another one and a changed specification."""
    other = Network(network.spec.replace(**changes)).to(network.layers[0].weight.dtype)
    kept = {name: value for name, value in network.state_dict().items() if name.split(".")[-1] not in HYPER}
    missing, unknown = other.load_state_dict(kept, strict=False)
    assert not unknown and {name.split(".")[-1] for name in missing} <= HYPER
    return other.eval()


def naive_integers(network, image):
    """The definition in loops: image (c, h, w) in whole numbers; returns the outputs of every layer."""
    outputs, x, top = [], np.asarray(image, object), 2**network.spec.activation_bits - 1
    layers = network.integer_layers()
    for number, layer in enumerate(layers):
        x = x.reshape(layer.rows[0].in_shape)
        channels, height, width = layer.rows[0].in_shape
        spec, y = layer.spec, np.empty(layer.out_shape)
        pad = spec.kernel // 2 if spec.padding is None else spec.padding
        for out, row, col in np.ndindex(*layer.out_shape):
            total = 0
            for down, right in np.ndindex(spec.pool, spec.pool):
                top_row, left_col = ((p * spec.pool + q) * spec.stride - pad for p, q in ((row, down), (col, right)))
                for k, (c, i, j) in enumerate(np.ndindex(channels, spec.kernel, spec.kernel)):
                    if 0 <= top_row + i < height and 0 <= left_col + j < width:
                        total += int(layer.weights[out, k]) * int(x[c, top_row + i, left_col + j])
            relu = layer.activation
            y[out, row, col] = relu.gain[out] * (total / spec.pool**2) + relu.offset[out]
        x = y if number == len(layers) - 1 else np.clip(np.rint(y), 0, top).astype(int)
        outputs.append(x)
    return outputs
