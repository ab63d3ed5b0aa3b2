#!/usr/bin/env bash
# The README's results on RAVDESS: 4 and 8 classes, four encoders, every classifier, speaker and random folds; the layer
# curves of the two Whispers; then the maps and the table. Its files go to results/ravdess and data/processed/ravdess8;
# the README's tables are made from docs/ravdess.csv and docs/layers_ravdess.csv, copies of what step 4 writes.
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
[ -d "$encoders" ] && whispers="$encoders/whisper-tiny.en $encoders/whisper-base" || whispers="whisper_tiny_en whisper_base"

$python src/1_data_preprocessing.py --corpora ravdess --data-dir "$corpus" --emotions all --out-dir data/processed/ravdess8
for model in acoustic wavlm_nano $whispers; do
    npz=embeddings/ravdess8_$(basename "$model" | tr '.-' '__').npz
    $python src/2_wavlm_feature_extraction.py --metadata data/processed/ravdess8/ravdess.csv --model "$model" \
        --pooling mean std --out "$npz"
    for emotions in "neutral happy sad angry" all; do
        for cv in speaker random; do
            $python src/3_train_classifiers.py --npz-path "$npz" --layer all --cv $cv --emotions $emotions \
                --results-dir results/ravdess --models-dir models/ravdess
        done
    done
    case $model in *whisper*)
        $python src/3_train_classifiers.py --npz-path "$npz" --layer each --classifier logistic \
            --results-dir results/ravdess_layers --models-dir models/ravdess_layers ;;
    esac
done
$python src/5_visualization_umap.py --npz-path embeddings/ravdess8_{whisper_base,wavlm_nano,acoustic}.npz \
    --layer all --results-dir results/ravdess
$python src/4_evaluation_metrics.py --results-dir results/ravdess_layers
$python src/4_evaluation_metrics.py --results-dir results/ravdess
$python tools/readme_tables.py --collect
