#!/usr/bin/env bash
# The leakage audit of the README: the same encoder (Whisper base over the clip alone) and classifier (SVM) on RAVDESS's
# 8 classes under every protocol, and with deliberate leakage. Its files go to results/audit; the README's table is made
# from docs/audit_ravdess.csv, a copy of results/audit/audit.csv.
#
#   bash benchmarks/audit.sh [folder with RAVDESS's Actor_NN] [folder with whisper-tiny.en and whisper-base]
#
# The defaults are ../shared/data/ravdess and ../shared/encoder. Where the second folder is not there, Whisper is taken
# from the Hugging Face hub. After benchmarks/ravdess.sh the embeddings without copies are up to date.
set -eu
. "$(dirname "$0")/ravdess_encoders.sh"

extract whisper_base_clip --model "$base" --context clip
plain=$npz
extract whisper_base_clip_augmented --model "$base" --context clip --augment 2
copies=$npz

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
