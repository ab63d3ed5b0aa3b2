"""How damage is chosen; test_campaigns.py does some."""

import random

import damage


def test_cases_take_turns_among_the_families():
    cases = [damage.Damage(family, str(i), None, (), None) for family, n in (("a", 9), ("b", 2)) for i in range(n)]
    chosen = damage.spread(cases, 6, 0)
    assert [case.family for case in chosen] == list("aaaabb") and len({case.name for case in chosen[:4]}) == 4


def test_damage_changes_every_file():
    data = bytes(range(256)) * 4
    changed = [change(data) for _, change in damage.of_bytes(random.Random(0))]
    assert len(changed) > 25 and all(one != data for one in changed)
