"""What a spiking network is, in a few lines: its layers, their shapes, weights and neurons."""

from __future__ import annotations

from collections.abc import Sequence

from mapping.ir.numbers import spread
from mapping.ir.shapes import sized
from mapping.networks.layers import SpikingLayer
from mapping.networks.spec import BranchSpec, LayerSpec, NetworkSpec
from mapping.networks.wiring import INPUT, Reads, Wiring


def told(name: str, spec: NetworkSpec, layers: Sequence[SpikingLayer]) -> str:
    """Return a line for a network and one for each of its layers, in columns."""
    wiring = spec.wiring
    rows = [("layer", "reads", "weights", "inputs -> outputs", "number", "neurons")]
    total = 0
    for k, (called, layer) in enumerate(zip(wiring.names, layers)):
        parts = (layer, *layer.branches)
        count = sum(part.weight.numel() for part in parts)
        total += count
        norm = ", batch norm" if layer.norm is not None else ""
        threshold = "never fires" if layer.neuron.fire == "never" else f"threshold {spread(layer.threshold.numpy())}"
        decay = f"decay {spread(layer.beta.detach().numpy())}"
        alpha = "" if layer.neuron.alpha is None else f", synapse {layer.neuron.alpha:.3g}"
        rows.append(
            (
                called,
                _reads(wiring, k, layer.spec),
                " + ".join(f"{_kind(part.weights)} {_geometry(part.spec)}" for part in parts) + norm,
                f"{_size(wiring.shape(wiring.reads[k][0].sources[0]))} -> {_size(wiring.shapes[k])}",
                f"{count:,}",
                f"{threshold}, {decay}{alpha}",
            )
        )
    read = {"count": "spike counts", "first-spike": "first spikes"}.get(spec.decoder, f"the {spec.decoder}")
    of = f" of {' and '.join(spec.outputs)}" if spec.outputs else ""
    head = (
        f"{name or 'Network'}: {_size(spec.input_shape)} inputs, {spec.encoding}; {spec.t_steps} time steps; "
        f"{spec.n_classes} classes by {read}{of}; {total:,} weights"
    )
    return "\n".join([head, *columns(rows)])


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of texts, each column as wide as its longest."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  " + "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]


def _reads(wiring: Wiring, k: int, spec: LayerSpec) -> str:
    shortcuts = len(spec.shortcuts)
    found = [_source(wiring, read) for read in wiring.reads[k]]
    plain = found if not shortcuts else found[:-shortcuts]
    return ", ".join([*plain, *(f"{name} one to one" for name in spec.shortcuts)])


def _source(wiring: Wiring, read: Reads) -> str:
    names = " and ".join("input" if source == INPUT else wiring.names[source] for source in read.sources)
    late = f" ({read.delay} step{'s' if read.delay > 1 else ''} late)" if read.delay else ""
    return names + late


def _kind(weights: str | int) -> str:
    return weights if isinstance(weights, str) else f"{weights}-bit"


def _geometry(spec: LayerSpec | BranchSpec) -> str:
    if spec.kind == "dense":
        return "dense"
    parts = [
        f"{'depthwise ' if spec.depthwise else ''}{sized(spec.sides)}",
        f"step {spec.stride if isinstance(spec.stride, int) else sized(spec.stride)}" if spec.stride != 1 else "",
        f"taps {sized(spec.spacing)} apart" if spec.dilation != 1 else "",
        f"{spec.groups} groups" if spec.groups > 1 else "",
        f"{spec.padding_mode} padding" if spec.padding_mode != "zeros" else "",
        f"{spec.pool_by} of {sized(spec.window)}" if spec.pool != 1 else "",
    ]
    return ", ".join(part for part in parts if part)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) if shape[1:] != (1, 1) else str(shape[0])
