"""The C library blst, as it is bundled in the wheel of ckzg: `BLST`, with the functions that `bls12_381` calls.

The wheels of ckzg 2.1 (CPython 3.11 to 3.14; Linux on x86_64 and aarch64, macOS) export all of blst's public functions
beside their own, built for any processor: blst looks at run time what it can do. They are called directly, through
ctypes. Bindings of blst on the package index leave out what costs
most to lack: sums of multiples, short scalars, many pairings in one loop, the subgroup check on its own. Measured on
one machine, in µs: 22 multiples in G1 and their sum 1,100 (pyblst 2,900, py_arkworks 2,100), a point of G1 decoded 18
without and 74 with the subgroup check (pyblst 90), a Miller loop 204 among many (pyblst 380).

Each function is one of blst's `bindings/blst.h`, under its name there without `blst_`. blst trusts its caller: a
buffer that is too short is read past its end. So only `bls12_381` calls it, and checks lengths first. The interpreter
lock is held during a call; the longest takes about 15 ms (65 pairings).
"""

import ctypes
import importlib.util
from typing import Any

_address, _bytes, _number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t

#: what follows p1_ or p2_ in the name → types of the arguments; what is written comes first, as in C
_OF_A_GROUP: dict[str, tuple[Any, ...]] = {
    "uncompress": (_address, _bytes),
    "affine_compress": (_address, _bytes),
    "from_affine": (_address, _bytes),
    "to_affine": (_address, _address),
    "add_or_double_affine": (_address, _address, _bytes),
    "mult": (_address, _address, _bytes, _number),
    "cneg": (_address, _number),
}
#: the rest: types of the result, then of the arguments
_OTHERS: dict[str, tuple[Any, ...]] = {
    "p1_affine_in_g1": (ctypes.c_bool, _bytes),
    "p2_affine_in_g2": (ctypes.c_bool, _bytes),
    "hash_to_g1": (None, _address, _bytes, _number, _bytes, _number, _bytes, _number),
    "hash_to_g2": (None, _address, _bytes, _number, _bytes, _number, _bytes, _number),
    "p1s_mult_pippenger": (None, _address, _address, _number, _address, _number, _address),
    "p2s_mult_pippenger": (None, _address, _address, _number, _address, _number, _address),
    "p1s_mult_pippenger_scratch_sizeof": (_number, _number),
    "p2s_mult_pippenger_scratch_sizeof": (_number, _number),
    "p1s_mult_wbits_precompute": (None, _address, _number, _address, _number),
    "p1s_mult_wbits": (None, _address, _address, _number, _number, _address, _number, _address),
    "p2s_mult_wbits_precompute": (None, _address, _number, _address, _number),
    "p2s_mult_wbits": (None, _address, _address, _number, _number, _address, _number, _address),
    "miller_loop_n": (None, _address, _address, _address, _number),
    "final_exp": (None, _address, _address),
    "fp12_is_one": (ctypes.c_bool, _address),
}


def load(path: str) -> dict[str, Any]:
    """The functions of the library at `path`, by name. ImportError if one is missing there."""
    library = ctypes.PyDLL(path)
    signatures = dict(_OTHERS)
    for group in ("p1", "p2"):
        for name, arguments in _OF_A_GROUP.items():
            signatures[f"{group}_{name}"] = (ctypes.c_int if name == "uncompress" else None, *arguments)
    functions = {}
    for name, signature in signatures.items():
        try:
            function = getattr(library, f"blst_{name}")
        except AttributeError:
            raise ImportError(f"{path} does not export blst_{name}: install another version of ckzg") from None
        function.restype, function.argtypes = signature[0], signature[1:]
        functions[name] = function
    return functions


def library_path() -> str:
    """Where ckzg's extension module is, which is this library. ImportError if it is not installed."""
    spec = importlib.util.find_spec("ckzg")
    if spec is None or spec.origin is None:
        raise ImportError("the package ckzg is not installed: it brings the library blst")
    return spec.origin


BLST = load(library_path())
