"""The float epilogues, along the channels, in float32."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from degreequant.operations import Epilogue

FloatMatrix = npt.NDArray[np.float32]


def log_softmax(x: FloatMatrix) -> FloatMatrix:
    """`x - log(sum(exp(x)))` of each row."""
    shifted = x - x.max(axis=1, keepdims=True, initial=-np.inf)
    result: FloatMatrix = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True, dtype=np.float32))
    return result


def softmax(x: FloatMatrix) -> FloatMatrix:
    """`exp(x) / sum(exp(x))` of each row."""
    powers = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    result: FloatMatrix = powers / powers.sum(axis=1, keepdims=True, dtype=np.float32)
    return result


def sigmoid(x: FloatMatrix) -> FloatMatrix:
    """`1 / (1 + exp(-x))`, without overflow at either end."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)


EPILOGUES: dict[Epilogue, Callable[[FloatMatrix], FloatMatrix]] = {
    "none": lambda x: x,
    "log_softmax": log_softmax,
    "softmax": softmax,
    "sigmoid": sigmoid,
}
