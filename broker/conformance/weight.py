"""How much memory hangs on a role? All that is reached from it and that it could have kept."""

import gc
import sys
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    ModuleType,
)

from msgspec import Struct

_SHARED = (
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    MemberDescriptorType,
    GetSetDescriptorType,
    MethodDescriptorType,
)


def weight(root: object) -> int:
    """Return the bytes of an object and of all that it refers to, code and types left out."""
    seen: set[int] = set()
    total = 0
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        waiting += gc.get_referents(one)
        if isinstance(one, Struct):
            waiting += [getattr(one, name) for name in one.__struct_fields__]
    return total
