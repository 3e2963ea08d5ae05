"""The cores behind the grid, where the wafer has dead ones: whole rows of living cores, each used once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.findings import PLACEMENT, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import DefectMap, Plan


def check_defects(plan: Plan) -> list[Finding]:
    """Findings on the map of dead cores; none where a plan has no map."""
    if plan.defects is None:
        return []
    return [*_check_rows(plan.defects), *_check_grid(plan, plan.defects)]


def _check_rows(defects: DefectMap) -> Iterator[Finding]:
    dead: dict[int, set[int]] = {}
    for column, row in defects.dead:
        dead.setdefault(row, set()).add(column)
    if any(after <= before for before, after in zip(defects.rows, defects.rows[1:], strict=False)):
        yield _finding("rows are used once, in order", "rows", "rising numbers", str(defects.rows))
    for row, skipped in zip(defects.rows, defects.skipped, strict=False):
        missed = sorted(dead.get(row, set()) - set(skipped))
        if missed:
            found = f"columns {missed[:10]} are dead and used"
            yield _finding("no dead core is used", f"row {row}", "living cores", found)
        if not 0 <= row < defects.height or any(not 0 <= column < defects.width for column in skipped):
            expected = f"inside {defects.width} x {defects.height} cores"
            yield _finding("cores lie on the wafer", f"row {row}", expected, f"skips {skipped[:10]}")


def _check_grid(plan: Plan, defects: DefectMap) -> Iterator[Finding]:
    left = {defects.width - len(set(skipped)) for skipped in defects.skipped}
    if len(defects.skipped) != len(defects.rows) or len(left) != 1:
        found = f"{sorted(left)} columns, {len(defects.skipped)} of {len(defects.rows)} rows"
        yield _finding("all rows have equally many cores", "rows", "one number of columns", found)
        return
    columns = left.pop()
    if plan.region_width > columns or plan.region_height > len(defects.rows):
        expected = f"at most {columns} x {len(defects.rows)} cores"
        found = f"{plan.region_width} x {plan.region_height}"
        yield _finding("the region lies on living cores", "region", expected, found)


def _finding(rule: str, where: str, expected: str, found: str) -> Finding:
    return Finding(PLACEMENT, rule, f"defects, {where}", expected, found)
