"""What the process of the grid service loads: the cell of the grid, and the role that solves it.

Only that process imports this page, and with it the solver.
"""

from msgspec import structs

from peercell.broker.cells import load_cell
from peercell.broker.plans.cell import GridPeerSettings
from peercell.grid.service import GridService


def grid_service(settings: GridPeerSettings) -> GridService:
    """Return the grid service of a cell.

    Raises
    ------
    PeercellError : the cell is not there any more, or has no solution at the start.
    """
    loaded = load_cell(settings.folder)
    cell = structs.replace(loaded.cell, zones=settings.zones)
    return GridService(cell, loaded.profiles, settings.service)
