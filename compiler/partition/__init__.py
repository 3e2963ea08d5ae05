"""Which operators run on the wafer and which on the host, with as few tensors between the two as possible."""

from __future__ import annotations

from wsec.compiler.partition.annotation import partition_model
from wsec.compiler.partition.host import check_no_host, host_operator_notes, host_operators_of, plan_value

__all__ = ["check_no_host", "host_operator_notes", "host_operators_of", "partition_model", "plan_value"]
