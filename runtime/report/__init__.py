"""The report: a plan as one page that a browser shows, a picture for papers, and what notebooks display.

Reads plan and estimate only. The page holds all that it needs, the plotting library included, and asks no network.
"""

from __future__ import annotations

from wsec.runtime.report.writing import REPORT_FILE, write_failure_page, write_page, write_picture

__all__ = ["REPORT_FILE", "write_failure_page", "write_page", "write_picture"]
