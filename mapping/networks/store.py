"""Networks on disk: tensors with the specification and the training record as metadata; nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from mapping.inputs.resources import file_of, shipped
from mapping.networks.ann import Ann
from mapping.networks.ann_spec import AnnSpec
from mapping.networks.finite import CheckedLayer, CheckedModule, decays, title
from mapping.networks.network import Network
from mapping.networks.spec import FORMAT, NetworkSpec, from_format
from mapping.networks.tensor_file import read_tensors, write_tensors
from xbarsim.errors import FileError, brief, of_kind

AnyNetwork = TypeVar("AnyNetwork", Network, Ann)
_FOLDERS = {Network: ".", Ann: "ann"}


def list_networks() -> list[str]:
    """Return the names of the shipped spiking networks."""
    return _shipped(Network)


def list_anns() -> list[str]:
    """Return the names of the shipped networks of ReLU neurons."""
    return _shipped(Ann)


def _shipped(kind: type[Network] | type[Ann]) -> list[str]:
    return shipped(_FOLDERS[kind], ".safetensors")


def save_network(network: Network | Ann, path: str | Path) -> None:
    """Write a network, spiking or conventional.

    Quantized weights are stored as whole numbers, those of binary layers as int8 in {-1, +1}; of a conventional network
    also, for each layer, the real weight ``largest`` that the largest whole number stands for. A depthwise layer, or
    one in groups, is written as its kernels (out, channels of a group, ...), without the zeros that it has on arrays.

    Raises
    ------
    ParameterError
        If a tensor holds numbers that are not finite or out of range.
    FileError
        If the file cannot be written.
    """
    of_kind(CheckedModule, network, "network", "a Network or an Ann")
    network.check()
    spec, training = network.spec.model_dump_json(), json.dumps(network.metadata)
    write_tensors(stored_tensors(network), path, {"format": str(FORMAT), "spec": spec, "training": training})


def save_ann(network: Ann, path: str | Path) -> None:
    """Write a conventional network, see :func:`save_network`."""
    save_network(of_kind(Ann, network, "network", "an Ann"), path)


def stored_tensors(network: Network | Ann) -> dict[str, Tensor]:
    """Return what files hold of a network: weights as it computes with them."""
    layers: Sequence[CheckedLayer] = network.layers
    return {f"layers.{k}.{name}": value for k, layer in enumerate(layers) for name, value in layer.stored().items()}


def load_stored(kind: type[AnyNetwork], source: str | Path) -> AnyNetwork:
    """Load a network by name, or from a ``.safetensors`` file that :func:`save_network` wrote.

    Files without a format are of the first one, see ``mapping.networks.spec.FORMAT``, and mean what they did then.

    Raises
    ------
    FileError
        If the file is missing, damaged, of the other kind, or its tensors do not fit its specification.
    ParameterError
        If the name is unknown.
    """
    choice = f"one of {', '.join(_shipped(kind))}, or a .safetensors{' or .nir' if kind is Network else ''} file"
    path = file_of(source, "network", _FOLDERS[kind], ".safetensors", choice)
    tensors, metadata = read_tensors(path, "save_network")
    network, stored = _declared(kind, path, metadata, len(tensors))
    for number, layer in enumerate(network.layers):
        given = {}
        for tensor, expected in layer.stored().items():
            whole = f"layers.{number}.{tensor}"
            where = f"{path}: {title(number, layer.spec)}, tensor {whole!r}"
            if whole not in tensors:
                raise FileError(f"{where} is missing; the file does not fit its specification")
            value = tensors.pop(whole)
            if stored == 1 and tensor in dict(layer.named_parameters()) and tensor == "beta":
                value = decays(value)
            wrong = layer.misfit(tensor, value, tuple(expected.shape))
            if wrong is not None:
                raise FileError(f"{where} {wrong}")
            given[tensor] = value
        _fill(layer, layer.restored(given))
    if tensors:
        raise FileError(f"{path}: tensor {min(tensors)!r} belongs to no layer of the specification")
    network.name = path.name if Path(source) == path else str(source)
    return network.eval()


def load_ann(source: str | Path) -> Ann:
    """Load a conventional network by name (see :func:`list_anns`), or from a file of :func:`save_ann`.

    Raises
    ------
    FileError
        If the file is missing, damaged, or its tensors do not fit its specification.
    ParameterError
        If the name is unknown.
    """
    return load_stored(Ann, source)


def _declared(kind: type[AnyNetwork], path: Path, metadata: dict[str, str], n_tensors: int) -> tuple[AnyNetwork, int]:
    """Return the network that a file declares, not yet filled, and the file's format."""
    try:
        stored = int(metadata.get("format", 1))
        if stored > FORMAT:
            raise FileError(f"{path}: has format {stored}, of a later version than this one; update xbarsim")
        values = from_format(json.loads(metadata["spec"]), stored)
        found: type[Network] | type[Ann] = Ann if "weight_bits" in values else Network
        if found is not kind:
            loader, what = ("load_ann", "a conventional") if found is Ann else ("load_network", "a spiking")
            raise FileError(f"{path}: holds {what} network; use {loader}")
        spec = (NetworkSpec if kind is Network else AnnSpec)(**values)
        training: dict[str, Any] = json.loads(metadata.get("training", "{}"))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(f"{path}: its specification is not valid ({brief(error)})") from None
    if len(spec.layers) > n_tensors:
        raise FileError(
            f"{path}: holds {n_tensors} tensors, too few for the {len(spec.layers)} layers that it declares"
        )
    return kind(spec, training), stored  # type: ignore[arg-type]


def _fill(layer: torch.nn.Module, values: dict[str, Tensor]) -> None:
    """Put values in place of a layer's parameters and buffers, whatever shape these had."""
    for name, value in values.items():
        owner, _, leaf = name.rpartition(".")
        module = layer.get_submodule(owner)
        before = getattr(module, leaf)
        kept = value.to(before.dtype)
        setattr(module, leaf, torch.nn.Parameter(kept) if isinstance(before, torch.nn.Parameter) else kept)
