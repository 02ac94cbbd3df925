"""Compile: any pandapower network, and any SimBench code, into a cell with its profiles.

Read in this order: `options` (what to ask, what comes out), `sources`, `prepare`, `matrices`,
`elements`, `assets`, `profile_tables`, `agreement`. It is the only importer of pandapower and
SimBench; both are imported when a network is compiled, never before.
"""

import shlex
from collections.abc import Sequence
from dataclasses import replace

from msgspec import structs

from peercell.grid.cellfile import Profiles, decode_cell, encode_cell
from peercell.grid.check import Remark, check_cell, remarks
from peercell.grid.compile.agreement import DIFFERENCE_PU_MAX, agreement
from peercell.grid.compile.assets import customers
from peercell.grid.compile.csv_profiles import read_file, with_profiles
from peercell.grid.compile.elements import elements, is_simbench
from peercell.grid.compile.libraries import pandapower
from peercell.grid.compile.options import Compiled, CompileOptions, Read, Say, Span
from peercell.grid.compile.prepare import phases, prepare
from peercell.grid.compile.profile_tables import BATTERY, ProfileTables, profile_tables
from peercell.grid.compile.recipes import Recipe, recipe
from peercell.grid.compile.sources import SIMBENCH_LICENCE, Opened, open_network
from peercell.grid.compile.standard import assign_standard_profiles
from peercell.grid.errors import CompileError
from peercell.grid.model import SCHEMA, Cell, Provenance
from peercell.grid.partition import partition

__all__ = ["compile_network"]

_RECIPE = "recipe:"
_BATTERY_NOTE = (
    "SimBench records PV and battery of a home as one; here the battery follows what is left "
    "beside the PV profile, so that both add up to the record; an agent that commands the battery "
    "replaces that operation"
)
_BAND_NOTE = (
    "voltage bands up to 60 kV are 0.965 to 1.055 pu as in SimBench's study cases, where the bus "
    "table has a wider one"
)


def compile_network(
    source: str, options: CompileOptions, read: Read, say: Say = lambda _: None
) -> Compiled:
    """Return the cell that a network becomes, checked against pandapower's own power flow.

    Parameters
    ----------
    source : `net.json`, `net.xlsx`, `pandapower:case33bw`, `simbench:1-LV-rural1--2-sw` (both
        prefixes may be left out), or `recipe:rural1` for a shipped cell.
    options : see `CompileOptions`; a recipe takes a name and a title, the rest is its own.
    read : returns the bytes of a file by its name; may raise OSError.
    say : told what takes long.

    Raises
    ------
    CompileError : the source cannot be opened, holds what a cell cannot, or the cell does not solve
        to what pandapower finds.
    MissingExtraError : pandapower, SimBench or openpyxl is not installed.
    UnknownElementError : a profile of the user's own names an asset that is not there.
    """
    made = _recipe(source, options)
    options = made.options
    opened = open_network(made.source, read, say)
    if made.change:
        made.change(opened.net)
    notes = [*made.notes, *prepare(opened.net, options)]
    own = read_file(options.csv_profiles, read) if options.csv_profiles else None
    opened, more = _with_profiles(opened, options, say)
    profiles = profile_tables(opened.profiles)
    say("converting the network")
    cell = _bare_cell(opened, options, profiles)
    say("checking the cell against pandapower's power flow")
    agreed = agreement(cell, opened.net, profiles.arrays if profiles else ())
    cell, arrays, warnings = _with_timeline(cell, profiles, own, options.windows)
    provenance = Provenance(
        source=opened.source,
        licence=opened.licence,
        command=_command(source, cell.name, options),
        notes=(
            *notes,
            *more,
            *cell.provenance.notes,
            f"checked against pandapower {pandapower().__version__}: complex voltages "
            f"agree within {DIFFERENCE_PU_MAX:g} pu, {agreed.point}",
        ),
    )
    cell = structs.replace(cell, zones=partition(cell), provenance=provenance)
    check_cell(decode_cell(encode_cell(cell), cell.name))
    return Compiled(cell, arrays, (*warnings, *remarks(cell)), agreed)


