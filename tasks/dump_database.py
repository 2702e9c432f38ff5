"""Dump Quay's database now, and check the dump by restoring it beside the database.

Quay serves meanwhile, and what is pushed from then on is not in the dump: if it has to hold
everything, stop Quay before. The dump is on the database's own host, in /var/lib/quaylab/dumps.
"""

from operations.runtime.run import Purpose, begin
from operations.services import dumps

plan = begin(Purpose.RECOVER)
dumps.refuse_unfit(plan)

dumps.made(name="Dump the database, and check the dump", plan=plan)
