"""Networks of ReLU neurons on disk: safetensors, weights as whole numbers; nothing is unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mapping.ann.network import Ann
from mapping.ann.spec import AnnSpec
from mapping.bsnn.finite import fault, title
from mapping.bsnn.tensor_file import read_tensors, write_tensors
from mapping.inputs import of_kind
from mapping.resources import data_folder, path_of
from xbarsim.errors import FileError, ParameterError, brief


def list_anns() -> list[str]:
    """Return the names of the shipped networks of ReLU neurons."""
    return sorted(path.stem.replace("_", "-") for path in _folder().glob("*.safetensors"))


def save_ann(network: Ann, path: str | Path) -> None:
    """Write a network: weights as int8, and for each layer the real weight ``largest`` that the largest stands for.

    A depthwise layer is written as its kernels (channels, 1, k, k), without the zeros that it has on arrays.

    Raises
    ------
    ParameterError
        If a tensor holds numbers that are not finite or out of range.
    FileError
        If the file cannot be written.
    """
    of_kind(Ann, network, "network", "an Ann")
    network.check()
    tensors = stored_tensors(network)
    metadata = {"spec": network.spec.model_dump_json(), "training": json.dumps(network.metadata)}
    write_tensors(tensors, path, metadata)


def stored_tensors(network: Ann) -> dict[str, Tensor]:
    """Return what files hold of a network: weights as whole numbers, and what the largest stands for."""
    tensors = {name: value.contiguous() for name, value in _tensors(network).items()}
    for number, layer in enumerate(network.layers):
        weight, scale = layer.weight.detach(), layer.weight_scale()
        tensors[f"layers.{number}.weight"] = torch.round(weight / scale).to(torch.int8)
        tensors[f"layers.{number}.largest"] = weight.abs().max()
    return tensors


def load_ann(source: str | Path) -> Ann:
    """Load a network by name (see :func:`list_anns`), or from a ``.safetensors`` file that :func:`save_ann` wrote.

    Raises
    ------
    FileError
        If the file is missing, damaged, or its tensors do not fit its specification.
    ParameterError
        If the name is unknown.
    """
    path = path_of(source, "network")
    if path.suffix != ".safetensors":
        path = _folder() / f"{str(source).replace('-', '_')}.safetensors"
        if not path.is_file():
            known = ", ".join(list_anns())
            raise ParameterError(f"network {str(source)!r} is unknown; give one of {known}, or a .safetensors file")
    tensors, metadata = read_tensors(path, "save_ann")
    try:
        spec = AnnSpec(**json.loads(metadata["spec"]))
        training: dict[str, Any] = json.loads(metadata.get("training", "{}"))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(f"{path}: its specification is not valid ({brief(error)})") from None
    if len(spec.layers) > len(tensors):
        raise FileError(
            f"{path}: holds {len(tensors)} tensors, too few for the {len(spec.layers)} layers that it declares"
        )
    network = Ann(spec, training)
    network.load_state_dict(_checked(path, network, tensors), strict=False)
    network.name = str(source) if path != Path(source) else path.name
    return network.eval()


def _folder() -> Path:
    return data_folder() / "ann"


def _tensors(network: Ann) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def _checked(path: Path, network: Ann, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what the network consists of, real weights in place of whole numbers."""
    scalars = {f"layers.{number}.largest": torch.ones(()) for number in range(len(network.layers))}
    expected = _tensors(network) | scalars
    for name, value in expected.items():
        number = int(name.split(".")[1])
        spec = network.spec.layers[number]
        where = f"{path}: {title(number, spec)}, tensor {name!r}"
        if name not in tensors:
            raise FileError(f"{where} is missing; the file does not fit its specification")
        given = tensors[name]
        if given.shape != value.shape:
            raise FileError(f"{where} has shape {tuple(given.shape)}, not {tuple(value.shape)}")
        wrong = fault(given)
        if wrong is not None:
            raise FileError(f"{where} {wrong}")
        if name.endswith(("running_var", "largest")) and not torch.all(given >= 0):
            raise FileError(f"{where} holds values below 0")
        if name == f"layers.{number}.weight":
            top = network.spec.top_weight
            if given.dtype != torch.int8 or int(given.short().abs().max()) not in (0, top):
                raise FileError(f"{where}: weights are int8 from {-top} to {top}, and the largest is one of these")
    unknown = tensors.keys() - expected.keys()
    if unknown:
        raise FileError(f"{path}: tensor {min(unknown)!r} belongs to no layer of the specification")
    state = {name: tensors[name] for name in expected.keys() - scalars.keys()}
    for number in range(len(network.layers)):
        name = f"layers.{number}.weight"
        state[name] = state[name].double() * tensors[f"layers.{number}.largest"].double() / network.spec.top_weight
    return state
