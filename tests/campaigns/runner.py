"""Runs one campaign and prints its table, for benchmarks/campaign.py, which passes its arguments as JSON."""

import importlib
import json
import os
import sys
import time
from pathlib import Path

import harness


def main(args: dict) -> int:
    os.environ.update(harness.ENVIRONMENT)
    campaign = importlib.import_module(args["campaign"])
    started = time.perf_counter()
    counted = {} if args["count"] is None else {"count": args["count"]}
    cases = campaign.run(jobs=args["jobs"], seed=args["seed"], only=args["only"], **counted)
    if args["out"]:
        Path(args["out"]).write_text(json.dumps([vars(case) for case in cases], indent=1) + "\n")
    print(harness.table(cases))
    print(f"{len(cases)} cases in {(time.perf_counter() - started) / 60:.1f} minutes")
    return 1 if any(case.outcome in harness.BAD for case in cases) else 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
