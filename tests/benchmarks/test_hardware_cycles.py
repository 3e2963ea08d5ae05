"""The comparison with measured cycles: it reads foreign rows, counts every cell, and stays within the errors it claims."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fit_cycles import DATA, FITTED, UNSEEN, fitted, value_of
from hardware_cycles import compare, constants_in_use, summary
from measured_cycles import missing_tables, read_measurements
from wsec.compiler.errors import WsecError
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
    errors = [error for (name, _), error in summary(compare(read_measurements(DATA))).items() if name == file]
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
    cells = {(cell.file, cell.row, cell.column): cell for cell in compare(read_measurements(tmp_path))}
    assert list(cells) == [
        ("wse3_gemm.csv", 0, "meshgemm_cycles"),
        ("wse3_gemm.csv", 1, "summa_multicast_cycles"),
        ("wse2_decode_layer.csv", 0, "cycles_per_layer"),
    ]
    for cell in cells.values():
        assert cell.error == pytest.approx(cell.predicted / cell.measured - 1)


@pytest.mark.parametrize(
    ("name", "text", "expected", "found"),
    [
        ("wse3_gemv.csv", "grid_side,tile_side\n120,36\n", "a column cycles", "columns grid_side, tile_side"),
        ("wse3_gemv.csv", "grid_side,tile_sid,cycles\n120,36,9\n", "a cell tile_side", "none"),
        ("wse3_gemv.csv", "grid_side,tile_side,cycles\n120,x,9\n", "a number above 0 for tile_side", "'x'"),
        ("wse3_gemv.csv", "grid_side,tile_side,cycles\n120,3,nan\n", "a number above 0 for cycles", "'nan'"),
        ("wse3_gemv.csv", "grid_side,tile_side,cycles\n120,3,-9\n", "a number above 0 for cycles", "'-9'"),
        ("wse3_gemv.csv", "grid_side,tile_side,cycles\n1.5,3,9\n", "a whole number for grid_side", "'1.5'"),
        ("wse3_gemv.csv", "grid_side,tile_side,cycles\n120,3,9,7\n", "3 cells", "4"),
        ("wse3_gemv.csv", "", "a column cycles", "columns none"),
        ("wse3_gemv.csv", "grid_side,tile_side,cycles\n", "at least one row with a measured cell", "0 rows"),
        ("wse2_decode_layer.csv", "model,grid_side,cycles_per_layer\nGPT,9,9\n", "or a model of", "'GPT'"),
        ("notes.csv", "", "a folder with one of", "none of them"),
    ],
    ids=lambda value: None if "\n" in str(value) else str(value),
)
def test_a_bad_table_is_said_with_file_and_row(
    tmp_path: Path, name: str, text: str, expected: str, found: str
) -> None:
    """No traceback for a wrong file, and no file that is passed over in silence."""
    (tmp_path / name).write_text(text)
    with pytest.raises(WsecError, match="a table of measured cycles cannot be used") as caught:
        read_measurements(tmp_path)
    assert caught.value.code == "WSEC598"
    assert str(tmp_path) in caught.value.where
    assert expected in caught.value.expected
    assert found in caught.value.found


def test_constants_in_use_are_those_that_move_predictions(tmp_path: Path) -> None:
    """Those of another machine count where predictions read them; a table that is not there needs none of its own."""
    used = constants_in_use(read_measurements(DATA))
    assert len(used["wse3"]) <= 16
    assert len(used["wse2"]) <= 10
    assert {"collective_start_cycles", "step_cycles", "issue_cycles"} <= set(used["wse2"])
    assert "library_step_cycles" not in used["wse2"]
    (tmp_path / "wse3_gemv.csv").write_text("grid_side,tile_side,cycles\n120,36,1900\n")
    rows = read_measurements(tmp_path)
    assert constants_in_use(rows) == {
        "wse3": ("issue_cycles", "wide_step_cycles", "collective_start_cycles"),
        "wse2": (),
    }
    assert "wse3_gemm.csv" in missing_tables(tmp_path)


def test_the_script_says_what_is_wrong(tmp_path: Path) -> None:
    """A folder without tables, and a JSON file that cannot be written, end with status 2 and a message alone."""
    script = [sys.executable, str(Path(DATA).parent / "hardware_cycles.py")]
    for arguments, said in (
        (["--data", str(tmp_path)], "error[WSEC598]: "),
        (["--json", str(tmp_path / "none" / "x.json")], "error: "),
    ):
        found = subprocess.run([*script, *arguments], check=False, capture_output=True, text=True)
        assert found.returncode == 2
        assert found.stderr.startswith(said)


def test_the_script_writes_its_table_as_json(tmp_path: Path) -> None:
    """The keys that other programs read."""
    script = Path(DATA).parent / "hardware_cycles.py"
    file = tmp_path / "cycles.json"
    subprocess.run([sys.executable, str(script), "--json", str(file)], check=True, capture_output=True)
    written = json.loads(file.read_text())
    assert set(written) == {"fitted_constants", "rows"}
    assert set(written["rows"][0]) == {"file", "row", "column", "measured", "predicted", "error"}
    assert written["fitted_constants"] == {"wse3": 11, "wse2": 4}
