"""Errors of parameter sets name the field, and not the types that were tried for it."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

import xbarsim as xb
from xbarsim.parameters import Parameters


class Inner(Parameters):
    kind: Literal["a", "b"] | Annotated[int, Field(ge=2, le=9)]


class Outer(Parameters):
    inner: tuple[Inner, ...] = ()
    size: float | tuple[int, int] = 1.0


@pytest.mark.parametrize("value", [1, 17, "c", 2.5, [3], {"d": 4}, None])
def test_a_field_of_several_types_is_named_alone(value):
    with pytest.raises(xb.ParameterError) as error:
        Outer(inner=[{"kind": value}])
    head, remedies = str(error.value).split(": input should be ", 1)
    assert head.startswith("Outer.inner.0.kind = ")
    assert remedies.startswith("'a' or 'b', or input should be ")


def test_fields_and_misspelt_fields_are_told():
    with pytest.raises(xb.ParameterError, match=r"^Outer.size = \(1, 'x'\): input should be a valid number"):
        Outer(size=(1, "x"))
    with pytest.raises(xb.ParameterError, match=r"^Outer.si-ze is not a field; did you mean size\?"):
        Outer(**{"si-ze": 1})
