"""A part of a cell on a machine or in a container of its own, and what it shows of the whole."""
