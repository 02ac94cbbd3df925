"""The outside world: terminal, files, sockets, clocks and processes.

Reading order: `cli`, `command` and `output` (the frame of every command), `commands/`; `config` and
`cell_plan` (from one TOML file to peers); `wire`, `reactor` and `journal` (one process),
`supervisor` and `launch` (many); `live`, `picture` and `demo` (what a running cell looks like).
"""
