"""What may be broken on purpose, when, and for whom: one plan for real processes and simulation.

Reading order: kinds (what there is), plan (what happens when), aim (whom it hits), fate (what
becomes of one message), losing (the sending end of a process).
"""
