"""Runs campaigns and prints their tables; benchmarks/campaign.py and the tests pass the arguments as JSON."""

import importlib
import json
import os
import sys
import time
from pathlib import Path

import harness


def run(args: dict) -> bool:
    """One campaign; true where every case ended as it should."""
    campaign = importlib.import_module(args["campaign"])
    started = time.perf_counter()
    counted = {} if args["count"] is None else {"count": args["count"]}
    cases = campaign.run(jobs=args["jobs"], seed=args["seed"], only=args["only"], **counted)
    if args["out"]:
        Path(args["out"]).write_text(json.dumps([vars(case) for case in cases], indent=1) + "\n")
    print(harness.table(cases))
    print(f"{len(cases)} cases in {(time.perf_counter() - started) / 60:.1f} minutes", flush=True)
    return not any(case.outcome in harness.BAD for case in cases)


if __name__ == "__main__":
    os.environ.update(harness.ENVIRONMENT)
    harness.warm()  # once, for the processes of all campaigns
    sys.exit(0 if all([run(args) for args in json.loads(sys.argv[1])]) else 1)
