"""The memory ledger: what a model needs on the wafers and what is there, before anything is lowered or placed."""

from wsec.compiler.ledger.fitting import Fit, FitRequest, fit
from wsec.compiler.ledger.structure import Structure, read_structure

__all__ = ["Fit", "FitRequest", "Structure", "fit", "read_structure"]
