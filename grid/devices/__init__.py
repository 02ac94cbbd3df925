"""Physical devices: what they can do, and what they do by themselves, in simulated time.

Reading order: `inverter` (what P and Q it can give), `battery` (energy), `droop` (the answer to the
local voltage), `tap_changer`, `soft_open_point`. All are values and pure functions: state in, state
out, time from the caller. Powers and settings are numbers or arrays of them and broadcast. P in kW
and Q in kvar, positive = injection into the grid. Whatever is asked of a device, the answer lies
within its ratings; only not-a-number is refused.
"""
