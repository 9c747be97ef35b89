"""The errors a user can cause and mend. Each message is one sentence: what is wrong, where, what to do."""


class TmktError(Exception):
    """Base of all errors that the command line prints without a traceback."""


class RecipeError(TmktError, ValueError):
    """A recipe, an override or a constructor argument is wrong."""


class DataError(TmktError, ValueError):
    """A file of a data set is missing, unreadable or does not hold what it should."""


class TrainingError(TmktError, RuntimeError):
    """Training cannot go on (a loss that is not finite, a checkpoint of another recipe, ...)."""


class PackageError(TmktError, ImportError):
    """A package that is needed here is missing or cannot be imported."""
