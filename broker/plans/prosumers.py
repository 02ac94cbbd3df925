"""What a prosumer owns, and how much its assets draw and feed in, interval by interval."""

from msgspec import structs

from peercell.agents.trading.portfolio import ProsumerAsset
from peercell.broker.cells import LoadedCell
from peercell.broker.config import Config
from peercell.broker.configuration.role_tables import AssetTerms, ProsumerTerms
from peercell.broker.plans.market_time import interval_rows
from peercell.grid.admittance import Real
from peercell.grid.model import Asset, AssetKind, Customer
from peercell.grid.profiles import power_at


class Schedule:
    """The power of every asset of a cell in the intervals of its market.

    Parameters
    ----------
    config : says which intervals there are.
    loaded : the cell and its profiles.

    Raises
    ------
    ConfigError : the profiles do not hold every interval, or their steps do not fit into it.
    """

    def __init__(self, config: Config, loaded: LoadedCell) -> None:
        self._column = {asset.id: k for k, asset in enumerate(loaded.cell.assets)}
        rows = interval_rows(config, loaded.cell)
        p_kw, q_kvar = power_at(loaded.cell, loaded.profiles, rows.ravel().tolist())
        self._p_kw = p_kw.reshape(*rows.shape, -1).mean(axis=1)
        self._q_kvar = q_kvar.reshape(*rows.shape, -1).mean(axis=1)

    def p_kw(self, asset: str) -> tuple[float, ...]:
        """Return P of an asset, kW > 0 into the grid: a value an interval, or one for all."""
        return _series(self._p_kw[:, self._column[asset]])

    def q_kvar(self, asset: str) -> tuple[float, ...]:
        """Return Q of an asset, kvar > 0 into the grid: a value an interval, or one for all."""
        return _series(self._q_kvar[:, self._column[asset]])


def traded(customer: Customer) -> tuple[Asset, ...]:
    """Return the assets of a customer that the market deals with: all but shunts."""
    return tuple(asset for asset in customer.assets if asset.kind is not AssetKind.SHUNT)


def units(
    customer: Customer, terms: ProsumerTerms, schedule: Schedule
) -> tuple[ProsumerAsset, ...]:
    """Return what a customer brings to the market: its assets, then its micro-generators.

    A generator feeds in where the first asset is connected.
    """
    assets = traded(customer)
    owned = (
        ProsumerAsset(
            asset=asset.id,
            p_kw=schedule.p_kw(asset.id),
            q_kvar=schedule.q_kvar(asset.id),
            **_terms_of(terms, asset.kind),
        )
        for asset in assets
    )
    made = (
        ProsumerAsset(
            asset=assets[0].id,
            p_kw=(plant.power_kw,),
            price_eur_per_kwh=plant.price_eur_per_kwh,
            slope_eur_per_kwh2=plant.slope_eur_per_kwh2,
        )
        for plant in terms.generators
    )
    return (*owned, *made)


def _terms_of(terms: ProsumerTerms, kind: AssetKind) -> dict[str, float]:
    """Return what the prosumer wants for its assets of a kind."""
    chosen: AssetTerms = getattr(terms, kind.value)
    return structs.asdict(chosen)


def _series(values: Real) -> tuple[float, ...]:
    """Return the values of an asset, one where all are the same."""
    listed = tuple(values.tolist())
    return listed[:1] if len(set(listed)) == 1 else listed
