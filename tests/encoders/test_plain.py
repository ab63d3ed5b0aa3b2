"""Encoder families through transformers itself, and fine-tuned checkpoints of every family."""

import numpy as np
import pytest
import torch
from test_encoders import METHODS, check_invariance, check_workers, error, pooled

from models import configure, make_model, noise, spoil
from speechemb import encoders
from speechemb.encoders.pretrained import FAMILIES
from speechemb.errors import InputError

pytestmark = pytest.mark.slow
SEW = dict(conv_dim=(16, 16, 24, 32), conv_kernel=(10, 3, 1, 3), conv_stride=(5, 8, 1, 8), num_conv_pos_embeddings=16)
CONFORMER = dict(conv_depthwise_kernel_size=7)
PLAIN = {
    "data2vec-audio": dict(num_conv_pos_embeddings=3, conv_pos_kernel_size=7),
    "wav2vec2-conformer": CONFORMER,
    "sew": SEW,
    "sew-d": SEW | dict(position_buckets=8, max_position_embeddings=16),
}
BERT = "wav2vec2-bert"
OTHERS = ("whisper", "moonshine", "parakeet_encoder", "parakeet_ctc", "parakeet_rnnt", "parakeet_tdt")
SECONDS = [1.3, 0.1, 0.7, 0.7, 0.31]


def made(tmp_path, family, shape="tiny_layer", **changes):
    """A random model of the family, with the feature extractor that published ones have."""
    folder = make_model(tmp_path / "model", family, shape, **(PLAIN | {BERT: CONFORMER}).get(family, {}) | changes)
    if family == BERT:
        from transformers import SeamlessM4TFeatureExtractor

        SeamlessM4TFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["unispeech", "unispeech-sat", *PLAIN])
@pytest.mark.parametrize("shape", ["tiny_group", "tiny_layer"])
def test_layers_are_those_of_transformers_in_any_batch(tmp_path, family, shape):
    check_invariance(made(tmp_path, family, shape), noise(SECONDS))


@pytest.mark.parametrize("positions", ["rotary", None])
def test_a_conformer_of_other_positions(tmp_path, positions):
    folder = made(tmp_path, "wav2vec2-conformer", position_embeddings_type=positions)
    check_invariance(folder, noise([0.5, 0.9]))


@pytest.mark.parametrize("shape, changes", [("tiny_layer", {}), ("tiny_layer", {"adapter_attn_dim": 8})])
def test_xls_r_and_mms(tmp_path, shape, changes):
    check_invariance(make_model(tmp_path / "model", "wav2vec2", shape, **changes), noise([0.5, 0.9]))


@pytest.mark.parametrize(
    "changes",
    [{}, {"position_embeddings_type": "rotary"}, {"position_embeddings_type": "relative"}, {"head": "ForCTC"}],
)
def test_w2v_bert_is_that_of_transformers_in_any_batch(tmp_path, changes):
    from transformers import AutoFeatureExtractor, AutoModel

    folder, waves = made(tmp_path, BERT, vocab_size=5, **changes), noise([1.3, 0.1, 0.71, 0.71, 0.312])
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    theirs = []
    for wave in waves:
        inputs = extractor(wave, sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            states = model(**inputs, output_hidden_states=True).hidden_states
        theirs.append(pooled([state[0][inputs["attention_mask"][0] == 1] for state in states]))
    ours = encoders.load(str(folder), "cpu", "fp32").embed(waves, [0, 1, 2, 3], METHODS)
    assert error(ours, np.stack(theirs)) <= 1e-4


def test_w2v_bert_with_another_log_mel_is_refused(tmp_path):
    folder = made(tmp_path, BERT)
    configure(folder, "preprocessor_config.json", num_mel_bins=40)
    with pytest.raises(InputError, match="num_mel_bins is 40, not 80"):
        encoders.load(str(folder), "cpu", "fp32")


@pytest.mark.parametrize("head", ["ForCTC", "ForSequenceClassification"])
@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in (BERT, *OTHERS)])
def test_a_fine_tuned_checkpoint_is_loaded_by_its_body(tmp_path, family, head):
    """Its weights are stored under the family's prefix, beside a head that is ignored."""
    check_invariance(made(tmp_path, family, head=head, vocab_size=5), noise([0.5, 0.9]))


@pytest.mark.parametrize("family", [*PLAIN, BERT])
def test_workers_beside_each_other_give_the_same_bytes(tmp_path, family):
    check_workers(made(tmp_path, family), noise([0.5, 0.9, 0.3, 0.7] * 4))


