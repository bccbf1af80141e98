"""mapping: binarized spiking networks on the arrays of xbarsim; importing it does not import torch."""

from typing import Any

import lazy_loader

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    from xbarsim.errors import extra

    with extra("networks", f"mapping.{name}"):
        return _attribute(name)
