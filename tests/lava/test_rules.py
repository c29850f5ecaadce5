"""The rule compiler says what Lava's learning engine can do, and what to do instead."""

import numpy as np
import pytest
from lava.magma.core.learning.learning_rule import Loihi3FLearningRule

from lavaghost.base.errors import SpecError
from lavaghost.lava.engine_rules import Product, compile_rule, learning_rule, literal, split_step

pytestmark = [pytest.mark.lava]


@pytest.mark.parametrize(
    ("products", "text"),
    [
        ([Product(1.0)], "1*2^1*x0*x1*y1"),
        ([Product(-(2.0**-5), ("x1", "y2"))], "-1*2^-4*x0*x1*y2"),
        ([Product(0.1875), Product(-0.25, ("x1", "y3"))], "3*2^-3*x0*x1*y1 - 1*2^-1*x0*x1*y3"),
        ([Product(3.5, ("y1",), "y0"), Product(-(2.0**-7), ("w",), "u0")], "7*2^-1*y0*y1 - 1*2^-7*u0*w"),
        ([Product(1024.0, ("y1",))], "4*2^8*x0*y1"),
    ],
)
def test_texts_that_lava_reads_back(products, text):
    assert compile_rule(*products) == text
    for product, read in zip(products, learning_rule(text).dw.products, strict=True):
        assert read.dependency == product.dependency[0] + ("0" if product.dependency[0] != "u" else "")
        value = read.s_mantissa * 2.0 ** (read.s_exp - 7)
        assert value == product.step * 2 ** product.factors.count("x1")


def test_every_literal_of_the_engine_is_found():
    for mantissa in (*range(-7, 0), *range(1, 8)):
        for exponent in range(-7, 9):
            m, e = literal(mantissa * 2.0**exponent)
            assert m * 2.0**e == mantissa * 2.0**exponent
            Loihi3FLearningRule(dw=f"{m}*2^{e}*x0*x1*y1")


@pytest.mark.parametrize(
    ("product", "text"),
    [
        (
            Product(2.0**-12),
            r"below its smallest, 2\^-7 = 0\.0078125; use 2\^-7 and let the cell multiply .* 0\.0625",
        ),
        (Product(1e6), r"above its largest, 7 \* 2\^8 = 1792; use 2\^8"),
        (Product(0.01), r"no literal 0\.02: it is not m \* 2\^e with \|m\| <= 7 .* use 2\^-6 .* by 1\.28"),
        (Product(0.0), "a step of 0.* teaches nothing"),
        (Product(np.nan), "a step of nan"),
        (Product(1, dependency=None), "has no dependency, .*; use x0"),
        (Product(1, dependency="u0"), "would use a stale x1"),
        (Product(1, dependency="x9"), "no dependency 'x9'; it has x0, y0 and u0..u9"),
        (Product(1, ("x1", "y1-y2")), "no factor y1-y2; .* two products, or one factor that the cell computes"),
        (Product(1, ()), "without factors"),
    ],
)
def test_what_the_engine_cannot_express_is_refused(product, text):
    with pytest.raises(SpecError, match=text):
        compile_rule(product)


def test_all_faults_at_once():
    with pytest.raises(SpecError, match=r"no literal[\s\S]*no dependency"):
        compile_rule(Product(0.01), Product(1, dependency=None))
    with pytest.raises(SpecError, match="without products"):
        compile_rule()


def test_a_step_is_split_to_the_bit():
    for step in np.concatenate([np.geomspace(1e-9, 1e9, 200), [2.0**-6, 0.3]]):
        engine, cell = split_step(step)
        assert engine * cell == step
        compile_rule(Product(engine))
    assert split_step(2.0**-6) == (2.0**-6, 1.0)
