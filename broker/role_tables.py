"""The tables of a config that set roles, and what stands in them beside the roles' own settings."""

from typing import Any

from peercell.broker.settings_table import SettingsTable

TABLES: tuple[SettingsTable[Any], ...] = ()
