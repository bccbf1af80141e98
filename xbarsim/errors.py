"""The exceptions of xbarsim: every message says what is wrong, where, which value, and what to change."""

import csv
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from tokenize import TokenError
from typing import TypeVar
from zipfile import BadZipFile

Kind = TypeVar("Kind")

UNREADABLE = (
    *(OSError, ValueError, TypeError, LookupError, EOFError, AttributeError, RuntimeError, MemoryError, SyntaxError),
    *(ArithmeticError, AssertionError, BadZipFile, TokenError, csv.Error, struct.error, zlib.error),
)
"""What comes out of NumPy and the readers of other formats when a file is damaged."""


# what is quoted; and words, but not paths
_LONG = re.compile(r"""(?<![^\s(\[{=,])'(?=\S)[^'"]{41,}'(?!\w)|(?<!\S)[^\s/\\]{61,}(?!\S)""")


class XbarsimError(Exception):
    """Base of every error that xbarsim and mapping raise on purpose; one line, whatever text of a file it quotes."""

    def __init__(self, message: object) -> None:
        line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(str(message).splitlines()))
        super().__init__(_LONG.sub(lambda text: f"{text[0][:25]}...{text[0][-10:]}", line))


class ParameterError(XbarsimError, ValueError):
    """A parameter or an array has a value, shape or type that is not allowed."""


class NoPathError(ParameterError):
    """A node of a circuit has no path to any source."""


class MissingError(ParameterError, AttributeError):
    """A field that was left out is used; ``hasattr`` and ``getattr`` with a default find that it is not there."""


class FileError(XbarsimError, OSError):
    """A file is missing, truncated, damaged or of the wrong kind."""


class ConvergenceError(XbarsimError, RuntimeError):
    """A solver did not reach its tolerance; no result is returned."""


class TrialError(XbarsimError, RuntimeError):
    """A trial of a study failed, and the study was told to end then."""


class ExtraError(XbarsimError, ImportError):
    """A package is missing that one of xbarsim's extras brings."""


class InputWarning(UserWarning):
    """What was given can be used, but is likely to mean something else."""


def shown(value: object) -> str:
    """Return a value as errors show it: one line, not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def brief(error: BaseException) -> str:
    """Return the first line of an error; of another library's not too much, as some quote the whole file."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return str(text).splitlines()[0][: 200 if isinstance(error, XbarsimError) else 100]


def of_kind(kind: type[Kind], value: object, name: str, remedy: str) -> Kind:
    """Return a value if it is of a kind; otherwise raise an error that says what to give."""
    if not isinstance(value, kind):
        raise ParameterError(f"{name} is of type {type(value).__name__}; give {remedy}")
    return value


@contextmanager
def extra(name: str, what: str) -> Iterator[None]:
    """Raise :class:`ExtraError` where an import fails that an extra is there for; also a decorator of functions.

    Parameters
    ----------
    name : str
        The extra, as in ``pip install "xbarsim[networks]"``.
    what : str
        What needs it.
    """
    try:
        yield
    except ExtraError:
        raise
    except ImportError as error:
        remedy = f'pip install "xbarsim[{name}]"'
        raise ExtraError(f"{what} needs the extra {name} ({brief(error)}); run {remedy}") from error
