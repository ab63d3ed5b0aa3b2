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
shared=$(dirname "$0")/../../shared
corpus=$(realpath "${1:-$shared/data/ravdess}")
encoders=$(realpath -m "${2:-$shared/encoder}")
folds=$(realpath "${3:-$shared/data/emobox_ravdess/speaker_folds.csv}")
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
tiny=whisper_tiny_en base=whisper_base
[ -d "$encoders" ] && tiny=$encoders/whisper-tiny.en base=$encoders/whisper-base

$python src/1_data_preprocessing.py --corpora ravdess --data-dir "$corpus" --emotions all --out-dir data/processed/ravdess8

measure() {  # name of the npz, flags of step 2
    npz=embeddings/ravdess8_$1.npz
    $python src/2_wavlm_feature_extraction.py --metadata data/processed/ravdess8/ravdess.csv --pooling mean std \
        --out "$npz" "${@:2}"
    $python src/3_train_classifiers.py --npz-path "$npz" --layer all --folds "$folds" \
        --results-dir results/emobox --models-dir models/emobox
}
measure acoustic --model acoustic
measure wavlm_nano --model wavlm_nano
measure whisper_tiny_en --model "$tiny"
measure whisper_tiny_en_clip --model "$tiny" --context clip
measure whisper_base_clip --model "$base" --context clip

$python src/4_evaluation_metrics.py --results-dir results/emobox
$python tools/readme_tables.py --collect
