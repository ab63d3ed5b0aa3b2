"""Say at once whether the hub has what a long run will need: one line and exit code 1 if not.

Example: python tools/check_hub.py microsoft/wavlm-base datasets/Zahra99/IEMOCAP_Audio
"""

import sys

from speechemb import cli


def main(argv: list[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("repositories", nargs="+", help="model ids, and data sets as datasets/<id>")
    args = parser.parse_args(argv)
    from speechemb import huggingface

    for name in args.repositories:
        kind = "dataset" if name.startswith("datasets/") else "model"
        with huggingface.readable(name, name.removeprefix("datasets/"), kind, "see the README on folders of your own"):
            print(f"{name}: commit {huggingface.commit(name.removeprefix('datasets/'), kind)}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
