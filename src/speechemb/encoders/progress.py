"""A progress bar over the seconds of audio that were embedded."""

import sys
from typing import Any


class ProgressBar:
    """A bar over the seconds of audio, of which `done` are there already; a line every 30 s is enough in a log file."""

    def __init__(self, seconds: float, done: float) -> None:
        from tqdm import tqdm

        layout = "{l_bar}{bar}| {n:.0f}/{total:.0f} audio s [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
        pause = 1 if sys.stderr.isatty() else 30
        start = min(float(done), float(seconds))
        self._bar: Any = tqdm(
            total=float(seconds), initial=start, unit=" audio s", bar_format=layout, mininterval=pause
        )

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._bar.update(self._bar.total - self._bar.n)
        self._bar.close()

    def add(self, seconds: float, note: str) -> None:
        """Count further seconds; never above the total, which sums in another order and so rounds differently."""
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(min(float(seconds), self._bar.total - self._bar.n))
