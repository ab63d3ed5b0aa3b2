#!/usr/bin/env bash
# RAVDESS's 8 classes in EmoBox's six folds by actor, beside the figures that EmoBox publishes for these folds. Everything
# is chosen inside the folds. Its files go to results/emobox; the README's table is made from docs/emobox.csv, a copy of
# what step 4 writes, and data/published_figures.csv.
#
#   bash benchmarks/emobox.sh [folder with RAVDESS's Actor_NN] [folder with whisper-tiny.en and whisper-base] [folds]
#
# The defaults are ../shared/data/ravdess, ../shared/encoder and ../shared/data/emobox_ravdess/speaker_folds.csv, a table
# with the columns speaker,test_fold made from EmoBox's lists. Where the second folder is not there, Whisper is taken from
# the Hugging Face hub. After benchmarks/ravdess.sh the embeddings are up to date.
set -eu
folds=$(realpath "${3:-$(dirname "$0")/../../shared/data/emobox_ravdess/speaker_folds.csv}")
. "$(dirname "$0")/ravdess_encoders.sh"

train() {  # name of the npz, npz
    $python src/3_train_classifiers.py --npz-path "$2" --layer all --folds "$folds" \
        --results-dir results/emobox --models-dir models/emobox
}
each_encoder

$python src/4_evaluation_metrics.py --results-dir results/emobox
$python tools/readme_tables.py --collect
