"""What the benchmarks measure against: the fewest writes, the time a quota allows, CPU at an instant, growth."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks import microsoft
from benchmarks.bounds import fewest
from benchmarks.growth import exponents
from benchmarks.rig import Sample, Setting, Usage

SIZES = {
    "schools": 1,
    "users": 30,
    "school_users": 30,
    "school_classes": 2,
    "groups": [[1, 26, 1], [0, 20, 1]],
}


@pytest.mark.parametrize(
    ("model", "counted", "cost"),
    [("one", False, 2 + 1), ("one", True, 2 + 1 + 65), ("thirds", False, 9 + 7), ("thirds", True, 9 + 7 + 65)],
)
def test_fewest_writes_of_a_small_district(model: str, counted: bool, cost: int) -> None:
    bound = fewest(SIZES, Setting(cost_model=model, counted=counted))
    assert bound.requests == 1 + 30 + 30 + 2 + 2 + 2 + 1  # school, people, in the school, classes there, classes, adds
    assert bound.cost == cost
    assert bound.free == (0 if counted else 65)


def test_the_full_bucket_is_for_nothing() -> None:
    sizes = {**SIZES, "users": 5000, "school_users": 5000}
    setting = Setting(scale=10.0, counted=True)
    cost = fewest(sizes, setting).cost
    assert fewest(sizes, setting).seconds(setting) == pytest.approx((cost - 3000) / 200)
    assert fewest(SIZES, setting).seconds(setting) == 0


def test_cpu_between_two_looks() -> None:
    looks = [Sample(100.0, 2.0, 50.0), Sample(101.0, 3.0, 60.0)]
    usage = Usage(0, "", "", 2.0, 3.5, 70.0, 99.0, looks)
    assert usage.cpu_at(99.5) == pytest.approx(1.0)
    assert usage.cpu_at(100.25) == pytest.approx(2.25)
    assert usage.cpu_at(105.0) == 3.5
    assert (usage.resident_at(100.5), usage.resident_at(200.0)) == (60.0, 60.0)


def test_growth_of_a_square_is_two() -> None:
    rows = [{"students": n, "work": n * n, "same": 5} for n in (10, 1000)]
    by_name = {row["figure"]: row["10 to 1,000"] for row in exponents(rows, {"work": "w", "same": "s", "none": "n"})}
    assert by_name == {"w": pytest.approx(2.0), "s": pytest.approx(0.0), "n": None}


def test_microsofts_district_has_microsofts_size(tmp_path: Path) -> None:
    folder = microsoft.write(tmp_path / "district")
    rows = {path.stem: list(csv.DictReader(path.read_text().splitlines())) for path in folder.glob("*.csv")}
    assert len(rows["Student"]) + len(rows["Teacher"]) == 10_000
    assert (len(rows["Section"]), len(rows["StudentEnrollment"])) == (3_000, 90_000)
    pairs = {(row["Section SIS ID"], row["SIS ID"]) for row in rows["StudentEnrollment"]}
    assert len(pairs) == 90_000
    homes = {row["SIS ID"]: row["School SIS ID"] for name in ("Student", "Teacher") for row in rows[name]}
    places = {row["SIS ID"]: row["School SIS ID"] for row in rows["Section"]}
    seats = [*rows["StudentEnrollment"], *rows["TeacherRoster"]]
    assert all(homes[row["SIS ID"]] == places[row["Section SIS ID"]] for row in seats)
