"""Frozen, validated parameter objects; a wrong value is refused where it enters, in one line."""

from __future__ import annotations

import builtins
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo

from xbarsim.errors import FileError, ParameterError, brief, shown

_LARGEST, _MOST_DOTS = 10_000_000, 1000  # characters of a TOML file, parts of a key: reading takes their square
_folder: ContextVar[Path] = ContextVar("folder", default=Path())


def beside_toml(path: str | Path) -> Path:
    """Return a path given by a parameter: relative to the TOML file that is being read, if there is one."""
    return _folder.get() / path


@contextmanager
def relative_to(folder: str | Path) -> Iterator[None]:
    """Let paths given by parameters be relative to a folder."""
    token = _folder.set(Path(folder))
    try:
        yield
    finally:
        _folder.reset(token)


class Parameters(BaseModel):
    """Base of all parameter sets: immutable, no unknown fields, errors as :class:`ParameterError`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bare: ClassVar[tuple[str, ...]] = ()  # the fields that a number given instead of the whole set stands for
    beside: ClassVar[tuple[str, ...]] = ()  # fields that tell what is known of the set, and make no other one of it
    later: ClassVar[tuple[str, ...]] = ()  # fields that files of earlier versions do not have; stored if they matter

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        number = isinstance(value, Real) and not isinstance(value, bool)
        return dict.fromkeys(cls.bare, value) if cls.bare and number else value

    @model_serializer(mode="wrap")
    def _stored(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        for name in self.later:
            default = type(self).model_fields[name].get_default(call_default_factory=True)
            if name in values and self.__dict__.get(name) == default:
                del values[name]
        return values

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ParameterError(_one_line(type(self), error)) from None

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        told = self.model_fields_set.difference(self.beside)
        return [(name, self.__dict__.get(name)) for name in type(self).model_fields if name in told]

    def __str__(self) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        names = (name for name in type(self).model_fields if name not in self.beside)
        pairs: Iterator[tuple[Any, Any]] = ((self.__dict__.get(name), other.__dict__.get(name)) for name in names)
        return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)

    def __hash__(self) -> int:
        names = (name for name in type(self).model_fields if name not in self.beside)
        return hash((type(self), *(_frozen(self.__dict__.get(name)) for name in names)))

    def replace(self, **values: Any) -> Self:
        """Return a copy with some fields changed, validated like a new object; ``device__d2d`` reaches into a part."""
        fields = {name: self.__dict__.get(name) for name in self.model_fields_set}
        within: dict[str, dict[str, Any]] = {}  # all changes of a part at once, as they may fit only together
        for name, value in values.items():
            part, _, inner = name.partition("__")
            if inner:
                within.setdefault(part, {})[inner] = value
            else:
                fields[part] = value
        for part, changes in within.items():
            whole = fields.get(part, self.__dict__.get(part))
            if not isinstance(whole, Parameters):
                raise ParameterError(f"{type(self).__name__}.{part} has no field {next(iter(changes))!r}")
            fields[part] = whole.replace(**changes)
        return type(self)(**fields)

    @classmethod
    def from_toml(cls, path: str | Path, **values: Any) -> Self:
        """Read a parameter set from a TOML file, some of its fields replaced by ``values``.

        Raises
        ------
        FileError
            If the file cannot be read or is not TOML.
        ParameterError
            If a field is unknown, missing or out of range.
        """
        values = read_toml(path) | values
        try:
            with relative_to(Path(path).parent):
                return cls(**values)
        except ParameterError as error:
            raise ParameterError(f"{path}: {error}") from None


def _frozen(value: Any) -> Any:
    """Return what has the same hash for equal values, of fields that have none too."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, dict):
        return frozenset((key, _frozen(part)) for key, part in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file into a dictionary; raise :class:`FileError` with the reason if that fails."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(_LARGEST + 1)
        for number, line in enumerate(text.splitlines(), 1):
            if line.count(".") > _MOST_DOTS and line.partition("=")[0].count(".") > _MOST_DOTS:
                raise FileError(f"{path}: line {number} has a key of more than {_MOST_DOTS} parts; correct the file")
        if len(text) > _LARGEST:
            raise FileError(f"{path}: longer than {_LARGEST} characters; give the path of a TOML file")
        return tomllib.loads(text)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); give the path of a TOML file") from None
    except RecursionError:
        raise FileError(f"{path}: not valid TOML (nested too deep); correct the file") from None
    except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise FileError(f"{path}: not valid TOML ({str(error)[:100]}); correct the file") from None


