"""Load a model, embed recordings and predict their emotions, in Python: the three calls to copy into a notebook.

Reads   an encoder (a tag, a hub id or a folder, as --model of step 2), a model of step 3, and audio files
Prints  the shape of the embeddings, and the emotion and probabilities of each file

Example: python examples/three_calls.py wavlm_nano models/<run> recording1.wav recording2.wav
"""

import argparse
import sys

from speechemb import api, cli


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", help="encoder to embed with")
    parser.add_argument("model", help="folder of a model of step 3")
    parser.add_argument("files", nargs="+", help="audio files")
    args = parser.parse_args()

    # 1. Load. Both stay in memory: load them once, then call as often as you like.
    encoder, model = api.load_encoder(args.encoder), api.load_model(args.model)

    # 2. Embed: numpy (files, dim), here the average of all layers; see `api.embed` for other layers and poolings.
    vectors = api.embed(encoder, args.files, layer="mean", pooling=["mean"])
    print(f"embeddings: {vectors.shape[0]} files x {vectors.shape[1]} dimensions, {vectors.dtype}")

    # 3. Predict: a pandas table: path, emotion, p_<class> for each class of the model, novelty and note.
    print(api.predict(model, args.files).to_string(index=False))


if __name__ == "__main__":
    sys.exit(cli.run(main))  # wrong input ends in one line
