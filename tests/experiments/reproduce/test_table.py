"""Words and text of the table."""

from __future__ import annotations

import math

from sslth.experiments.reproduce.table import Row, agreement, format_number, table_text


def test_words_for_where_theirs_lies() -> None:
    assert agreement(1.0, 1.0, (1.0, 1.0)) == "theirs lies within the interval"
    assert agreement(2.0, 1.0, (0.9, 1.1)) == "theirs lies outside the interval"
    assert "chance explains that" in agreement(1.2, 1.0, (0.9, 1.1), 0.05, 0.1)
    assert "more than chance" in agreement(1.2, 1.0, (0.9, 1.1), 0.04, 0.0)
    assert "4.0 standard errors" in agreement(1.2, 1.0, (0.9, 1.1), 0.03, 0.04)


def test_numbers() -> None:
    shown = [format_number(x) for x in (0.0, 2572, 77266.02, 1.993e15, 12.3456, math.inf)]
    assert shown == ["0", "2,572", "77,266", "1.993e+15", "12.35", "inf"]


def test_text_has_every_row_note_and_difference_within_the_line() -> None:
    rows = [Row(f"quantity {n}", None if n % 2 else n, n / 3, (0.0, float(n)), "word " * 60) for n in range(12)]
    text = table_text(rows, ["data " * 50])
    assert max(map(len, text.splitlines())) <= 118
    assert all(text.count(f"[{n}]") == 2 for n in range(1, 13))
    assert "What differs" in text
    assert "What differs" not in table_text(rows)
