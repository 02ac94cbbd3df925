"""Which of a role's settings may a user choose? Those that the plan of the cell does not know.

A role says what it must be told in a Struct of its own. Some of that follows from the grid and the
rest of the config (its name, its neighbours, its profile); what is left is a table of the config.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import NODEFAULT, Struct, defstruct, structs

from peercell.broker.configuration.field_texts import docstring, field_texts, summary
from peercell.broker.configuration.toml_file import Keys, TomlFile


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every table of a config: frozen, unknown keys refused."""


S = TypeVar("S", bound=Struct)
T = TypeVar("T", bound=Section)


@dataclass(frozen=True)
class SettingsTable(Generic[T]):
    """A table of the config that becomes settings of a role; every key may be left out.

    Parameters
    ----------
    key : of the table in the file
    settings : Structs of the role whose fields stand in the table
    derived : fields of them that do not, because the plan fills them in
    terms : what stands in the table beside them; the plan makes derived fields of it
    defaults : of fields that the role leaves open, or that are other in a cell than by themselves
    """

    key: str
    settings: tuple[type[Struct], ...]
    derived: frozenset[str]
    terms: type[T]
    defaults: Mapping[str, object] = field(default_factory=dict)

    @cached_property
    def kind(self) -> type[T]:
        """The table as a Struct."""
        made = defstruct(
            self.key.title().replace("_", ""),
            [(info.name, info.type, self._default(info)) for _, info in self._chosen()],
            bases=(self.terms,),
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
        )
        texts = {info.name: field_texts(kind).get(info.name, "") for kind, info in self._chosen()}
        for part in reversed(self.terms.__mro__):
            texts |= field_texts(part) if issubclass(part, Section) else {}
        made.__doc__ = docstring(summary(self.terms), texts)
        return cast("type[T]", made)

    def read(self, file: TomlFile, *layers: tuple[Keys, Mapping[str, object]]) -> T:
        """Return the table that lies on top of the defaults: what a later layer says, holds.

        Parameters
        ----------
        file : that the layers stand in.
        layers : place and content of each; a table within is laid over, not replaced.

        Raises
        ------
        ConfigError : a layer that is no such table.
        """
        merged: Mapping[str, Any] = msgspec.to_builtins(self.kind())
        for place, layer in layers:
            file.convert(layer, self.kind, place)
            merged = _laid_over(merged, layer)
        return msgspec.convert(merged, self.kind)

    def settle(self, kind: type[S], table: T, derived: Mapping[str, object]) -> S:
        """Return settings of the role: what the plan derived, and the rest from the table.

        Raises
        ------
        ValidationError : the settings refuse what they are told.
        """
        chosen = {
            name: getattr(table, name)
            for name in kind.__struct_fields__
            if name not in self.derived
        }
        return msgspec.convert({**chosen, **derived}, kind)

    def _chosen(self) -> Iterator[tuple[type[Struct], structs.FieldInfo]]:
        """Yield the fields that stand in the table, with the Struct that has them."""
        for kind in self.settings:
            for info in structs.fields(kind):
                if info.name not in self.derived:
                    yield kind, info

    def _default(self, info: structs.FieldInfo) -> object:
        if info.default_factory is not NODEFAULT:
            return msgspec.field(default_factory=info.default_factory)
        return self.defaults.get(info.name, info.default)


def _laid_over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables in which the upper one says what it says, and the lower one the rest."""
    both = {
        key: _laid_over(lower[key], value) if isinstance(value, Mapping) else value
        for key, value in upper.items()
    }
    return {**lower, **both}