def _one_line(model: type[BaseModel], error: ValidationError) -> str:
    found = error.errors()
    # what is missing may stand there under another name
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    place = list(first["loc"]) if first["type"] == "extra_forbidden" else _fields_of(first["loc"])
    of = model.model_fields.get(str(place[0])) if place else None
    kind, parts = _union(of) if of is not None else ("", ())
    kinds = [str(tag) for part in parts for tag in get_args(part.model_fields[kind].annotation)]
    if (tag := next((k for k, part in enumerate(place) if k and part in kinds), 0)) > 0:
        del place[tag]  # the kind is no field
    field = ".".join(str(part)[:40] for part in place)
    where = f"{model.__name__}.{field}" if field else model.__name__
    if first["type"] == "extra_forbidden":
        return f"{where} is not a field; {_meant(field, list(model.model_fields)).strip() or _fields(model)}"
    if first["type"] == "missing":
        return f"{where} is missing; give it a value"
    if first["type"].startswith("union_tag"):
        given = first["input"].get(kind) if isinstance(first["input"], dict) else None
        if given is not None:
            return f"{where}.{kind} = {given!r:.40}: {_meant(str(given), kinds)}give one of {', '.join(kinds)}"
        others = [name for name in first["input"] if _meant(name, [kind])] if isinstance(first["input"], dict) else []
        said = f"{others[0]} is not a field; did you mean {kind}? " if others else ""
        return f"{where}.{kind} is missing; {said}give one of {', '.join(kinds)}"
    if first["type"] == "value_error":
        reason = str(first["ctx"]["error"])
        part = re.match(r"[A-Z]\w*\.", reason)
        if field and part and isinstance(first["ctx"]["error"], ParameterError):  # a part's own error: one path
            return f"{where}.{reason[part.end() :]}"
        return f"{where}: {reason}" if field else reason
    same = [one["msg"] for one in found if _fields_of(one["loc"]) == place] if len(place) < len(first["loc"]) else []
    remedies = dict.fromkeys(msg[0].lower() + msg[1:] for msg in same or [first["msg"]])
    return f"{where} = {shown(first['input'])}: {', or '.join(remedies)}"


def _fields_of(loc: tuple[int | str, ...]) -> list[int | str]:
    """Return the fields and numbers of a place, without the types of a union that were tried there."""
    tried = re.compile(r".*\[|constrained-|function-")
    return [part for part in loc if isinstance(part, int) or not (tried.match(part) or hasattr(builtins, part))]


def _union(of: FieldInfo | Any) -> tuple[str, tuple[Any, ...]]:
    """Return the field that tells the kinds of a field's value apart, and their classes; nothing if there is none."""
    if isinstance(of, FieldInfo) and of.discriminator:
        return str(of.discriminator), get_args(of.annotation)
    if get_origin(of) is Annotated:
        told = [note.discriminator for note in get_args(of)[1:] if isinstance(note, FieldInfo) and note.discriminator]
        if told:
            return str(told[0]), get_args(get_args(of)[0])
    inner = (_union(part) for part in get_args(of.annotation if isinstance(of, FieldInfo) else of))
    return next((found for found in inner if found[0]), ("", ()))


def _meant(name: str, known: list[str]) -> str:
    """Return the question whether a known name was meant that is close to ``name``, or nothing."""
    near = get_close_matches(name.lower(), known, n=1, cutoff=0.7)
    return f"did you mean {near[0]}? " if near else ""


def _fields(model: type[BaseModel]) -> str:
    """List fields, as far as a line holds them."""
    names = list(model.model_fields)
    listed = ", ".join(names)
    while len(listed) > 100:
        names.pop()
        listed = f"{', '.join(names)}, ..."
    return f"the fields are {listed}"


def array_of(values: object, what: str) -> np.ndarray:
    """Return an array of real numbers; refuse complex ones, objects, texts, and what is no array."""
    if isinstance(values, np.ma.MaskedArray):
        raise ParameterError(f"{what} are a masked array; fill what is masked, for example by .filled(0)")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists; tensors with gradients or on a GPU
        raise ParameterError(
            f"{what}: a {type(values).__name__} makes no array ({brief(error)}); give a NumPy array"
        ) from None
    if array.dtype.kind not in "biuf":
        raise ParameterError(
            f"{what} are a {type(values).__name__} of type {array.dtype}; give an array of real numbers"
        )
    return array
