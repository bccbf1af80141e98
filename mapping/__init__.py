"""mapping: binarized spiking networks on the arrays of xbarsim; importing it does not import torch."""

import warnings
from typing import Any

import lazy_loader

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_RENAMED = {"Past": "History"}


def __getattr__(name: str) -> Any:
    from xbarsim.errors import extra

    if name in _RENAMED:
        warnings.warn(f"mapping.{name} is deprecated; use {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
    with extra("networks", f"mapping.{name}"):
        return _attribute(_RENAMED.get(name, name))
