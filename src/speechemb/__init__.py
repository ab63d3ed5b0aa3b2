"""Speech embeddings for emotion recognition: what the numbered scripts are made of.

A module imports from its own package and from lower lines only; `tests/test_architecture.py` holds this.

    api              what notebooks call: load, embed, predict

    inference        recordings -> emotions, for predict.py
    reports          step 4: the texts and files that it writes
    training         step 3, the run: folds fitted, predictions and models written
    extraction       step 2, the run: from the clips of step 1 to one npz

    evaluation       step 4: from predictions to figures, as numbers and tables
    classifiers      step 3: the estimators, and how they are kept

    splits           which clips are for training and which for test
    encoders         step 2: recordings in, pooled hidden states out
    corpora          step 1: one module per corpus, and the check of every clip

    artifacts        the files that pass between the steps: columns, schemas, readers, writers

    speakers         who is the same person, and the statistics of a person's clips
    visualization    every picture: arrays in, figure out
    audio            decoding, and augmented copies

    cli              parser, exit codes (scripts and tools only)
    labels           the words for emotions
    layers           which layers, and taking one
    huggingface      the hub, and every way of not reaching it

    metrics          pure functions of labels, confusion matrices and probabilities
    compiled         Numba's cache, kept whole when several processes fill it
    processes        work on all cores, in processes that end with their parent
    terminal         progress bars, lines beside them, columns
    paths            where things lie, and the commands that errors advise
    errors           the exception for wrong input
"""
