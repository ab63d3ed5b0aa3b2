#!/usr/bin/env bash
# What changes of the recordings (noise, telephone, codecs, rooms, levels) do to runs on RAVDESS with 8 classes: three
# encoders, each with the SVM and logistic regression. Its files go to results/robustness and data/processed/ravdess8.
# docs/robustness_ravdess.csv and .png are copies; those committed are of wavlm_nano: see benchmarks/README.md.
#
#   bash benchmarks/robustness.sh [folder with RAVDESS's Actor_NN] [folder with whisper-tiny.en and whisper-base]
#
# The defaults are ../shared/data/ravdess and ../shared/encoder.
set -eu
. "$(dirname "$0")/ravdess_encoders.sh"

train() {  # name of the npz, npz
    $python src/3_train_classifiers.py --npz-path "$2" --layer all --classifier svm logistic \
        --results-dir results/robustness --models-dir models/robustness
}
measure acoustic --model acoustic
measure wavlm_nano --model wavlm_nano
measure whisper_tiny_en_clip --model "$tiny" --context clip

runs=()
for path in results/robustness/predictions_*.csv; do
    run=${path##*/predictions_}
    runs+=("${run%.csv}")
done
$python src/robustness.py "${runs[@]}" --results-dir results/robustness
$python tools/readme_tables.py --collect