@pytest.mark.slow
@pytest.mark.parametrize("family", [*PLAIN, BERT])
def test_half_precision_and_long_recordings(tmp_path, family):
    folder, waves = str(made(tmp_path, family)), noise([31.0, 0.5])
    full = encoders.load(folder, "cpu", "fp32").embed(waves, [0, 3], METHODS)
    half = encoders.load(folder, "cpu", "bf16").embed(waves, [0, 3], METHODS)
    assert full.shape == (2, 2, 5 * 48) and 0 < error(half, full) < 0.1
    auto = encoders.load(folder, "cpu", "auto")
    assert np.isfinite(auto.embed(waves, [0, 3], METHODS)).all() and auto.settled


@pytest.mark.parametrize("family", [*PLAIN, BERT])
def test_the_recorded_encoder_is_found_again(tmp_path, family):
    folder = made(tmp_path, family)
    identity = encoders.load(str(folder), "cpu", "fp32").identity
    assert encoders.load_recorded(identity, str(folder), "fp32", "cpu").identity == identity
    spoil(folder, lambda weights: {key: x * 1.01 for key, x in weights.items()})
    with pytest.raises(InputError, match="give the right one with --encoder"):
        encoders.load_recorded(identity, str(folder), "fp32", "cpu")


@pytest.mark.parametrize(
    "family, changes, words",
    [
        ("wav2vec2-conformer", {"conv_depthwise_kernel_size": 8}, "conv_depthwise_kernel_size 8 is even"),
        ("wav2vec2-conformer", {"conv_depthwise_kernel_size": "7"}, "conv_depthwise_kernel_size is '7', not a whole"),
        ("wav2vec2-conformer", {"position_embeddings_type": "sine"}, "position_embeddings_type is 'sine', not one of"),
        ("wav2vec2-conformer", {"position_embeddings_type": ["rotary"]}, "position_embeddings_type is .*, not one of"),
        ("wav2vec2-conformer", {"num_attention_heads": 16}, "num_attention_heads 16 is odd"),
        ("wav2vec2-conformer", {"rotary_embedding_base": 0}, "rotary_embedding_base is 0"),
        ("data2vec-audio", {"conv_pos_kernel_size": 10**9}, "conv_pos_kernel_size is 1000000000"),
        ("data2vec-audio", {"hidden_size": 8192, "intermediate_size": 65536}, "config.json asks for .* parameters"),
        ("sew", {"squeeze_factor": 0}, "squeeze_factor is 0"),
        ("sew", {"num_hidden_layers": 4}, "weights do not fit config.json: they lack"),
        ("sew", {"num_hidden_layers": 2}, "weights do not fit config.json: they hold"),
        ("sew", {"feat_extract_norm": "batch"}, "feat_extract_norm is 'batch'"),
        ("sew-d", {"position_buckets": 0}, "position_buckets is 0"),
        ("sew-d", {"position_buckets": 64}, "max_position_embeddings 16 is not above half of position_buckets 64"),
        ("sew-d", {"position_buckets": 10}, "weights do not fit config.json"),
        ("sew-d", {"pos_att_type": ["p2p"]}, "pos_att_type is ..p2p.., not a list of p2c and c2p"),
        ("sew-d", {"norm_rel_ebd": ["layer_norm"]}, "norm_rel_ebd is .*, not one of"),
        ("sew-d", {"relative_attention": "yes"}, "relative_attention is 'yes', not true or false"),
        ("sew-d", {"num_hidden_layers": 2}, "weights do not fit config.json: they hold"),
        (BERT, {"feature_projection_input_dim": 80}, "feature_projection_input_dim is 80"),
        (BERT, {"layer_norm_eps": "1e-5"}, "layer_norm_eps is '1e-5'"),
        (BERT, {"num_attention_heads": 5}, "hidden_size 48 is not divisible by num_attention_heads 5"),
        (BERT, {"left_max_position_embeddings": 10**6}, "left_max_position_embeddings is 1000000"),
        (BERT, {"left_max_position_embeddings": 32}, "weights do not fit config.json"),
        (BERT, {"hidden_size": 8192, "intermediate_size": 65536}, "config.json asks for .* parameters"),
        ("data2vec-audio", {"model_type": "bert"}, "is a bert model; give one of type wavlm, .*data2vec-audio.*sew"),
    ],
)
def test_a_damaged_config_is_refused_in_one_line(tmp_path, family, changes, words):
    folder = made(tmp_path, family)
    configure(folder, **changes)
    with pytest.raises(InputError, match=words) as caught:
        encoders.load(str(folder), "cpu", "fp32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", [*PLAIN, BERT])
def test_weights_that_are_not_finite_are_named(tmp_path, family, caplog):
    folder = made(tmp_path, family)
    spoil(folder, lambda weights: {key: x * torch.nan for key, x in weights.items()})
    encoders.load(str(folder), "cpu", "fp32")
    assert "not finite" in caplog.text
