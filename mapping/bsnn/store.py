"""Networks on disk: safetensors with the specification and training record as metadata; nothing is unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mapping.bsnn.network import Network
from mapping.bsnn.spec import NetworkSpec
from mapping.resources import data_folder
from xbarsim.errors import FileError, ParameterError


def list_networks() -> list[str]:
    """Return the names of the shipped networks."""
    return sorted(path.stem.replace("_", "-") for path in data_folder().glob("*.safetensors"))


def save_network(network: Network, path: str | Path) -> None:
    """Write a network; the weights of binary layers are stored as int8 in {-1, +1}."""
    tensors: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        binary = network.spec.weights == "binary" and name.endswith(".weight") and not name.endswith("norm.weight")
        if not name.endswith("num_batches_tracked"):
            tensors[name] = torch.where(value >= 0, 1, -1).to(torch.int8) if binary else value.contiguous()
    metadata = {"spec": network.spec.model_dump_json(), "training": json.dumps(network.metadata)}
    save_file(tensors, path, metadata=metadata)


def load_network(source: str | Path) -> Network:
    """Load a network by name (see :func:`list_networks`) or from a ``.safetensors`` file.

    Parameters
    ----------
    source : str or path
        ``"mnist-bsnn"`` or a file.

    Returns
    -------
    Network

    Raises
    ------
    FileError
        If the file is missing, damaged, or its tensors do not fit its specification.
    ParameterError
        If the name is unknown.
    """
    path = Path(source)
    if path.suffix != ".safetensors":
        path = data_folder() / f"{str(source).replace('-', '_')}.safetensors"
        if not path.is_file():
            known = ", ".join(list_networks())
            raise ParameterError(f"network {str(source)!r} is unknown; give one of {known}, or a .safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise FileError(
            f"{path}: cannot be read as safetensors ({error}); give the path of a trained network"
        ) from None
    if "spec" not in metadata:
        raise FileError(f"{path}: carries no 'spec' in its metadata; it was not written by save_network")
    try:
        spec = NetworkSpec(**json.loads(metadata["spec"]))
        training: dict[str, Any] = json.loads(metadata.get("training", "{}"))
    except (ParameterError, json.JSONDecodeError, TypeError) as error:
        raise FileError(f"{path}: its specification is not valid ({error})") from None
    network = Network(spec, training)
    _fill(path, network, tensors)
    return network.eval()


def _fill(path: Path, network: Network, tensors: dict[str, Tensor]) -> None:
    expected = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    for name, value in expected.items():
        if name not in tensors:
            raise FileError(f"{path}: tensor {name!r} is missing; the file does not fit its specification")
        given = tensors[name]
        if given.shape != value.shape:
            raise FileError(f"{path}: tensor {name!r} has shape {tuple(given.shape)}, not {tuple(value.shape)}")
        if not torch.isfinite(given.float()).all():
            raise FileError(f"{path}: tensor {name!r} holds values that are not finite")
        if given.dtype == torch.int8 and not torch.all(given.abs() == 1):
            raise FileError(f"{path}: binary tensor {name!r} holds values other than -1 and +1")
    unknown = tensors.keys() - expected.keys()
    if unknown:
        raise FileError(f"{path}: tensor {min(unknown)!r} belongs to no layer of the specification")
    network.load_state_dict({name: tensors[name].float() for name in expected}, strict=False)
