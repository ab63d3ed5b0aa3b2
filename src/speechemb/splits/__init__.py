"""Which clips are for training and which for test.

Importing this package loads the standard library only: step 3 takes the choices of its flags from here.
"""

# The choices of --cv, each with the note that the outputs of a run carry.
PROTOCOLS = {
    "speaker": "speaker-independent folds (no speaker in both training and test)",
    "session": "session-independent folds (no session in both training and test)",
    "sentence": "sentence-independent folds (speakers in both training and test)",
    "speaker+sentence": "speaker- and sentence-independent folds (neither in both training and test)",
    "random": "random folds (speakers in both training and test): optimistic",
}

# Targets beside the emotion that are classes: what else an embedding knows, see `targets`.
PROBES = ("speaker", "gender", "sentence", "intensity")

# What predicts targets that are numbers.
REGRESSORS = ("ridge", "svr", "mlp", "xgboost")

TABLE = "folds_"  # begins the name of the protocol where --folds gives the folds
CROSS_CORPUS = "cross-corpus"  # the protocol of --cross-corpus, which replaces the folds

NOTES = {**PROTOCOLS, CROSS_CORPUS: "trained on one corpus, tested on another"}

# The protocol of --guess-speakers N is this word and N. Wherever it appears, these words say what it is worth.
GUESSED = "guessed"
OPTIMISTIC_GUESS = "guessed speakers (optimistic): folds share real speakers"
GUESS_HELP = (
    "where no speaker is known: guess N of them in each corpus by clustering the recordings, and make the folds over "
    "the guesses; the outputs say that real speakers are in both training and test"
)


def is_guessed(protocol: str) -> bool:
    """Whether a protocol's folds are over guessed speakers."""
    return protocol.startswith(GUESSED)


def flag_of(protocol: str) -> str:
    """The flag that asks for a protocol, for messages: `--cv speaker`, `--guess-speakers 24`."""
    return f"--guess-speakers {protocol.removeprefix(GUESSED)}" if is_guessed(protocol) else f"--cv {protocol}"


# What a run is called, wherever it appears, whose features were standardised with other clips of the test speaker.
TRANSDUCTIVE = "transductive, uses the test speaker's unlabelled clips"

# The choices of --normalise, each with the note that the outputs of a run carry.
NORMALISED = {"speaker": f"features standardised within each speaker ({TRANSDUCTIVE})"}

# Deliberate leakage, made only with --leak, to measure how much UAR it adds; every output of such a run says so.
LEAKS = {
    "scaler": "LEAK (deliberate leakage): features standardised on all clips, including the test clips",
    "copies": "LEAK (deliberate leakage): augmented copies divided at random, as if they were independent clips",
}
