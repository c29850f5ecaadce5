"""The rule compiler: from factors and a step to the sums of products of Loihi's learning engine.

    dw = m * 2^e * x0 * x1 * y1   (+ more products),     |m| <= 7,  -7 <= e <= 8

`x1` is the trace of the presynaptic payload, which the engine halves when it overwrites it, so `compile_rule`
doubles the literal for each `x1`. `y1`, `y2`, `y3` are what the postsynaptic cell sends. `x0` says that the
presynaptic neuron sent something in this step: without it the engine would use the trace of an earlier step.
A step that no literal gives exactly is split by `split_step`: a power of two in the engine, the rest in the cell.
"""

import math
from dataclasses import dataclass
from typing import Any

from lavaghost.base.errors import SpecError, join_faults

MANTISSA, LOWEST, HIGHEST = 7, -7, 8
"""Limits of a literal `m * 2^e`: 4 bits with sign, and the exponents that the engine can shift by."""
PRE, POST, SYNAPSE = ("x1",), ("y1", "y2", "y3"), ("w",)


@dataclass(frozen=True)
class Product:
    """`step * dependency * factors`; `dependency` is x0, y0 or u0..u9, None is refused with what to write instead."""

    step: float
    factors: tuple[str, ...] = ("x1", "y1")
    dependency: str | None = "x0"


def literal(value: float) -> tuple[int, int]:
    """`(m, e)` with `value = m * 2^e` and the smallest m. Raises `SpecError` if the engine has no such literal."""
    if value == 0 or not math.isfinite(value):
        raise SpecError(f"a step of {value} teaches nothing; give a finite step other than 0")
    fraction, exponent = math.frexp(value)  # 0.5 <= |fraction| < 1
    for bits in (1, 2, 3):
        mantissa, e = fraction * 2**bits, exponent - bits
        if mantissa == int(mantissa):
            # m * 2^e may be written with a larger m where e is too large
            while e > HIGHEST and abs(mantissa) * 2 <= MANTISSA:
                mantissa, e = mantissa * 2, e - 1
            if LOWEST <= e <= HIGHEST:
                return int(mantissa), e
            break
    smallest, largest = 2.0**LOWEST, MANTISSA * 2.0**HIGHEST
    e, rest = split_literal(value)
    why = (
        f"below its smallest, 2^{LOWEST} = {smallest:g}"
        if abs(value) < smallest
        else f"above its largest, {MANTISSA} * 2^{HIGHEST} = {largest:g}"
        if abs(value) > largest
        else f"not m * 2^e with |m| <= {MANTISSA} and {LOWEST} <= e <= {HIGHEST}"
    )
    raise SpecError(
        f"the learning engine has no literal {value:g}: it is {why}; use 2^{e} and let the cell multiply the "
        f"factor that it sends by {rest:g} (split_step)"
    )


def split_literal(value: float) -> tuple[int, float]:
    """`(e, rest)` with `value = 2^e * rest`, e within the engine's limits and rest, if possible, in [1, 2)."""
    exponent = math.frexp(value)[1] - 1 if value and math.isfinite(value) else LOWEST
    e = min(max(exponent, LOWEST), HIGHEST)
    return e, value * 2.0**-e


def split_step(step: float) -> tuple[float, float]:
    """`(engine, cell)`, whose product is `step` to the bit: a step that the engine has, and a factor for the cell."""
    e, rest = split_literal(2 * step)  # x1 is half the payload
    return 2.0 ** (e - 1), rest


def compile_rule(*products: Product) -> str:
    """The engine's text for a sum of products. Raises `SpecError` with all that the engine cannot express."""
    faults, texts = [], []
    if not products:
        faults.append("a rule without products teaches nothing; give at least one")
    for product in products:
        try:
            texts.append(_text(product))
        except SpecError as error:
            faults.append(str(error))
    if faults:
        raise SpecError(join_faults(faults))
    return " + ".join(texts).replace("+ -", "- ")


def _text(product: Product) -> str:
    shown = "*".join(product.factors)
    known = PRE + POST + SYNAPSE
    unknown = [factor for factor in product.factors if factor not in known]
    if unknown:
        raise SpecError(
            f"product {shown}: the engine has no factor {', '.join(unknown)}; it has {', '.join(known)}, and a "
            "difference such as (y1 - y2) is two products, or one factor that the cell computes"
        )
    if not product.factors:
        raise SpecError("a product without factors grows without end; give it x1 and y1, say")
    dependency = product.dependency
    if dependency is None:
        raise SpecError(
            f"product {shown} has no dependency, which the engine needs in each product; use x0, so that it "
            "counts only where the presynaptic neuron sends"
        )
    counted = dependency in ("x0", "y0") or (
        len(dependency) == 2 and dependency[0] == "u" and dependency[1].isdigit()
    )
    if not counted:
        raise SpecError(
            f"product {shown}: the engine has no dependency {dependency!r}; it has x0, y0 and u0..u9"
        )
    if "x1" in product.factors and dependency != "x0":
        raise SpecError(
            f"product {shown} with dependency {dependency} would use a stale x1 where the presynaptic rate is "
            "0; use dependency x0"
        )
    mantissa, e = literal(product.step * 2 ** product.factors.count("x1"))
    return f"{mantissa}*2^{e}*{dependency}*{shown}"


KEPT = 2**31
"""A time constant in steps that loses no bit of an integer trace; fixed point refuses infinity."""


def learning_rule(dw: str, fixed: bool = False) -> Any:
    """Lava's rule object for `dw`, applied in every step, with traces that keep their values."""
    import numpy as np
    from lava.magma.core.learning.learning_rule import Loihi3FLearningRule

    kept = KEPT if fixed else np.inf
    # the default tau of x1, 0, gives NaN; those of y are setters only
    rule = Loihi3FLearningRule(dw=dw, x1_tau=kept, t_epoch=1)
    rule.y1_tau = rule.y2_tau = rule.y3_tau = kept
    return rule
