"""Networks on disk: tensors with the specification and the training record as metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mapping.bsnn.finite import decays, title
from mapping.bsnn.layers import SpikingLayer, top_level
from mapping.bsnn.network import Network
from mapping.bsnn.spec import FORMAT, NetworkSpec, from_format
from mapping.bsnn.tensor_file import read_tensors, write_tensors
from mapping.inputs import of_kind
from mapping.resources import data_folder
from xbarsim.errors import FileError, ParameterError, brief


def list_networks() -> list[str]:
    """Return the names of the shipped networks."""
    return sorted(path.stem.replace("_", "-") for path in data_folder().glob("*.safetensors"))


def save_network(network: Network, path: str | Path) -> None:
    """Write a network; quantized weights are stored as whole numbers, those of binary layers as int8 in {-1, +1}.

    Raises
    ------
    ParameterError
        If a tensor holds numbers that are not finite or out of range.
    FileError
        If the file cannot be written.
    """
    of_kind(Network, network, "network", "a Network")
    network.check()
    tensors = stored_tensors(network)
    spec, training = network.spec.model_dump_json(), json.dumps(network.metadata)
    metadata = {"format": str(FORMAT), "spec": spec, "training": training}
    write_tensors(tensors, path, metadata)


def stored_tensors(network: Network) -> dict[str, Tensor]:
    """Return what files hold of a network: weights as it computes with them."""
    tensors: dict[str, Tensor] = {}
    for name, value in _tensors(network).items():
        top = _top(_layer_of(network, name)) if name.endswith(".weight") and not name.endswith("norm.weight") else None
        if top is None:
            tensors[name] = value.contiguous()
        else:
            levels = torch.round(_layer_of(network, name).effective_weight().detach() * top)
            tensors[name] = levels.to(torch.int8 if top < 128 else torch.int16)
    return tensors


def load_file(path: str | Path) -> Network:
    """Load a network from a ``.safetensors`` file that :func:`save_network` wrote.

    Files without a format are of the first one, see ``mapping.bsnn.spec.FORMAT``, and mean what they did then.

    Raises
    ------
    FileError
        If the file is missing, damaged, or its tensors do not fit its specification.
    """
    tensors, metadata = read_tensors(path, "save_network")
    try:
        stored = int(metadata.get("format", 1))
        if stored > FORMAT:
            raise FileError(f"{path}: has format {stored}, of a later version than this one; update xbarsim")
        spec = NetworkSpec(**from_format(json.loads(metadata["spec"]), stored))
        training: dict[str, Any] = json.loads(metadata.get("training", "{}"))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(f"{path}: its specification is not valid ({brief(error)})") from None
    if len(spec.layers) > len(tensors):
        raise FileError(
            f"{path}: holds {len(tensors)} tensors, too few for the {len(spec.layers)} layers that it declares"
        )
    network = Network(spec, training)
    if stored == 1:
        tensors = {name: decays(x) if _is_learned(network, name) else x for name, x in tensors.items()}
    _fill(path, network, tensors)
    network.name = Path(path).name
    return network.eval()


def shipped_network(name: str) -> Network:
    """Load a network by name (see :func:`list_networks`)."""
    path = data_folder() / f"{name.replace('-', '_')}.safetensors"
    if not path.is_file():
        known = ", ".join(list_networks())
        raise ParameterError(f"network {name!r} is unknown; give one of {known}, or a .safetensors or .nir file")
    network = load_file(path)
    network.name = name
    return network


def _tensors(network: Network) -> dict[str, Tensor]:
    return {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}


def _layer_of(network: Network, name: str) -> SpikingLayer:
    return network.layers[int(name.split(".")[1])]


def _is_learned(network: Network, name: str) -> bool:
    return name.endswith(".beta") and name in dict(network.named_parameters())


def _top(layer: SpikingLayer) -> int | None:
    """Return the largest whole number that stands for a weight; None if weights are real."""
    if layer.weights == "float":
        return None
    return top_level(layer.weights) if isinstance(layer.weights, int) else 1


def _fill(path: str | Path, network: Network, tensors: dict[str, Tensor]) -> None:
    expected = _tensors(network)
    for name, value in expected.items():
        number, layer = int(name.split(".")[1]), _layer_of(network, name)
        where = f"{path}: {title(number, layer.spec)}, tensor {name!r}"
        if name not in tensors:
            raise FileError(f"{where} is missing; the file does not fit its specification")
        given = tensors[name]
        if name.endswith(("beta", "threshold")):
            if given.ndim not in (0, 3) or not _fits(given, network.spec.shapes()[number][1]):
                raise FileError(
                    f"{where} has shape {tuple(given.shape)}, which is not one number, per channel or neuron"
                )
        elif given.shape != value.shape:
            raise FileError(f"{where} has shape {tuple(given.shape)}, not {tuple(value.shape)}")
        wrong = layer.fault(name.removeprefix(f"layers.{number}."), given)
        if wrong is not None:
            raise FileError(f"{where} {wrong}")
        if name == f"layers.{number}.weight" and (top := _top(layer)) is not None:
            _check_levels(where, given, layer, top)
            given = given.double() / top
        _replace(network, name, given.to(value.dtype))
    unknown = tensors.keys() - expected.keys()
    if unknown:
        raise FileError(f"{path}: tensor {min(unknown)!r} belongs to no layer of the specification")


def _check_levels(where: str, given: Tensor, layer: SpikingLayer, top: int) -> None:
    allowed = {"binary": "-1 and +1", "ternary": "-1, 0 and +1"}.get(
        str(layer.weights), f"whole numbers from {-top} to {top}"
    )
    whole = given.double()
    fine = (whole.round() == whole) & (whole.abs() <= top)
    if layer.weights == "binary":
        fine &= whole != 0
    if not torch.all(fine):
        raise FileError(f"{where}: a layer with {layer.weights} weights holds values other than {allowed}")


def _fits(given: Tensor, shape: tuple[int, int, int]) -> bool:
    try:
        return tuple(torch.broadcast_shapes(given.shape, shape)) == shape
    except RuntimeError:
        return False


def _replace(network: Network, name: str, value: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    module = network.get_submodule(owner)
    trained = isinstance(getattr(module, leaf), torch.nn.Parameter)
    setattr(module, leaf, torch.nn.Parameter(value) if trained else value)
