"""Pure protocol logic: events in, actions out.

Nothing here knows a clock, a socket, a file or a process; `broker` gives it time and carries what
it says. Reading order: `errors` (the one error a user may see).
"""
