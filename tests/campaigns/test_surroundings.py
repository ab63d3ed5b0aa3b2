"""The list of surroundings; test_campaigns.py takes some."""

import surroundings


def test_every_case_has_a_name_of_its_own():
    names = [(family, name) for family, name, _ in surroundings.cases()]
    assert len(names) > 100 and len(set(names)) == len(names)
