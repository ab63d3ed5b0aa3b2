"""What step 4 found of targets other than emotion: the probes' table and the runs on numbers, written and said."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from speechemb.evaluation import probes as probe_tables
from speechemb.evaluation import regression as regression_tables
from speechemb.evaluation.regression import EvaluatedRegression
from speechemb.evaluation.scores import Evaluated
from speechemb.reports import probes, regression
from speechemb.reports.outputs import Output


@dataclass(frozen=True)
class Others:
    """Tables of `evaluation.probes` and `evaluation.regression`; empty where there are no such runs."""

    probes: pd.DataFrame
    numeric: list[EvaluatedRegression]
    ccc: pd.DataFrame
    pairs: pd.DataFrame

    def write(self, out: Output, stamp: dict[str, Any]) -> None:
        """The files of both."""
        probes.write(out, self.probes, stamp)
        regression.write(out, self.numeric, self.ccc, self.pairs, stamp)

    def text(self) -> str:
        """Both tables for the terminal."""
        return "\n".join(filter(None, [probes.text(self.probes), regression.text(self.ccc)]))

    def sections(self) -> dict[str, Any]:
        """What the report shows of them."""
        return {
            "probes": probe_tables.tables_of_encoders(self.probes),
            "regressions": regression.sections(self.numeric, self.ccc),
        }


def of(probed: Iterable[tuple], numbers: Iterable[tuple], runs: list[Evaluated]) -> Others:
    """What the predictions of probes and of numbers say; `runs`: the evaluated ones on emotions."""
    numeric = [regression_tables.evaluated(*one) for one in numbers]
    return Others(probe_tables.table(probed, runs), numeric, *regression_tables.tables(numeric))
