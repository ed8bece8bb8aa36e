"""
A claim, checked
================

What ``sslth check`` does for one statement of a paper: exact numbers where they can be had, draws with intervals
where not, and a verdict that follows from them.
"""

from sslth.experiments.check import check
from sslth.experiments.check_table import print_check
from sslth.experiments.claim_figures import draw_claim

# %%
# The product lemma, number 3 of the table; ``sslth check --claim 3`` prints the same.
report = check("quick", claims=[3])
print_check(report)
(row,) = report.rows
assert row.findings is not None, row.error

# %%
# What the numbers do not show is part of the findings.
print(row.findings.note)
figure = draw_claim(row.findings.panels, f"claim {row.claim.number}: {row.claim.name}")
