"""eGeMAPSv02 functionals by openSMILE: the acoustic baseline that most of the field reports (Eyben et al. 2016).

88 numbers per recording, computed over all of it: a long one is in memory as a whole. openSMILE is an extra
(`pip install -e .[egemaps]`) and not a requirement, because its licence forbids commercial use.
"""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.encoders.windows import Waveform
from speechemb.errors import InputError
from speechemb.processes import in_processes

_HIGHEST = np.float32(1 - 2**-15)  # of 16 bits


class Egemaps:
    """An `encoders.Encoder` with a single layer, numbered 0."""

    own_pooling = ["functionals"]
    n_layers, dim = 0, 88
    precision = "fp32"
    workers, batch_seconds, settled = 2, 60, True
    reads_audio = True

    def __init__(self) -> None:
        try:
            _smile()
        except ModuleNotFoundError as error:
            raise InputError(
                f"--model egemaps needs openSMILE, and {error.name} is not installed: run `pip install -e .[egemaps]` "
                "(not for commercial use), or take --model acoustic"
            ) from None
        self.identity: dict[str, Any] = {
            "name": "openSMILE eGeMAPSv02",
            "revision": version("opensmile"),
            "dim": self.dim,
            "n_layers": self.n_layers,
        }

    def start_worker(self) -> None:
        """Nothing to do: `embed` brings processes of its own."""

    def embed(self, waveforms: Sequence[Waveform], layers: list[int], methods: list[str]) -> np.ndarray:
        """Functionals (B, 1, 88) float32 of 16 kHz mono recordings, computed on all cores."""
        rows = in_processes(functionals, ((np.asarray(wave),) for wave in waveforms))
        return np.stack(rows)[:, None]


def functionals(waveform: np.ndarray) -> np.ndarray:
    """Vector (88,) float32 for one waveform (n,) float32 at 16 kHz, in openSMILE's order.

    Samples are limited to what 16 bits hold: openSMILE converts them without a check, and turns 1.0 into -1.0.
    """
    limited = np.clip(waveform, -1, _HIGHEST)
    return _smile().process_signal(limited, SAMPLE_RATE).to_numpy(np.float32)[0]


@cache
def _smile() -> Any:
    import opensmile  # pyright: ignore[reportMissingImports]

    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
