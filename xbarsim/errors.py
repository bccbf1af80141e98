"""The exceptions of xbarsim: every message says what is wrong, where, which value, and what to change."""


class XbarsimError(Exception):
    """Base of every error that xbarsim and mapping raise on purpose."""


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


class InputWarning(UserWarning):
    """What was given can be used, but is likely to mean something else."""


def shown(value: object) -> str:
    """Return a value as errors show it: one line, not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
