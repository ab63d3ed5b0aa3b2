"""Export embeddings of step 2 as a parquet file, a row per clip and a column per dimension, for other tools.

Embedding viewers, pandas, DuckDB, R and Spark open it.

Reads   an npz of step 2
Writes  a parquet file: clip_id, path, corpus, speaker (empty: unknown), emotion, then e0, e1, ... as float32;
        without augmented copies

Example: python examples/to_parquet.py embeddings/emotion_embeddings.npz embeddings.parquet --layer last
Ends with: wrote embeddings.parquet: 4895 clips x 768 dimensions
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from speechemb import cli, layers
from speechemb.artifacts import embeddings
from speechemb.artifacts.atomic import together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("npz", type=Path, help="embeddings of step 2")
    parser.add_argument("parquet", type=Path, help="file to write")
    layer = "last, mean (average of the layers), all (concatenated) or a layer's number, as in step 3 (default: mean)"
    parser.add_argument("--layer", default="mean", help=layer)
    args = parser.parse_args()

    layer = layers.one_layer(args.layer)
    data = embeddings.read(args.npz, layer).originals()
    clips = {"clip_id": data.clip_ids, "path": data.paths, "corpus": data.corpora, "speaker": data.speakers}
    vectors = data.features(layer)
    dimensions = pd.DataFrame(vectors, columns=[f"e{i}" for i in range(vectors.shape[1])])
    table = pd.concat([pd.DataFrame({**clips, "emotion": data.labels}), dimensions], axis=1)
    table.attrs = {"encoder": data.meta["encoder"], "layer": layer, "pooling": data.meta["pooling"]}  # in the file too
    with together() as files:  # whole, or not at all
        table.to_parquet(files.temporary(args.parquet), index=False)
    print(f"wrote {args.parquet}: {vectors.shape[0]} clips x {vectors.shape[1]} dimensions")


if __name__ == "__main__":
    sys.exit(cli.run(main))
