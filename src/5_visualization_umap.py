"""Step 5: draw the embedding space.

Reads   embeddings/emotion_embeddings.npz, or the files given with --npz-path (one encoder each)
Writes  results/umap_emotion.png       2-D map of the first file, coloured by emotion and, as a control, by speaker
        results/umap_emotion_3d.png    the same in 3-D
        results/umap_grid.png          where there are several: a map for each encoder and corpus, coloured by emotion
        results/umap_grid_speaker.png  the same, coloured by speaker
        results/umap_emotion.csv       the coordinates of every clip in every map
        results/report.html            the map of step 4's report, where there is one, is brought up to date

Clips that lie close together have similar embeddings. Clips of one speaker usually lie closer together than clips of
one emotion: the printed shares of neighbours with the same emotion and the same speaker say how much.

Example: python src/5_visualization_umap.py --npz-path embeddings/emotion_embeddings.npz
Ends with: wrote results/umap_emotion.png, umap_emotion_3d.png, ... and umap_emotion.csv
"""

import argparse
import math
import sys
from pathlib import Path

from speechemb import cli, paths
from speechemb.errors import InputError

PICTURES = ("umap_emotion.png", "umap_emotion_3d.png", "umap_grid.png", "umap_grid_speaker.png")
COORDINATES = ["x", "y", "x3", "y3", "z3"]  # of the 2-D and the 3-D map in the CSV


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    default = [paths.EMBEDDINGS / "emotion_embeddings.npz"]
    parser.add_argument(
        "--npz-path", nargs="+", type=Path, metavar="NPZ", default=default, help="npz files of step 2, one encoder each"
    )
    cli.add_words(parser, "--corpora", None, "only the clips of these corpora (default: all)")
    parser.add_argument("--layer", default="mean", help="last, mean, all or a layer number, as in step 3")
    parser.add_argument("--seed", type=cli.seed, default=0, help="random seed of the maps")
    parser.add_argument("--results-dir", type=Path, default=paths.RESULTS, help="where the maps go")
    cli.add_figures(parser)
    return cli.parsed(parser, argv, __file__)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from speechemb.artifacts import atomic, freshness, provenance, storage

    files = [read(paths.existing(path), args.layer, args.corpora) for path in args.npz_path]
    folder = paths.output(args.results_dir)
    atomic.check_writable(folder)
    inputs = [source for file in files for source in file.sources]
    settings = {
        "layer": args.layer,
        "seed": args.seed,
        "corpora": args.corpora or [],
        "figures": args.figures or "",
        "embeddings": [source["sha256"] for source in inputs],
    }
    stamp = {**provenance.stamp("map", storage.SCHEMA, args.command, **settings), "inputs": inputs}
    if freshness.is_up_to_date(folder / "umap_emotion.csv", stamp):
        print(f"{paths.shown(folder / 'umap_emotion.png')} and the other maps are up to date, skipped")
        return

    draw(folder, args, files, stamp)


def draw(folder: Path, args: argparse.Namespace, data: list, stamp: dict) -> None:
    """Make the maps of these embeddings and write them."""
    import pandas as pd

    from speechemb.artifacts import atomic, storage
    from speechemb.reports.page import report
    from speechemb.visualization import style

    # All corpora of the first file together for the large maps, then each corpus by itself for the grid.
    whole, shares = map_of(data[0], args.layer, args.seed, "all", three_d=True)
    cells = []
    for one in data:
        for corpus in sorted(set(one.corpora.tolist())):
            inside = one.corpora == corpus
            if inside.sum() < 2:
                clip = one.clip_ids[inside][0]
                cli.log.warning("%s is the only clip of %s (%s): no map of this corpus", clip, corpus, one.tag)
            elif one is data[0] and inside.all():  # this map exists already
                cells.append((whole.assign(map=corpus, x3=float("nan"), y3=float("nan"), z3=float("nan")), shares))
            else:
                cells.append(map_of(one.take(inside), args.layer, args.seed, corpus))
    table = pd.concat([whole, *(cell for cell, _ in cells)], ignore_index=True).drop(columns="person")
    if line := style.use_fonts_for({*table["emotion"], *table["corpus"], *table["encoder"]}):
        cli.log.warning("%s", line)
    with atomic.together() as files:
        drawn = dict(zip(PICTURES, figures_of((whole, shares), cells), strict=False))
        for name, figure in drawn.items():
            storage.write_figure(folder / name, figure, files, args.figures or "")
        for name in set(PICTURES) - set(drawn):  # of an earlier run
            for kind in (".png", ".pdf", ".svg"):
                files.remove((folder / name).with_suffix(kind))
        # The CSV comes last: its sidecar says that the maps are up to date.
        storage.write_csv(folder / "umap_emotion.csv", table, {**stamp, "files": files.hashes(folder)}, files)
    if report.refresh_map(folder, table):
        print(f"brought the map of {paths.shown(folder)}/{report.NAME} up to date")
    print(f"wrote {paths.shown(folder / PICTURES[0])}, {', '.join([*drawn][1:])} and umap_emotion.csv")


