"""The Hugging Face hub: the commit of a repository's revision, its files, and failures as errors of one line.

Import this only where the hub is about to be used: huggingface_hub takes a while to load.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, errors, hf_hub_download, resolve_revision, try_to_load_from_cache

from speechemb.errors import InputError
from speechemb.paths import SRC

HTTPError = errors.HTTPError  # pyright: ignore[reportPrivateImportUsage]
TIMEOUT_S = 10


def commit(repo_id: str, kind: str, revision: str | None = None) -> str:
    """The commit (40 hex digits) of a branch, tag or commit of a repository; `kind` is "model" or "dataset".

    Without a network, the commit last seen under this name. Call this first: the libraries would repeat every request
    for minutes, and would wait for ever if the hub accepted a connection and did not answer.
    """
    try:
        HfApi().repo_info(repo_id, repo_type=kind, revision=revision, timeout=TIMEOUT_S)
        offline = False
    except errors.HfHubHTTPError as error:
        if error.response.status_code < 500:
            raise
        offline = True
    except (HTTPError, errors.OfflineModeIsEnabled):
        offline = True
    return resolve_revision(repo_id, repo_type=kind, revision=revision, local_files_only=offline).resolved


def fetching(repo_id: str, commit: str, optional: Collection[str]) -> Callable[[str], Path | None]:
    """A function that gives the path of a model's file at a commit by its name, or None where there is no such file.

    Files in the cache need no network. Without a network, `optional` files that are not in the cache count as missing,
    and the others raise huggingface_hub's error.
    """

    def get(name: str) -> Path | None:
        cached = try_to_load_from_cache(repo_id, name, revision=commit)
        if isinstance(cached, str):
            return Path(cached)
        if cached is not None:  # the cache knows that the repository has no such file
            return None
        try:
            return Path(hf_hub_download(repo_id, name, revision=commit))
        except errors.LocalEntryNotFoundError:
            if name in optional:
                return None
            raise
        except errors.EntryNotFoundError:
            return None

    return get


@contextmanager
def readable(flag: str, repo_id: str, kind: str, instead: str) -> Iterator[None]:
    """Turn what the hub's clients raise in the `with` block into `InputError`.

    `flag` is what the user gave, as in `--model org/name@v9`; `instead` says what to do without this repository.
    """
    page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # an answer that is none makes the clients raise nearly anything
        if _is_ours(error):
            raise
        cause = error.__cause__ if isinstance(error.__cause__, errors.HfHubHTTPError) else error
        # datasets raises DatasetNotFoundError for everything; `commit` before it finds every cause but a gated data set
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


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised by a line of this project, not of a library: then it is a bug."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and Path(last.tb_frame.f_code.co_filename).is_relative_to(SRC)
