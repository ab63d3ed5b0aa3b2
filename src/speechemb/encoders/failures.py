"""What an encoder can fail at while it computes, as errors of one line. Without torch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from speechemb.errors import InputError, first


@contextmanager
def memory(doing: str) -> Iterator[None]:
    """Turn a lack of memory in the `with` block, the CPU's or a GPU's, into an InputError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch raises a RuntimeError on a CPU, and a subclass of it elsewhere.
        if isinstance(error, RuntimeError) and "allocate" not in str(error) and "out of memory" not in str(error):
            raise
        raise InputError(f"out of memory while {doing}: give a smaller --batch-seconds, or --device cpu") from None


def check_finite(rows: np.ndarray, names: Sequence[str], precision: str) -> None:
    """Raise an InputError where an embedding, `rows` (n, layers, dim), has a number that is not finite."""
    wrong = [name for name, row in zip(names, rows, strict=True) if not np.isfinite(row).all()]
    if not wrong:
        return
    remedy = "try --precision fp32"
    if precision == "fp32":
        remedy = "its weights hold NaN or numbers too large: get them again, or give another checkpoint with --model"
    raise InputError(f"the encoder gave numbers that are not finite for {first(wrong)} in {precision}: {remedy}")
