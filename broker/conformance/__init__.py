"""Does a role keep its side of the contract with a host? What `peercell agent check` runs.

Reading order: `world` (roles on a virtual clock, and a network that does as it is told), `subject`
(the peers that are checked, and what they come to), `schedules` (faults drawn from a seed, and the
least of them that still does harm), `properties` (what must hold), `worker` (the process in which
roles are watched) and `check` (what a command asks for).
"""