def read(npz: Path, layer: str, corpora: list[str] | None):
    """The clips of these corpora in an npz, without augmented copies.

    Raises:
        InputError: the layer is not one to draw, a corpus is not in the file, or there are fewer than two clips.
    """
    import numpy as np

    from speechemb.artifacts import embeddings

    if layer not in ("last", "mean", "all") and not layer.isdecimal():
        raise InputError(f"--layer {layer}: a map is of one layer: give last, mean, all or a number")
    data = embeddings.read(npz, layer).originals()
    if missing := sorted(set(corpora or ()) - set(data.corpora.tolist())):
        held = ", ".join(sorted(set(data.corpora.tolist())))
        raise InputError(f"--corpora {' '.join(missing)}: {paths.shown(npz)} holds {held}")
    if corpora:
        data = data.take(np.isin(data.corpora, corpora))
    if len(data.clip_ids) < 2:
        raise InputError(f"--npz-path {paths.shown(npz)} holds one clip, {data.clip_ids[0]}: a map needs two or more")
    return data


def map_of(data, layer: str, seed: int, name: str, three_d: bool = False):
    """The coordinates of one map, one row per clip, and in words what neighbours have in common, which it prints."""
    import pandas as pd

    from speechemb.speakers import within_corpus
    from speechemb.visualization import projection

    x, persons = data.features(layer), within_corpus(data.corpora, data.speakers)
    graph = projection.neighbours(x)
    columns = {"encoder": data.tag, "map": name, "clip_id": data.clip_ids, "corpus": data.corpora}
    frame = pd.DataFrame({**columns, "emotion": data.labels, "speaker": data.speakers, "person": persons})
    frame[COORDINATES] = float("nan")
    frame[COORDINATES[:2]] = projection.coordinates(x, graph, 2, seed)
    if three_d:
        frame[COORDINATES[2:]] = projection.coordinates(x, graph, 3, seed)
    shares = {}
    for what, values in (("emotion", data.labels), ("speaker", persons)):
        found, expected = projection.purity(graph, values)
        shares[what] = f"{found:.0%} of a clip's neighbours share its {what} ({expected:.0%} by chance)"
        if math.isnan(found):
            shares[what] = f"no neighbours whose {what} is known"
        print(f"{data.tag}, {name}: {shares[what]}")
    return frame, shares


def figures_of(whole: tuple, cells: list[tuple]) -> list:
    """The pictures in the order of PICTURES, from the maps of `map_of`; one cell by itself is no grid."""
    from speechemb.visualization import map_figures

    def embedding_map(of: tuple, coordinates: list[str]) -> map_figures.EmbeddingMap:
        frame, shares = of
        emotions, speakers = (frame[column].to_numpy(str) for column in ("emotion", "person"))
        points, corpora = frame[coordinates].to_numpy(), sorted(set(frame["corpus"]))
        return map_figures.EmbeddingMap(frame["encoder"].iloc[0], corpora, points, emotions, speakers, shares)

    flat = [embedding_map(cell, COORDINATES[:2]) for cell in cells]
    grids = [map_figures.emotion_grid(flat), map_figures.speaker_grid(flat)] if len(flat) > 1 else []
    return [map_figures.map_pair(embedding_map(whole, of)) for of in (COORDINATES[:2], COORDINATES[2:])] + grids


if __name__ == "__main__":
    sys.exit(cli.run(main))
