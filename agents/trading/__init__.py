"""Section II of the paper: microgrid traders find prices and trades by talking to neighbours only.

Reading order: `blocks` (what energy costs), `links` (what carrying costs), `curves` (what a cell
offers at a price), `response` (the best answer), `exchange` and `subgradient` (who tells whom),
`certificate` (how wrong a plan is at most), `closing` and `settling` (how trading ends),
`trader` (the role), `optimum` (the same problem solved at one desk, for comparison).
The method is told in docs/explanation/trading.md.
"""
