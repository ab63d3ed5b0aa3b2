"""The one exception that means "the input is wrong", as opposed to a bug, which keeps its traceback."""


class InputError(Exception):
    """What the user gave cannot be used.

    The message is one line that names the file, the column, the first offending ids and the command or flag
    that mends it. `cli.run` prints it and exits with code 1.
    """


def first(ids: list[str], n: int = 3) -> str:
    """`a, b, c and 7 more`: the first offending ids of an error message."""
    ids = [str(i) for i in ids]
    return ", ".join(ids[:n]) + (f" and {len(ids) - n} more" if len(ids) > n else "")
