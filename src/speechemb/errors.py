"""The exception for wrong input. A bug raises anything else and keeps its traceback."""


class InputError(Exception):
    """The input cannot be used.

    The message is one line that names the file, the column, the first offending ids and the command or flag that
    fixes it. `cli.run` prints it and exits with code 1.
    """


def first(ids: list[str], n: int = 3) -> str:
    """The first offending ids for an error message: `a, b, c and 7 more`."""
    ids = [str(i) for i in ids]
    return ", ".join(ids[:n]) + (f" and {len(ids) - n} more" if len(ids) > n else "")
