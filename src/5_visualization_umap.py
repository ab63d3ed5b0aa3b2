"""Step 5: draw the embedding space.

Reads   embeddings/emotion_embeddings.npz, or the files given with --npz-path (one encoder each)
Writes  results/umap_emotion.png     2-D map of the first file, coloured by emotion and, as a control, by speaker
        results/umap_emotion_3d.png  the same in 3-D
        results/umap_grid.png        every encoder x corpus, by emotion;  umap_grid_speaker.png, by speaker
        results/umap_emotion.csv     the coordinates of every clip in every map

Clips of one colour that lie together are similar. Speakers usually lie together more than emotions do: the printed
shares of neighbours with the same emotion and the same speaker say how much.

Example: python src/5_visualization_umap.py --npz-path embeddings/emotion_embeddings.npz
Ends with: wrote results/umap_emotion.png, umap_emotion_3d.png, ... and umap_emotion.csv
"""

import argparse
import sys
from pathlib import Path

from speechemb import cli, paths

PICTURES = ("umap_emotion.png", "umap_emotion_3d.png", "umap_grid.png", "umap_grid_speaker.png")


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("--npz-path", nargs="+", type=Path, metavar="NPZ", default=[paths.EMBEDDINGS / "emotion_embeddings.npz"],
        help="files of step 2, one encoder each")  # fmt: skip
    add("--layer", default="mean", help="last, mean, all or a layer's number, as in step 3")
    add("--seed", type=cli.seed, default=0, help="of the maps")
    add("--results-dir", type=Path, default=paths.RESULTS, help="where the maps go")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    import pandas as pd

    from speechemb.artifacts import embeddings, provenance, storage
    from speechemb.visualization import map_figures

    npz = [paths.existing(path) for path in args.npz_path]
    files = [embeddings.read(path, args.layer).originals() for path in npz]
    folder = paths.output(args.results_dir)
    stamp = provenance.stamp("map", storage.SCHEMA, layer=args.layer, seed=args.seed,
                             embeddings=[file.meta["fingerprint"] for file in files])  # fmt: skip
    if all(storage.is_up_to_date(folder / "umap_emotion.csv", stamp) and (folder / name).exists() for name in PICTURES):
        print(f"{paths.shown(folder / 'umap_emotion.png')} and the other maps stand already")
        return
    # All corpora of the first file together for the large maps, then each corpus by itself for the grid.
    whole = map_of(files[0], args.layer, args.seed, "all", three_d=True)
    cells = []
    for file in files:
        for corpus in sorted(set(file.corpora)):
            inside = file.corpora == corpus
            if file is files[0] and inside.all():  # drawn already
                cells.append(whole.assign(map=corpus, x3=float("nan"), y3=float("nan"), z3=float("nan")))
            else:
                cells.append(map_of(file.take(inside), args.layer, args.seed, corpus))

    figures = (
        map_figures.map_pair(whole, ("x", "y")),
        map_figures.map_pair(whole, ("x3", "y3", "z3")),
        map_figures.map_grid(cells, "emotion"),
        map_figures.map_grid(cells, "speaker"),
    )
    for name, figure in zip(PICTURES, figures, strict=True):
        storage.write_figure(folder / name, figure)
    # Last: with the CSV the maps stand.
    storage.write_csv(folder / "umap_emotion.csv", pd.concat([whole, *cells], ignore_index=True), stamp)
    print(f"wrote {paths.shown(folder / PICTURES[0])}, {', '.join(PICTURES[1:])} and umap_emotion.csv")


def map_of(data, layer: str, seed: int, name: str, three_d: bool = False):
    """Coordinates of one map, a row a clip; prints what the neighbourhoods consist of."""
    import pandas as pd

    from speechemb.visualization import projection

    x = data.features(layer)
    graph = projection.neighbours(x)
    frame = pd.DataFrame({"encoder": data.tag, "map": name, "clip_id": data.clip_ids, "corpus": data.corpora,
                          "emotion": data.labels, "speaker": data.speakers})  # fmt: skip
    frame[["x", "y"]] = projection.coordinates(x, graph, 2, seed)
    frame[["x3", "y3", "z3"]] = projection.coordinates(x, graph, 3, seed) if three_d else float("nan")
    for what, values in (("emotion", data.labels), ("speaker", data.speakers)):
        found, expected = projection.purity(graph, values)
        print(f"{data.tag}, {name}: {found:.0%} of a clip's neighbours share its {what} ({expected:.0%} by chance)")
    return frame


if __name__ == "__main__":
    sys.exit(cli.run(main))
