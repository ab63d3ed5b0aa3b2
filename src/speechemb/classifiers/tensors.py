"""The safetensors file of a classifier, with every array's shape and values checked before it is used."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file.

    Raises:
        ValueError: it is damaged, or holds something else than finite floating-point numbers.
        OSError: it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (SafetensorError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path.name} is not a safetensors file of numbers: {error}") from None
    for name, array in arrays.items():
        if array.dtype not in (np.float32, np.float64, np.int64) or not np.isfinite(array).all():
            raise ValueError(f"{path.name}: {name} does not hold finite numbers")
    return arrays


def size(arrays: Mapping[str, np.ndarray], name: str, axis: int, path: Path) -> int:
    """The length of an axis of one of the arrays, at least 1.

    Raises:
        ValueError: there is no such array, no such axis, or nothing along it.
    """
    if name not in arrays or arrays[name].ndim <= axis or arrays[name].shape[axis] == 0:
        raise ValueError(f"{path.name} lacks {name}, or its axis {axis}")
    return arrays[name].shape[axis]


def expect_positive(arrays: Mapping[str, np.ndarray], names: tuple[str, ...], path: Path) -> None:
    """Raise a ValueError if one of the arrays with these names holds a number that is not above 0."""
    if wrong := [name for name in names if (arrays[name] <= 0).any()]:
        raise ValueError(f"{path.name}: {wrong[0]} is not above 0")


def expect(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Check that there are exactly the arrays with these names and shapes.

    Raises:
        ValueError: one is missing, foreign or of another shape.
    """
    if foreign := sorted(set(arrays) ^ set(shapes)):
        raise ValueError(f"{path.name} lacks {foreign[0]}, or should not hold it")
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{path.name}: {name} has shape {arrays[name].shape}, not {shape}")
