"""Every error that a user can cause.

DegreeQuantError
├── RecipeError        (ValueError)  a setting of a `Recipe` that is unknown, out of range or contradicts another
├── PrepareError       (ValueError)  a model, or a part of it, that `prepare` cannot take
├── NotCalibratedError (ValueError)  a range was asked for before any training forward had observed it
├── ConvertError       (ValueError)  a prepared model that has no integer form
├── ProgramError       (ValueError)  a `.dq` file or a `Program` that is damaged, foreign or from a newer version
├── GraphError         (ValueError)  an edge list, edge weights or a node count that do not make a graph
├── InputError         (ValueError)  an input of the wrong shape or with values that are not finite
├── InputTypeError     (TypeError)   an input of the wrong kind or dtype
├── EngineError        (ValueError)  an instruction set or a thread count that is not to be had
├── DatasetError       (ValueError)  a dataset that is unknown, missing or damaged
├── TrainingError      (ValueError)  a training that came to nothing
├── BenchError         (ValueError)  a case to be timed that is unknown or not to be had, or a contender whose answer is wrong
├── ExperimentError    (ValueError)  a table or cells of one that are unknown, or runs of it that failed
├── PictureError       (ValueError)  a picture that cannot be written where it was asked for
├── CheckpointError    (ValueError)  a checkpoint that is damaged, or of another model
└── MissingExtraError  (ImportError) a part of the package whose optional dependencies are not installed
"""


class DegreeQuantError(Exception):
    """The base of every error that a user can cause."""


class RecipeError(DegreeQuantError, ValueError):
    """A setting of a `Recipe` is unknown, out of range or contradicts another."""


class PrepareError(DegreeQuantError, ValueError):
    """`prepare` cannot take this model, or was called in a form that it has not traced."""


class NotCalibratedError(DegreeQuantError, ValueError):
    """A range was asked for before any training forward had observed it."""


class ConvertError(DegreeQuantError, ValueError):
    """The prepared model, or a named part of it, has no integer form."""


class ProgramError(DegreeQuantError, ValueError):
    """A `.dq` file or a `Program` is damaged, not ours, or of a newer version."""


class GraphError(DegreeQuantError, ValueError):
    """An edge list, edge weights or a node count do not make a graph."""


class InputError(DegreeQuantError, ValueError):
    """An input has the wrong shape, or values that are not finite."""


class InputTypeError(DegreeQuantError, TypeError):
    """An input is of the wrong kind or dtype."""


class EngineError(DegreeQuantError, ValueError):
    """An instruction set or a thread count is not to be had here."""


class DatasetError(DegreeQuantError, ValueError):
    """A dataset is unknown, missing or damaged."""


class TrainingError(DegreeQuantError, ValueError):
    """A training came to nothing: no epoch had a finite validation loss."""


class BenchError(DegreeQuantError, ValueError):
    """A case to be timed is unknown or not to be had, or a contender's answer is wrong."""


class ExperimentError(DegreeQuantError, ValueError):
    """A table, or cells of one, are unknown, or runs of it failed."""


class PictureError(DegreeQuantError, ValueError):
    """A picture cannot be written where it was asked for."""


class CheckpointError(DegreeQuantError, ValueError):
    """A checkpoint is damaged, or belongs to another model."""


class MissingExtraError(DegreeQuantError, ImportError):
    """A part of the package needs optional dependencies that are not installed."""
