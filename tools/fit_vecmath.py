"""Fit the polynomials of csrc/vecmath.h and print csrc/vecmath_coefficients.h.

    python tools/fit_vecmath.py > csrc/vecmath_coefficients.h

Every table is a weighted minimax polynomial (Remez exchange on a Chebyshev grid, in 60-digit arithmetic): the weight
makes the error of the polynomial the relative error of the function built on it. Coefficients are then rounded to the
element type; the leading terms, whose rounding would show, are exact by construction (they are not in the table).
"""

from collections.abc import Callable
from typing import NamedTuple

import mpmath as mp
import numpy as np

mp.mp.dps = 60
GRID = 40  # grid points per coefficient: finer grids change no coefficient by more than its rounding
Function = Callable[[mp.mpf], mp.mpf]


class Table(NamedTuple):
    """The polynomial of ``terms`` coefficients with the least ``max |weight * (polynomial - value)|`` on [lo, hi]."""

    name: str
    formula: str
    terms: int
    lo: mp.mpf
    hi: mp.mpf
    value: Function
    weight: Function


def solve_alternation(xs: list[mp.mpf], value: Function, weight: Function, terms: int) -> list[mp.mpf]:
    """Coefficients of the polynomial whose weighted error has equal size and alternating sign at ``xs``."""
    system = mp.matrix(terms + 1, terms + 1)
    for i, x in enumerate(xs):
        for j in range(terms):
            system[i, j] = x**j
        system[i, terms] = (-1) ** i / weight(x)
    return list(mp.lu_solve(system, mp.matrix([value(x) for x in xs])))[:terms]


def minimax(table: Table) -> tuple[list[mp.mpf], mp.mpf]:
    """The coefficients of a table, and the error that is left."""
    _, _, terms, lo, hi, value, weight = table
    n = GRID * (terms + 1)
    grid = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / n) for i in range(n)]
    values = dict(zip(grid, map(value, grid), strict=True))
    weights = dict(zip(grid, map(weight, grid), strict=True))
    picks = [grid[GRID * i + GRID // 2] for i in range(terms + 1)]
    for _ in range(30):
        coefficients = solve_alternation(picks, values.__getitem__, weights.__getitem__, terms)
        errors = [weights[x] * (mp.polyval(coefficients[::-1], x) - values[x]) for x in grid]
        extrema = [0]  # the largest error of each run of equal signs
        for i in range(1, n):
            if mp.sign(errors[i]) != mp.sign(errors[extrema[-1]]):
                extrema.append(i)
            elif abs(errors[i]) > abs(errors[extrema[-1]]):
                extrema[-1] = i
        while len(extrema) > terms + 1:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        sizes = [abs(errors[i]) for i in extrema]
        if len(extrema) < terms + 1 or max(sizes) < 1.001 * min(sizes):
            break
        picks = [grid[i] for i in extrema]
    return coefficients, max(map(abs, errors))


def erfcx(a: mp.mpf) -> mp.mpf:
    return mp.erfc(a) * mp.exp(a * a)


def cdf_scaled(v: mp.mpf) -> mp.mpf:
    """q(v) of Phi(-a) = exp(-a^2/2) t q(t - CDF_SCALE), where t = 1 / (1 + CDF_SCALE a)."""
    t = v + CDF_SCALE
    return erfcx((1 / t - 1) / CDF_SCALE / mp.sqrt(2)) / 2 / t


CDF_SCALE = mp.mpf("0.375")  # 1/4 needs a term less in double and doubles the error, 1/2 needs more terms
CDF_SPLIT = mp.mpf(1)  # between the two polynomials of the normal distribution function
ERF_SPLIT = mp.mpf("0.921875")  # between the two polynomials of erf
ERF_ONE = {"f32": mp.mpf(4), "f64": mp.mpf(6)}  # erf rounds to 1 from here on
CDF_ZERO = {"f32": mp.mpf(15), "f64": mp.mpf(39)}  # and Phi(-a) to 0


def tables(dtype: str) -> list[Table]:
    double = dtype == "f64"
    half = mp.mpf(1) / 2
    edge = mp.log(2) / 2 * mp.mpf("1.0001")  # the rounding of x log2(e) may go wrong by that much
    last = ERF_ONE[dtype]
    return [
        Table(
            "EXP",
            "exp(r) = 1 + r + r^2 q(r), |r| <= ln(2)/2",
            11 if double else 5,
            -edge,
            edge,
            lambda r: (mp.expm1(r) - r) / r**2,
            lambda r: r**2 / abs(mp.expm1(r)),
        ),
        Table(
            "LOG",
            "log(1 + f) = f - f^2/2 + f^3 q(f), sqrt(1/2) <= 1 + f <= sqrt(2)",
            18 if double else 8,
            mp.sqrt(half) - 1,
            mp.sqrt(2) - 1,
            lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3,
            lambda f: abs(f**3 / mp.log1p(f)),
        ),
        Table(
            "LOG1P",
            "log(1 + t) = t + t^2 q(t - 1/2), 0 <= t <= 1",
            20 if double else 9,
            -half,
            half,
            lambda v: (mp.log1p(v + half) - v - half) / (v + half) ** 2,
            lambda v: (v + half) ** 2 / mp.log1p(v + half),
        ),
        Table(
            "ERF",
            "erf(x) = x + x q(x^2), |x| <= ERF_SPLIT",
            12 if double else 7,
            mp.mpf(0),
            ERF_SPLIT**2,
            lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1,
            lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)),
        ),
        Table(
            "ERF_TAIL",
            "erf(x) = 1 - exp(q(x)), ERF_SPLIT <= x <= ERF_ONE",
            19 if double else 8,
            ERF_SPLIT,
            last,
            lambda x: mp.log(mp.erfc(x)),
            lambda x: mp.erfc(x) / mp.erf(x),
        ),
        Table(
            "CDF",
            "Phi(x) = 1/2 + x q(x^2), |x| <= CDF_SPLIT",
            10 if double else 6,
            mp.mpf(0),
            CDF_SPLIT**2,
            lambda z: mp.erf(mp.sqrt(z / 2)) / 2 / mp.sqrt(z),
            lambda z: mp.sqrt(z) / (mp.erfc(mp.sqrt(z / 2)) / 2),
        ),
        Table(
            "CDF_TAIL",
            "Phi(-a) = exp(-a^2/2) t q(t - CDF_SCALE), t = 1 / (1 + CDF_SCALE a), CDF_SPLIT <= a <= CDF_ZERO",
            21 if double else 9,
            1 / (1 + CDF_SCALE * CDF_ZERO[dtype]) - CDF_SCALE,
            1 / (1 + CDF_SCALE * CDF_SPLIT) - CDF_SCALE,
            cdf_scaled,
            lambda v: 1 / cdf_scaled(v),
        ),
    ]


