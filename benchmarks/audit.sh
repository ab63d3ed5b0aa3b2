#!/usr/bin/env bash
# The leakage audit of the README: the same encoder (whisper_base, `--context clip`) and classifier (SVM) on RAVDESS's 8
# classes under every protocol, and with deliberate leakage. Its files go to results/audit; the README's table is made from
# docs/audit_ravdess.csv, a copy of results/audit/audit.csv.
#
#   bash benchmarks/audit.sh [folder with RAVDESS's Actor_NN] [folder with whisper-base]
#
# The defaults are ../shared/data/ravdess and ../shared/encoder. Where the second folder is not there, Whisper is taken
# from the Hugging Face hub.
set -eu
shared=$(dirname "$0")/../../shared
corpus=$(realpath "${1:-$shared/data/ravdess}")
encoders=$(realpath -m "${2:-$shared/encoder}")
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[ -d "$encoders" ] && model=$encoders/whisper-base || model=whisper_base

$python src/1_data_preprocessing.py --corpora ravdess --data-dir "$corpus" --emotions all --out-dir data/processed/ravdess8
plain=embeddings/ravdess8_whisper_base_clip.npz
copies=embeddings/ravdess8_whisper_base_clip_augmented.npz
extract() {
    $python src/2_wavlm_feature_extraction.py --metadata data/processed/ravdess8/ravdess.csv --model "$model" \
        --context clip --pooling mean std "$@"
}
extract --out $plain
extract --out $copies --augment 2

train() {
    $python src/3_train_classifiers.py --classifier svm --layer all --results-dir results/audit --models-dir models/audit "$@"
}
for cv in speaker sentence random; do train --npz-path $plain --cv $cv --n-folds $([ $cv = sentence ] && echo 2 || echo 5); done
train --npz-path $plain --cv speaker+sentence
train --npz-path $plain --leak scaler
train --npz-path $copies
train --npz-path $copies --cv random --leak copies
$python src/4_evaluation_metrics.py --results-dir results/audit
$python tools/readme_tables.py --collect
