# Sourced by ravdess.sh, emobox.sh and others, with their arguments: step 1 on RAVDESS; `extract`, which is step 2; and
# `each_encoder`, which runs it with each of the six encoders and then calls `train NAME NPZ`. Whisper base in its windows
# takes 20 minutes on two cores (AVX2), the other encoders a few minutes each.
shared=$(dirname "$0")/../../shared
corpus=$(realpath "${1:-$shared/data/ravdess}")
encoders=$(realpath -m "${2:-$shared/encoder}")
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
tiny=whisper_tiny_en base=whisper_base
[ -d "$encoders" ] && tiny=$encoders/whisper-tiny.en base=$encoders/whisper-base

$python src/1_data_preprocessing.py --corpora ravdess --data-dir "$corpus" --emotions all --out-dir data/processed/ravdess8

extract() {  # name of the npz, flags of step 2; sets npz
    npz=embeddings/ravdess8_$1.npz
    $python src/2_wavlm_feature_extraction.py --metadata data/processed/ravdess8/ravdess.csv --pooling mean std \
        --out "$npz" "${@:2}"
}

measure() {
    extract "$@"
    train "$1" "$npz"
}

each_encoder() {
    measure acoustic --model acoustic
    measure wavlm_nano --model wavlm_nano
    measure whisper_tiny_en --model "$tiny"
    measure whisper_tiny_en_clip --model "$tiny" --context clip
    measure whisper_base --model "$base"
    measure whisper_base_clip --model "$base" --context clip
}
