#!/usr/bin/env bash
# The README's results on RAVDESS: 4 and 8 classes, six encoders, every classifier, speaker and random folds; the layer
# curves of the Whispers; then the maps and the tables. Its files go to results/ravdess, results/ravdess_layers and
# data/processed/ravdess8; the tables are made from docs/ravdess.csv and docs/ravdess_layers.csv, copies of what step 4
# writes.
#
#   bash benchmarks/ravdess.sh [folder with RAVDESS's Actor_NN] [folder with whisper-tiny.en and whisper-base]
#
# The defaults are ../shared/data/ravdess and ../shared/encoder. Where the second folder is not there, Whisper is taken
# from the Hugging Face hub.
set -eu
. "$(dirname "$0")/ravdess_encoders.sh"

train() {  # name of the npz, npz
    for emotions in all "neutral happy sad angry"; do
        for cv in speaker random; do
            $python src/3_train_classifiers.py --npz-path "$2" --layer all --cv $cv --emotions $emotions \
                --results-dir results/ravdess --models-dir models/ravdess
        done
    done
    case $1 in whisper*)
        $python src/3_train_classifiers.py --npz-path "$2" --layer each --classifier logistic \
            --results-dir results/ravdess_layers --models-dir models/ravdess_layers ;;
    esac
}
each_encoder

$python src/5_visualization_umap.py --npz-path embeddings/ravdess8_{whisper_tiny_en,wavlm_nano,acoustic}.npz \
    --layer all --results-dir results/ravdess
$python src/4_evaluation_metrics.py --results-dir results/ravdess_layers
$python src/4_evaluation_metrics.py --results-dir results/ravdess
$python tools/readme_tables.py --collect
