"""Which row of a table, or which file of a folder, belongs to a clip: one rule for all that users bring by clip."""

from pathlib import Path

from speechemb.audio.files import SUFFIXES


class Named:
    """Rows or files, known by names such as a clip id, a path or a file's name; `rows` finds those of a clip.

    A row is a clip's if its name is the clip id, the clip id without the corpus, or the clip's path; all without an
    audio file's suffix. Where no row is, it is the one whose name ends in the clip's own, the last part of its id.
    """

    def __init__(self, names: list[str]) -> None:
        self._whole: dict[str, list[int]] = {}
        self._last: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            path = _plain(name)
            for whole in dict.fromkeys((name, path.as_posix())):
                self._whole.setdefault(whole, []).append(i)
            self._last.setdefault(path.name, []).append(i)

    def rows(self, clip_id: str, path: str = "") -> list[int]:
        """The rows that may be the clip's: none, the one, or several of which nobody knows the right one."""
        forms = [clip_id, clip_id.partition("/")[2], path and _plain(path).as_posix()]
        found = next((self._whole[form] for form in forms if form and form in self._whole), None)
        return found or self._last.get(clip_id.rpartition("/")[2], [])


def _plain(name: str) -> Path:
    """A path without an audio file's suffix."""
    path = Path(name.replace("\\", "/"))
    return path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
