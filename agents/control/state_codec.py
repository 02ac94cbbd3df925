"""How a member's state becomes few bytes: what is zero is left out, the rest has seven digits."""

import math
import struct

from peercell.agents.control.voltage_messages import Answer, Levels, Loading, State

_NUMBER = struct.Struct("<f")
_LARGEST = 1e12
ANSWERS_MAX = 100
# Rows before those of the answers.
_HEAD = 4


def pack(state: State) -> bytes:
    """Return a state as bytes; numbers lose what a 32-bit float cannot hold."""
    parts = [_pack_row((state.v_pu, state.off_kw, state.off_kvar))]
    loading = state.loading
    parts.append(b"" if loading is None else _pack_row((loading.excess, loading.per_kw)))
    parts.append(b"" if state.own is None else _pack_row(state.own))
    levels = state.levels
    told = () if levels is None else (levels.price_kw, levels.price_kvar, levels.multiplier)
    parts.append(_pack_row(told) if told else b"")
    parts += [_pack_row((a.along, a.edge, a.reactive, a.gap)) for a in state.answers]
    return b"".join(bytes((len(part),)) + part for part in parts)


def unpack(told: bytes) -> State | None:
    """Return the state in some bytes; None where they hold none, or a number that is none."""
    rows = _rows(told)
    if rows is None or len(rows) < _HEAD or len(rows) - _HEAD > ANSWERS_MAX:
        return None
    seen, watched, own, levels, *answers = rows
    head = (len(seen), len(watched) or 2, len(own) or 3, len(levels) or 3)
    if head != (3, 2, 3, 3) or any(len(row) != 4 for row in answers):
        return None
    told_answers = tuple(Answer(*row) for row in answers)
    if any(a.along < 0.0 or a.reactive < 0.0 for a in told_answers) or min(own, default=0.0) < 0.0:
        return None
    return State(
        v_pu=seen[0],
        answers=told_answers,
        off_kw=seen[1],
        off_kvar=seen[2],
        loading=Loading(*watched) if watched else None,
        own=(own[0], own[1], own[2]) if own else None,
        levels=Levels(*levels) if levels else None,
    )


def _pack_row(numbers: tuple[float, ...]) -> bytes:
    """Return how many numbers there are, which are not 0, and these."""
    mask = sum(1 << k for k, number in enumerate(numbers) if number)
    held = b"".join(_NUMBER.pack(min(max(n, -_LARGEST), _LARGEST)) for n in numbers if n)
    return bytes((len(numbers) << 4 | mask,)) + held


def _rows(told: bytes) -> list[list[float]] | None:
    rows: list[list[float]] = []
    at = 0
    while at < len(told):
        size = told[at]
        row = _row(told[at + 1 : at + 1 + size]) if at + 1 + size <= len(told) else None
        if row is None:
            return None
        rows.append(row)
        at += 1 + size
    return rows


def _row(part: bytes) -> list[float] | None:
    if not part:
        return []
    count, mask = part[0] >> 4, part[0] & 15
    if count > 4 or mask >> count or len(part) != 1 + 4 * mask.bit_count():
        return None
    held = iter(_NUMBER.iter_unpack(part[1:]))
    row = [next(held)[0] if mask >> k & 1 else 0.0 for k in range(count)]
    return row if all(math.isfinite(n) and abs(n) <= 2 * _LARGEST for n in row) else None
