"""Assignments are exact, whatever the costs."""

from hypothesis import given
from hypothesis import strategies as st

from app.analysis.tracking.assignment import assign

Rows = list[list[tuple[int, float]]]


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """At most five rows and columns, some pairs impossible, many costs equal."""
    columns = draw(st.integers(0, 5))
    cost = st.none() | st.integers(-6, 12) | st.floats(-6, 12)
    return [
        [
            (column, float(value))
            for column in range(columns)
            if (value := draw(cost)) is not None
        ]
        for _ in range(draw(st.integers(0, 5)))
    ]  # fmt: skip


def least(costs: Rows, alone: float, used: frozenset[int] = frozenset()) -> float:
    """The least total, by trying everything."""
    if not costs:
        return 0.0
    first, *others = costs
    tried = [alone + least(others, alone, used)]
    tried += [cost + least(others, alone, used | {column}) for column, cost in first if column not in used]
    return min(tried)


def total(costs: Rows, columns: list[int | None], alone: float) -> float:
    return sum(
        alone if column is None else dict(row)[column] for row, column in zip(costs, columns, strict=True)
    )


@given(rows(), st.sampled_from([0.0, 4.0, 9.5]))
def test_no_other_assignment_costs_less(costs: Rows, alone: float) -> None:
    columns = assign(costs, alone)
    taken = [column for column in columns if column is not None]
    assert len(taken) == len(set(taken))
    assert abs(total(costs, columns, alone) - least(costs, alone)) < 1e-9


def test_one_row_gives_way_so_that_another_finds_a_column() -> None:
    assert assign([[(0, 1.0), (1, 2.0)], [(0, 1.5)]], 5.0) == [1, 0]


def test_a_row_that_costs_more_than_none_stays_alone() -> None:
    assert assign([[(0, 6.0)], [(0, 3.0)]], 5.0) == [None, 0]


def test_of_equal_assignments_the_first_rows_take_the_first_columns() -> None:
    assert assign([[(0, 1.0), (1, 1.0)], [(0, 1.0), (1, 1.0)]], 5.0) == [0, 1]
