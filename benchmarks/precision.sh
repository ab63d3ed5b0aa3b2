#!/usr/bin/env bash
# What int8 costs: the UAR of every classifier on RAVDESS's 8 classes, speaker-independent folds, with embeddings in fp32
# and in int8, paired tests, and the cosine of the embeddings by layer. Its files go to results/precision.
#
#   bash benchmarks/precision.sh [folder with RAVDESS's Actor_NN] [folder with whisper-tiny.en and whisper-base]
#
# The defaults are ../shared/data/ravdess and ../shared/encoder. Where the second folder is not there, Whisper is taken
# from the Hugging Face hub. Needs an x86 CPU.
set -eu
. "$(dirname "$0")/ravdess_encoders.sh"

pairs=()
compare() {  # name of the npz, flags of step 2
    for precision in fp32 int8; do
        extract "$1_$precision" "${@:2}" --precision $precision
        $python src/3_train_classifiers.py --npz-path "$npz" --layer all \
            --results-dir results/precision/$precision --models-dir models/precision/$precision
    done
    pairs+=(--npz "embeddings/ravdess8_$1"_{fp32,int8}.npz)
}
compare wavlm_nano --model wavlm_nano
compare whisper_tiny_en_clip --model "$tiny" --context clip
compare whisper_base_clip --model "$base" --context clip

$python benchmarks/precision.py --results results/precision/{fp32,int8} "${pairs[@]}"