def _recipe(source: str, options: CompileOptions) -> Recipe:
    """Return the recipe that a source names, or one that only holds source and options."""
    if not source.startswith(_RECIPE):
        return Recipe(source, options)
    made = recipe(source.removeprefix(_RECIPE))
    if options != CompileOptions(name=options.name, title=options.title):
        raise CompileError(
            f"{source} has its own options",
            "a recipe takes another name and title, nothing else",
            f"peercell grid compile {made.source} with the options that you want",
        )
    name, title = options.name or made.options.name, options.title or made.options.title
    return replace(made, options=replace(made.options, name=name, title=title))


def _with_profiles(
    opened: Opened, options: CompileOptions, say: Say
) -> tuple[Opened, tuple[str, ...]]:
    """Return the network with the profile tables that the options ask for, and notes about them."""
    if options.csv_profiles and options.standard_profiles:
        raise CompileError(
            "a cell takes its profiles from one place",
            "both --profiles and --standard-profiles are given",
        )
    if options.csv_profiles:
        return replace(opened, profiles={}), ()
    if not options.standard_profiles:
        return opened, ()
    if opened.profiles:
        raise CompileError(
            f"{opened.name} has profiles of its own",
            "standard ones are for networks without",
            "leave out --standard-profiles",
        )
    say("reading SimBench's profiles")
    tables, note = assign_standard_profiles(opened.net)
    licence = f"{opened.licence}; profiles: {SIMBENCH_LICENCE}"
    return replace(opened, profiles=tables, licence=licence), (note,)


def _bare_cell(opened: Opened, options: CompileOptions, profiles: ProfileTables | None) -> Cell:
    """Return the cell without timeline and zones; its notes are those of the conversion."""
    wires = elements(opened.net, phases(opened.net))
    people = customers(opened.net, profiles.arrays if profiles else ())
    notes = list(wires.notes)
    if any(asset.p_profile.endswith(BATTERY) for one in people for asset in one.assets):
        notes.append(_BATTERY_NOTE)
    if is_simbench(opened.net):
        notes.append(_BAND_NOTE)
    return Cell(
        schema=SCHEMA,
        name=options.name or opened.name,
        title=options.title or opened.name,
        phases=phases(opened.net),
        buses=wires.buses,
        branches=wires.branches,
        transformers=wires.transformers,
        switches=wires.switches,
        sources=wires.sources,
        customers=people,
        provenance=Provenance(source=opened.source, licence=opened.licence, notes=tuple(notes)),
    )


def _with_timeline(
    cell: Cell,
    profiles: ProfileTables | None,
    own: ProfileTables | None,
    spans: Sequence[Span],
) -> tuple[Cell, Profiles, list[Remark]]:
    """Return the cell with a timeline, its profiles, and what is odd about the user's own."""
    if own is not None:
        return with_profiles(cell, own, spans)
    if profiles is None:
        if spans:
            raise CompileError(
                f"there are no profiles for the window {spans[0]}",
                "the network has none",
                "add --standard-profiles, or --profiles FILE.csv",
            )
        return cell, {}, []
    names = {name for asset in cell.assets for name in (asset.p_profile, asset.q_profile)} - {""}
    timeline, arrays = profiles.cut(spans, names)
    return structs.replace(cell, timeline=timeline), arrays, []


def _command(source: str, name: str, options: CompileOptions) -> str:
    """Return the command that compiles a source again."""
    parts = ["peercell", "grid", "compile", source, "-o", name]
    if not source.startswith(_RECIPE):
        parts += ["--name", options.name] * bool(options.name)
        parts += ["--title", options.title] * bool(options.title)
        parts += ["--pv-scale", f"{options.pv_scale:g}"] * (options.pv_scale != 1.0)
        for span in options.windows:
            parts += ["--window", str(span)]
        parts += ["--generators-as-injections"] * options.generators_as_injections
        parts += ["--standard-profiles"] * options.standard_profiles
        parts += ["--profiles", options.csv_profiles] * bool(options.csv_profiles)
    return shlex.join(parts)
