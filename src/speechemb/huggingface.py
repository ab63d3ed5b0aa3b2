"""The Hugging Face hub: which commit a name stands for, and every way of not getting a repository as one line.

Imported only by what is about to use the hub: huggingface_hub takes a while to load.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi, errors, resolve_revision

from speechemb.errors import InputError

TIMEOUT_S = 10


def commit(repo_id: str, kind: str, revision: str | None = None) -> str:
    """The commit (40 digits) that a branch, tag or commit of a repository is; `kind` is "model" or "dataset".

    Without a network, the commit that was last seen under this name. Ask this before anything else: the libraries
    would repeat every request for minutes, and wait for ever where the hub accepts a connection and says nothing.
    """
    try:
        HfApi().repo_info(repo_id, repo_type=kind, revision=revision, timeout=TIMEOUT_S)
        offline = False
    except errors.HfHubHTTPError as error:
        if error.response.status_code < 500:
            raise
        offline = True
    except (errors.HTTPError, errors.OfflineModeIsEnabled):
        offline = True
    return resolve_revision(repo_id, repo_type=kind, revision=revision, local_files_only=offline).resolved


@contextmanager
def readable(flag: str, repo_id: str, kind: str, instead: str) -> Iterator[None]:
    """Turn what the hub's clients raise in the `with` block into `InputError`.

    `flag` is what the user gave, as `--model org/name@v9`; `instead` what works without this repository.
    """
    page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
    try:
        yield
    except (OSError, ValueError, RuntimeError, errors.HTTPError, errors.RevisionResolutionError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, errors.HfHubHTTPError) else error
        # datasets raises DatasetNotFoundError for all; what is not told apart by `commit` before it is gated
        if isinstance(cause, errors.GatedRepoError) or type(error).__name__ == "DatasetNotFoundError":
            why = f"{repo_id} is gated: ask for access at {page} and run `hf auth login`"
        elif isinstance(cause, errors.RevisionNotFoundError):
            why = f"{repo_id} has no such revision: see {page}/tree/main, and correct what follows the @"
        elif isinstance(cause, errors.RepositoryNotFoundError):
            why = f"the hub has no {kind} {repo_id}, or it is private: correct the name, or run `hf auth login`"
        elif isinstance(cause, (errors.RevisionResolutionError, errors.LocalEntryNotFoundError, ConnectionError)):
            why = f"the hub cannot be reached, and {repo_id} is not in its cache here: try again with a network"
        else:
            why = f"{repo_id} cannot be loaded ({(str(error).splitlines() or [type(error).__name__])[0]})"
        raise InputError(f"{flag}: {why}, or {instead}") from None
