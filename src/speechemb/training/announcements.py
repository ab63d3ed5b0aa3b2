"""What step 3 says in the terminal: the clips and folds of a plan, and where the files are."""

from pathlib import Path

from speechemb import paths, terminal
from speechemb.artifacts.predictions import EMOTION
from speechemb.errors import first
from speechemb.labels import ordered
from speechemb.splits.protocols import Plan


def announce(plan: Plan, numeric: bool = False) -> None:
    """Print the clips, the folds and the protocol of a plan."""
    names = "+".join(sorted(set(plan.data.corpora.tolist())))
    probe = plan.target != EMOTION
    if plan.left_out:
        kept = "those of --emotions" if probe else ", ".join(ordered(plan.data.labels))
        terminal.say(f"{names}: {plan.left_out} clips of classes other than {kept} excluded")
    say_dropped(plan.dropped)
    classes = "" if numeric else f" of {len(ordered(plan.data.labels))} classes"
    what = f"{classes} of {plan.target}" if probe else ""
    terminal.say(f"{names}: {len(plan.data.labels)} clips{what}, {len(plan.folds)} folds: {plan.note}")


def say_dropped(rows: list[dict[str, str]]) -> None:
    """Print how many clips were excluded for each reason, and the first of them."""
    for reason in dict.fromkeys(row["reason"] for row in rows):
        clips = [row["clip_id"] for row in rows if row["reason"] == reason]
        terminal.say(f"{len(clips)} clips excluded, {reason}: {first(clips)}")


def written_words(written: list[tuple[Path, Path | None]]) -> str:
    """Where the predictions and the models of one or several runs are."""
    path, model = written[0]
    if len(written) > 1:
        path, model = path.with_name(f"{path.name.partition('_')[0]}_<run>.csv"), model and model.with_name("<run>")
    count = f": {len(written)} runs" if len(written) > 1 else ""
    return f"wrote {paths.shown(path)}" + (f" and {paths.shown(model)}" if model else "") + count
