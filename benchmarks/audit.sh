#!/usr/bin/env bash
# The leakage audit of the README: the same encoder (wavlm_nano) and classifier (SVM) on RAVDESS's 8 classes under every
# protocol, and with deliberate leakage. Its files go to results/audit; the README's table is made from
# docs/audit_ravdess.csv, a copy of results/audit/audit.csv.
#
#   bash benchmarks/audit.sh [folder with RAVDESS's Actor_NN, default ../shared/data/ravdess]
set -eu
corpus=$(realpath "${1:-$(dirname "$0")/../../shared/data/ravdess}")
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

$python src/1_data_preprocessing.py --corpora ravdess --data-dir "$corpus" --emotions all --out-dir data/processed/ravdess8
csv=data/processed/ravdess8/ravdess.csv
plain=embeddings/ravdess8_wavlm_nano.npz
copies=embeddings/ravdess8_wavlm_nano_augmented.npz
$python src/2_wavlm_feature_extraction.py --metadata $csv --model wavlm_nano --pooling mean std --out $plain
$python src/2_wavlm_feature_extraction.py --metadata $csv --model wavlm_nano --pooling mean std --augment 2 --out $copies

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
