"""The comparison with measured cycles: it reads foreign rows, counts every cell, and stays within the errors it claims."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fit_cycles import DATA, FITTED, UNSEEN, fitted, value_of
from hardware_cycles import compare, summary
from measured_cycles import BadTable, read_measurements
from wsec.compiler.target import load_target

LIMITS = {
    "wse3_gemv.csv": (0.02, 0.05),
    "wse3_gemv_chain_allreduce.csv": (0.03, 0.08),
    "wse3_gemm.csv": (0.06, 0.15),
    "wse3_decode_layer.csv": (0.03, 0.08),
    "wse2_decode_layer.csv": (0.04, 0.08),
    "wse3_prefill_layer.csv": (0.06, 0.15),
}


@pytest.mark.parametrize("file", LIMITS)
def test_predictions_stay_within_their_errors(file: str) -> None:
    """Mean and worst error of each column of a file."""
    errors = [error for (name, _), error in summary(compare(DATA)).items() if name == file]
    assert errors
    for mean, worst in errors:
        assert mean <= LIMITS[file][0]
        assert worst <= LIMITS[file][1]


def test_the_target_files_hold_what_the_fit_gives() -> None:
    """Anyone who fits again finds the overheads that the targets state."""
    measurements = read_measurements(DATA)
    for name, overheads in FITTED.items():
        rows = [row for row in measurements if row.target == name and row.file not in UNSEEN]
        target = load_target(name)
        again = fitted(target, overheads, rows)
        for key in overheads:
            assert value_of(again, key) == pytest.approx(value_of(target, key), rel=2e-3)


def test_other_rows_are_predicted_and_empty_cells_left_out(tmp_path: Path) -> None:
    """A table of other rows works like ours; every measured cell appears once."""
    (tmp_path / "wse3_gemm.csv").write_text(
        "grid_side,tile_side,matrix_side,meshgemm_cycles,summa_multicast_cycles,summa_vendor_collectives_cycles\n"
        "100,8,800,70000.0,,\n100,4,400,,30000,\n"
    )
    (tmp_path / "wse2_decode_layer.csv").write_text(
        "model,grid_side,cycles_per_layer\nLLaMA2-13B,480,14000\n"
    )
    cells = {(cell.file, cell.row, cell.column): cell for cell in compare(tmp_path)}
    assert list(cells) == [
        ("wse3_gemm.csv", 0, "meshgemm_cycles"),
        ("wse3_gemm.csv", 1, "summa_multicast_cycles"),
        ("wse2_decode_layer.csv", 0, "cycles_per_layer"),
    ]
    for cell in cells.values():
        assert cell.error == pytest.approx(cell.predicted / cell.measured - 1)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("wse3_gemv.csv", "grid_side,tile_side,matrix_side\n120,36,4320\n", "no column cycles"),
        ("wse3_gemv.csv", "grid_side,tile_side,cycles\n120,x,9\n", "data row 0: tile_side is 'x'"),
        ("wse3_gemv.csv", "grid_side,tile_side,cycles\n120,3,nan\n", "data row 0: cycles is 'nan'"),
        ("wse2_decode_layer.csv", "model,grid_side,cycles_per_layer\nGPT,9,9\n", "the model is none of"),
        ("notes.csv", "", "none of"),
    ],
)
def test_a_bad_table_is_said_with_file_and_row(tmp_path: Path, name: str, text: str, said: str) -> None:
    """No traceback for a wrong file."""
    (tmp_path / name).write_text(text)
    with pytest.raises(BadTable, match=said):
        read_measurements(tmp_path)


def test_the_script_writes_its_table_as_json(tmp_path: Path) -> None:
    """The keys that other programs read."""
    script = Path(DATA).parent / "hardware_cycles.py"
    file = tmp_path / "cycles.json"
    subprocess.run([sys.executable, str(script), "--json", str(file)], check=True, capture_output=True)
    written = json.loads(file.read_text())
    assert set(written) == {"fitted_constants", "rows"}
    assert set(written["rows"][0]) == {"file", "row", "column", "measured", "predicted", "error"}
    assert written["fitted_constants"] == {"wse3": 10, "wse2": 2}
