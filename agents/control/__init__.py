"""Section III of the paper: voltages and loadings within their limits, by the peers alone.

Reading order: `device` (what an inverter can do and what it does at a price), `paths` (how a
voltage answers to a power, from two path lists), `droop` (primary control, no messages).
"""