HEADER = """\
/* The polynomials of vecmath.h, constant term first: one set for each element type. The size of the weighted error is
 * the part, in ULP, that the fit adds to the error of the function.
 * Written by tools/fit_vecmath.py; do not edit.
 */"""


def hex_float(c: mp.mpf, double: bool) -> str:
    """The nearest number of the type as a C constant."""
    rounded = float(c) if double else float(np.float32(mp.nstr(c, 30)))
    mantissa, exponent = rounded.hex().split("p")
    return mantissa.rstrip("0").rstrip(".") + "p" + exponent + ("" if double else "f")


def emit(dtype: str) -> None:
    """Print the tables of one element type."""
    double = dtype == "f64"
    constants = {
        "ERF_SPLIT": ERF_SPLIT,
        "ERF_ONE": ERF_ONE[dtype],
        "CDF_SCALE": CDF_SCALE,
        "CDF_SPLIT": CDF_SPLIT,
        "CDF_ZERO": CDF_ZERO[dtype],
    }
    for name, value in constants.items():
        print(f"static const real_t {name} = (real_t){mp.nstr(value)};")
    ulp = mp.mpf(2) ** (53 if double else 24)
    for table in tables(dtype):
        coefficients, error = minimax(table)
        print(f"\n/* {table.formula}; {mp.nstr(error * ulp, 2)} ULP */")
        print(f"static const real_t {table.name}_POLY[] = {{")
        for c in coefficients:
            print(f"    {hex_float(c, double)},")
        print("};")


if __name__ == "__main__":
    print(HEADER)
    print("#if FNN_F64")
    emit("f64")
    print("\n#else")
    emit("f32")
    print("\n#endif")
