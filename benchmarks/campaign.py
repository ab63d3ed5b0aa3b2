"""What becomes of kills, damaged files and hostile surroundings: every case ends right, or in one line.

kills         SIGKILL before a file operation or at a random moment, then the same command again
damage        damaged and hostile files, each given to the step that reads it
surroundings  full disks, two runs at once, stale files, a missing hub, odd terminals, folders and names

Prints the cases that end otherwise and a table of all. The campaigns themselves are in tests/campaigns.

Example: python benchmarks/campaign.py kills --count 300
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CAMPAIGNS = ("kills", "damage", "surroundings")


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", choices=CAMPAIGNS)
    parser.add_argument("--count", type=int, help="number of cases (default: 300 kills, 1,200 files, all surroundings)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at the same time (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of random moments and random damage (default: 0)")
    parser.add_argument(
        "--only", default="", help="only cases of this family, or a part of its name; several with | between"
    )
    parser.add_argument("--out", type=Path, help="JSON file for all cases")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    folders = (ROOT / folder for folder in ("src", "tests/support"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, str(ROOT / "tests" / "campaigns" / "runner.py"), json.dumps([vars(args)], default=str)]
    return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
