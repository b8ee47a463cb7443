"""Errors and warnings: each message gives the rule, what was given and the remedy."""


class DiffgmmError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidDataError(DiffgmmError, ValueError):
    """The rows cannot be used as they are."""


class InvalidParameterError(DiffgmmError, ValueError):
    """An argument is outside its range or does not fit the others."""


class InvalidFileError(DiffgmmError, ValueError):
    """A file cannot be read or written as asked."""


class SamplingDivergedError(DiffgmmError, ArithmeticError):
    """A draw became infinite or NaN; the message names the noise level."""


class ConvergenceWarning(UserWarning):
    """A fit or a sampler stopped before its own test of convergence was met."""
