"""A run that used unlabelled clips of the test speaker is compared with nothing but its like."""

import pytest
from test_significance import predictions, stamp

from speechemb.errors import InputError
from speechemb.evaluation import late_fusion, leakage_audit, literature, scores, significance
from speechemb.splits import TRANSDUCTIVE as WORDS


def test_such_a_run_is_compared_with_nothing_but_its_like():
    how = [{}, {"normalise": "speaker"}, {"normalise": "speaker", "protocol": "random"}, {"protocol": "random"}]
    stamps = [stamp(str(i), **{"encoder": {"tag": "e"}, **one}) for i, one in enumerate(how)]
    runs = [one for i, of in enumerate(stamps) for one in scores.evaluated(predictions(0.5, i), of)]
    assert significance.compare(runs[:2]) == []
    audit, alone = leakage_audit.audit_table([one.result for one in runs])
    assert audit.set_index("run")["baseline"].to_dict() == {"0": "0", "3": "0", "1": "1", "2": "1"} and not alone
    words = [leakage_audit.protocol_words(row) for row in audit.to_dict("records")]
    assert sum(WORDS in one for one in words) == 2
    assert literature.why_not_comparable(runs[1].result, {"cv": "speaker"}) == f"our run is {WORDS}"
    with pytest.raises(InputError, match="0 and 1 differ in normalise"):
        late_fusion.mean_of([(predictions(0.5, i), stamps[i]) for i in (0, 1)], ["0", "1"])
