"""Lines of a report, by their first words."""

from quaylab.lines import by_first_word, split_first


def test_the_rest_may_be_empty_or_have_spaces() -> None:
    assert split_first("os debian 13") == ("os", "debian 13")
    assert split_first("running") == ("running", "")


def test_the_order_of_the_report_stays() -> None:
    assert by_first_word(["rule b", "running", "rule a"]) == {"rule": ["b", "a"], "running": [""]}
