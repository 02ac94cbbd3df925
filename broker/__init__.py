"""The outside world: terminal, files, and later sockets, clocks and processes.

Reading order: `cli` (the frame of every command), `output` (the answer on stdout), `commands/`.
"""
