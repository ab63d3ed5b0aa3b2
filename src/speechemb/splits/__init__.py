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

# What a run is called, wherever it appears, whose features were standardised with other clips of the test speaker.
TRANSDUCTIVE = "transductive, uses the test speaker's unlabelled clips"

# The choices of --normalise, each with the note that the outputs of a run carry.
NORMALISED = {"speaker": f"features standardised within each speaker ({TRANSDUCTIVE})"}

# Deliberate leakage, made only with --leak, to measure how much UAR it adds; every output of such a run says so.
LEAKS = {
    "scaler": "LEAK (deliberate leakage): features standardised on all clips, including the test clips",
    "copies": "LEAK (deliberate leakage): augmented copies divided at random, as if they were independent clips",
}
