"""The numbers that a table or a hub copy gives for its clips, such as ratings of arousal: which columns, which names.

A column is taken as a number if every field of it is one, or unknown, and if they differ. Counters of rows and columns
that say which split a row belongs to are not.
"""

import logging
import math
import re
from collections.abc import Sequence

from speechemb.errors import InputError, first

log = logging.getLogger(__name__)

DIMENSIONS = ("arousal", "valence", "dominance")
_SPELLINGS = {
    "arousal": "act activation aro emoact",
    "valence": "val emoval",
    "dominance": "dom emodom",
}
_CANONICAL = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings.split()}
_NO_NUMBER = re.compile(r"|index|id|row|unnamed.*|split.*|(test_?)?fold.*|augmented_from|reason")

Numbers = tuple[tuple[str, float], ...]


def name_of(column: str) -> str:
    """`EmoAct` -> `arousal`, `Pitch mean` -> `pitch_mean`; empty for a column that is no number of a clip."""
    from speechemb.artifacts.metadata import METADATA_COLUMNS

    plain = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")[:50]
    name = _CANONICAL.get(plain, plain)
    return "" if name in METADATA_COLUMNS or _NO_NUMBER.fullmatch(name) or not name[0].isalpha() else name


def candidates(columns: Sequence[str], used: Sequence[str]) -> dict[str, str]:
    """Column -> name of the columns that may be numbers; `used` are read as something else."""
    found = {column: name_of(column) for column in columns if column not in used}
    return {column: name for column, name in found.items() if name}


def numbers_of(where: str, rows: list[dict[str, str]], names: dict[str, str], unknown: set[str]) -> list[Numbers]:
    """The numbers of each row, and a line of the log that names the columns.

    Args:
        where: the table, as errors name it
        rows: fields of the columns in `names`, without spaces around them
        names: of `candidates`
        unknown: words that say that a value is unknown, in lower case

    Raises:
        InputError: two columns are of one name, or a column of a dimension holds something else.
    """
    from speechemb.artifacts.numbers import MOST

    columns: dict[str, list[float]] = {}
    for column, name in names.items():
        words = [row.get(column, "") for row in rows]
        values = [_number(word, unknown) for word in words]
        wrong = [i for i, value in enumerate(values) if value is None]
        if wrong and name in DIMENSIONS:
            shown = first([f"{words[i]!r} (row {i + 2})" for i in wrong])
            raise InputError(
                f"{where}: column {column} is {name} and holds {shown}: write numbers, or rename the column"
            )
        found = [value for value in values if value is not None]
        if not wrong and len({value for value in found if not math.isnan(value)}) > 1:
            if name in columns:
                raise InputError(f"{where}: two columns are {name} ({column} is the second): keep one")
            columns[name] = found
    if len(columns) > MOST:
        log.info("%s: %d columns of numbers, more than %d, are not kept as targets", where, len(columns), MOST)
        return [()] * len(rows)
    if columns:
        log.info("%s: columns of numbers, for --target of step 3: %s", where, ", ".join(columns))
    return [
        tuple((name, values[i]) for name, values in columns.items() if not math.isnan(values[i]))
        for i in range(len(rows))
    ]


def _number(word: str, unknown: set[str]) -> float | None:
    """The number; NaN where it is unknown, None where the field holds something else."""
    if word == "" or word.lower() in unknown:
        return math.nan
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
