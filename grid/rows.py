"""Which rows of the profiles hold at a time or on a day, and what to say when none does."""

from datetime import date, datetime, timedelta

from peercell.grid.errors import TimeOutsideProfilesError
from peercell.grid.model import Cell


def row_at(cell: Cell, at: datetime) -> int:
    """Return the profile row that holds at a time.

    Raises
    ------
    TimeOutsideProfilesError : no window of the cell holds it; names the windows.
    """
    try:
        return cell.timeline.row(at)
    except LookupError:
        raise _outside(cell, f"{at:%Y-%m-%dT%H:%M}") from None


def rows_of(cell: Cell, day: date) -> list[int]:
    """Return the profile rows of a day, in order; fewer than a whole day at a window's ends.

    Raises
    ------
    TimeOutsideProfilesError : no window of the cell has a step on that day.
    """
    timeline = cell.timeline
    rows = [row for row in range(timeline.steps) if timeline.time(row).date() == day]
    if not rows:
        raise _outside(cell, day.isoformat())
    return rows


def windows_text(cell: Cell) -> str:
    """Return the windows that the profiles cover, as people write them."""
    step = timedelta(seconds=cell.timeline.step_s)
    return ", ".join(
        f"{window.start:%Y-%m-%dT%H:%M} to {window.start + step * window.steps:%Y-%m-%dT%H:%M}"
        for window in cell.timeline.windows
    )


def _outside(cell: Cell, asked: str) -> TimeOutsideProfilesError:
    windows = cell.timeline.windows
    if not windows:
        return TimeOutsideProfilesError(
            f'cell "{cell.name}" has no profiles, so nothing is known of {asked}',
            "its powers are one nominal snapshot",
            f"peercell grid solve {cell.name}",
        )
    return TimeOutsideProfilesError(
        f'cell "{cell.name}" has no profiles for {asked}',
        f"they cover {windows_text(cell)}",
        f"peercell grid day {cell.name} --date {windows[0].start:%Y-%m-%d}",
    )
