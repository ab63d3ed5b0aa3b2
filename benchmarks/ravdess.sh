#!/usr/bin/env bash
# The README's results on RAVDESS: 4 and 8 classes, five encoders, every classifier, speaker and random folds; the layer
# curves of the Whispers; then the maps and the tables. Its files go to results/ravdess, results/ravdess_layers and
# data/processed/ravdess8; the tables are made from docs/ravdess.csv and docs/ravdess_layers.csv, copies of what step 4
# writes. Whisper base is computed over the clip alone: its 30 s windows would take most of an hour on two cores.
#
#   bash benchmarks/ravdess.sh [folder with RAVDESS's Actor_NN] [folder with whisper-tiny.en and whisper-base]
#
# The defaults are ../shared/data/ravdess and ../shared/encoder. Where the second folder is not there, Whisper is taken
# from the Hugging Face hub.
set -eu
shared=$(dirname "$0")/../../shared
corpus=$(realpath "${1:-$shared/data/ravdess}")
encoders=$(realpath -m "${2:-$shared/encoder}")
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
tiny=whisper_tiny_en base=whisper_base
[ -d "$encoders" ] && tiny=$encoders/whisper-tiny.en base=$encoders/whisper-base

$python src/1_data_preprocessing.py --corpora ravdess --data-dir "$corpus" --emotions all --out-dir data/processed/ravdess8

measure() {  # name of the npz, flags of step 2
    npz=embeddings/ravdess8_$1.npz
    $python src/2_wavlm_feature_extraction.py --metadata data/processed/ravdess8/ravdess.csv --pooling mean std \
        --out "$npz" "${@:2}"
    for emotions in all "neutral happy sad angry"; do
        for cv in speaker random; do
            $python src/3_train_classifiers.py --npz-path "$npz" --layer all --cv $cv --emotions $emotions \
                --results-dir results/ravdess --models-dir models/ravdess
        done
    done
    case $1 in whisper*)
        $python src/3_train_classifiers.py --npz-path "$npz" --layer each --classifier logistic \
            --results-dir results/ravdess_layers --models-dir models/ravdess_layers ;;
    esac
}
measure acoustic --model acoustic
measure wavlm_nano --model wavlm_nano
measure whisper_tiny_en --model "$tiny"
measure whisper_tiny_en_clip --model "$tiny" --context clip
measure whisper_base_clip --model "$base" --context clip

$python src/5_visualization_umap.py --npz-path embeddings/ravdess8_{whisper_tiny_en,wavlm_nano,acoustic}.npz \
    --layer all --results-dir results/ravdess
$python src/4_evaluation_metrics.py --results-dir results/ravdess_layers
$python src/4_evaluation_metrics.py --results-dir results/ravdess
$python tools/readme_tables.py --collect
