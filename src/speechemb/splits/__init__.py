"""Which clips are trained on and which are tested on.

Importing this package loads the standard library only: step 3 takes the choices of its flags from here.
"""

# What --cv takes, and the note on it that every output of a run carries.
PROTOCOLS = {
    "speaker": "speaker-disjoint folds",
    "session": "session-disjoint folds",
    "sentence": "sentence-disjoint folds, speakers on both sides",
    "speaker+sentence": "folds disjoint by speaker and by sentence",
    "random": "RANDOM folds, speakers on both sides: optimistic",
}

CROSS_CORPUS = "cross-corpus"  # the protocol of --cross-corpus, which replaces the folds

NOTES = {**PROTOCOLS, CROSS_CORPUS: "trained on one corpus, tested on another"}

# Known mistakes, made only with --leak, to measure what they are worth; every output of such a run says so.
LEAKS = {
    "scaler": "LEAK ON PURPOSE: features standardised on all clips, the test clips included",
    "copies": "LEAK ON PURPOSE: augmented copies divided at random, as if they were clips of their own",
}
