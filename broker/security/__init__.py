"""Who belongs to a cell, how a process proves to be one of its peers, and what each may say.

Reading order: identity (keys and their files), guard (what a host knows of the others at its door),
zap (who is let in), caller (whom a link speaks for), matrix (what a role may say), signing.
"""
