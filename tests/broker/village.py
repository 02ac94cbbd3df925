"""A small cell whose day is easy to foresee: roofs that feed too much at noon."""

from datetime import datetime

import numpy as np

from peercell.grid.cellfile import Profiles
from peercell.grid.model import (
    Asset,
    AssetKind,
    Branch,
    Bus,
    Cell,
    Customer,
    Level,
    Microgrid,
    Provenance,
    Source,
    Switch,
    Tap,
    Timeline,
    Transformer,
    Window,
    Zones,
)


def _line(number: int, first: str, second: str, km: float) -> Branch:
    """Return a stretch of 150 mm² aluminium cable."""
    return Branch(
        id=f"line-{number}",
        from_bus=first,
        to_bus=second,
        r_ohm=0.206 * km,
        x_ohm=0.080 * km,
        length_km=km,
        rating_a=275.0,
    )


def _household(bus: str, pv_kw: float) -> Customer:
    """Return a home, with photovoltaics where it has any."""
    home = Asset(id=f"load-{bus}", kind=AssetKind.LOAD, p_kw=-6.0, q_kvar=-2.0, p_profile="home")
    roof = Asset(id=f"pv-{bus}", kind=AssetKind.PV, p_kw=pv_kw, p_profile="sun", rating_kva=pv_kw)
    return Customer(id=f"home-{bus}", bus=bus, assets=(home, roof) if pv_kw else (home,))


def make_village() -> Cell:
    """Return two feeders behind a transformer that is too small for the roofs of one."""
    where = {
        "mv": (0.0, 1.0), "0": (0.0, 0.0),
        "1": (1.0, 0.2), "2": (2.0, 0.1), "3": (3.0, 0.6), "4": (3.0, -0.5),
        "5": (-1.0, -0.2), "6": (-2.0, 0.3),
    }  # fmt: skip
    roofs = {"1": 20.0, "2": 40.0, "3": 60.0, "4": 60.0, "5": 0.0, "6": 0.0}
    tap = Tap(position=0, ratio=0.98, shift_deg=150.0, r_ohm=0.014, x_ohm=0.036)
    return Cell(
        schema=1,
        name="village",
        title="Village",
        phases=1,
        buses=tuple(
            Bus(id=name, kv=20.0 if name == "mv" else 0.4, v_min_pu=0.965, v_max_pu=1.055, x=x, y=y)
            for name, (x, y) in where.items()
        ),
        branches=(
            _line(1, "0", "1", 0.15),
            _line(2, "1", "2", 0.15),
            _line(3, "2", "3", 0.12),
            _line(4, "2", "4", 0.12),
            _line(5, "0", "5", 0.20),
            _line(6, "5", "6", 0.20),
        ),
        transformers=(
            Transformer(
                id="trafo-0",
                hv_bus="mv",
                lv_bus="0",
                taps=(tap,),
                rated_hv_kv=20.0,
                rated_lv_kv=0.4,
                rating_kva=100.0,
            ),
        ),
        switches=(Switch(id="switch-1", bus="5", branch="line-6"),),
        sources=(Source(id="grid", bus="mv"),),
        customers=tuple(_household(bus, pv_kw) for bus, pv_kw in roofs.items()),
        provenance=Provenance(source="made for a test", licence="Apache-2.0"),
        zones=Zones(
            microgrids=(
                Microgrid(id="mg-1", level=Level.LV, buses=("1", "2", "3", "4")),
                Microgrid(id="mg-2", level=Level.LV, buses=("0", "5", "6")),
            )
        ),
        timeline=Timeline(step_s=900, windows=(Window(start=datetime(2016, 5, 28), steps=96),)),
    )


def make_profiles() -> Profiles:
    """Return a sunny day: nothing before six, all at noon; homes that cook at seven."""
    hour = np.arange(96) / 4.0
    sun = np.sin(np.pi * (hour - 6.0) / 12.0).clip(0.0) * ((hour > 6.0) & (hour < 18.0))
    home = 0.2 + 0.8 * np.exp(-(((hour - 19.0) / 1.5) ** 2))
    return {"sun": sun.astype(np.float32), "home": home.astype(np.float32)}
