"""A cell on a network of its own: each part behind a cable, which can be cut and slowed down.

Reading order: wires (namespaces and what happens to packets), bench (a cell across them).
"""
