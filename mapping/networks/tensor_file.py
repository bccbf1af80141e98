"""Tensors in a ``.safetensors`` file, with what is said of them and a digest of both; nothing is unpickled."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mapping.inputs.resources import path_of
from xbarsim.errors import FileError, brief
from xbarsim.outputs import write

_KEYS = {"format", "spec", "training", "identity", "history"}


def write_tensors(tensors: dict[str, Tensor], path: str | Path, metadata: dict[str, str]) -> None:
    """Write tensors and what is said of them; raise :class:`FileError` if the file cannot be written."""
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    write(path_of(path, "path"), save(tensors, metadata=metadata | {"digest": _digest(tensors, metadata)}))


def read_tensors(
    path: str | Path, writer: str, needed: str = "spec", device: str = "cpu"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file and what is said of them.

    Parameters
    ----------
    path : str or path
    writer : str
        The function that writes such files, for errors.
    needed : str
        What has to be said of them.
    device : str
        Where the tensors go.

    Raises
    ------
    FileError
        If the file is missing, another function wrote it, or it is not as it was written. Files of earlier versions
        have no digest and are believed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # copies: what safetensors returns is the file itself, gone when another network is written there
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise FileError(f"{path}: cannot be read as safetensors ({brief(error)}); give a file of {writer}") from None
    if needed not in metadata:
        raise FileError(f"{path}: carries no {needed!r} in its metadata; it was not written by {writer}")
    digest = metadata.pop("digest", None)
    old = digest is None and metadata.keys() <= _KEYS  # else the word itself may be damaged
    if not old and digest != _digest(tensors, metadata):
        raise FileError(
            f"{path}: is not as it was written (its digest differs): take a copy that is whole, or, if it was changed "
            "on purpose, delete 'digest' from its metadata"
        )
    return {name: value.to(device) for name, value in tensors.items()}, metadata


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    digest = blake2b(json.dumps(metadata, sort_keys=True).encode(), digest_size=16)
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
