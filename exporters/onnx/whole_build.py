"""Nodes of ONNX graphs in integers: 8-bit products, sums of 32 bits, rates that are shifted and held.

Weights are stored as u8 with the zero point 128: products of u8 and s8 may saturate in 16 bits on a CPU without VNNI,
those of u8 and u8 do not (onnxruntime, "Quantize ONNX models", U8S8 and reduce_range). A sum after Max is not negative,
so Div truncates as >> does.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from lavaghost.exporters.onnx.build import Build
from lavaghost.exporters.onnx.whole_numbers import TOP
from lavaghost.numbers.arithmetic import Array

OPSET, IR = 13, 7
CENTRE = 128
"""Zero point of the stored weights."""


@dataclass
class IntegerBuild(Build):
    """A graph of integers while it is made."""

    def int32(self, name: str, value: Any) -> str:
        """A constant of 32 bits."""
        return self.constant(name, value, np.int32)

    def bytes(self, factor: np.float32, zero: int, top: int = TOP) -> None:
        """q_0 of raw samples, in 0..top."""
        if factor != 1.0:
            self.add("Mul", [self.last, self.constant("input_factor", factor)], "raw.scaled")
        self.add("Round", [self.last], "raw.rounded")
        if zero:
            self.add("Add", [self.last, self.constant("input_zero", zero)], "raw.shifted")
        bounds = [self.constant("byte_min", 0.0), self.constant("byte_max", top)]
        self.add("Clip", [self.last, *bounds], "raw.clipped")
        self.add("Cast", [self.last], "rate.0", to=TensorProto.UINT8)

    def sum(self, k: int, weights: Array, biases: Array, output: str) -> None:
        """a_k."""
        self.products(k, weights)
        self.add("Add", [self.last, self.int32(f"biases.{k}", biases)], output)

    def products(self, k: int, weights: Array) -> None:
        """V q of weights in -256..255: of nine bits, as twice the product of V >> 1 and that of the lowest bits."""
        if weights.min(initial=0) >= -CENTRE and weights.max(initial=0) < CENTRE:
            self._product(f"weights.{k}", weights, CENTRE, f"product.{k}")
            return
        rates = self.last
        half = self._product(f"weights.{k}", weights >> 1, CENTRE, f"half.{k}")
        self.add("Mul", [half, self.int32("two", 2)], f"even.{k}")
        if (weights & 1).any():
            even, self.last = self.last, rates
            lowest = self._product(f"weights.{k}.lowest", weights & 1, 0, f"lowest.{k}")
            self.add("Add", [even, lowest], f"product.{k}")

    def _product(self, name: str, weights: Array, zero: int, output: str) -> str:
        stored = self.constant(name, weights.T + zero, np.uint8)
        zeros = [
            self.constant("rate_zero", 0, np.uint8),
            self.constant("weight_zero" if zero else "no_zero", zero, np.uint8),
        ]
        return self.add("MatMulInteger", [self.last, stored, *zeros], output)

    def rate(self, k: int, shift: int, top: int) -> None:
        """q_k."""
        self.add("Max", [self.last, self.int32("zero", 0)], f"positive.{k}")
        if shift:
            self.add("Div", [self.last, self.int32(f"divisor.{k}", 2**shift)], f"shifted.{k}")
        self.add("Min", [self.last, self.int32(f"top.{k}", top)], f"bounded.{k}")
        self.add("Cast", [self.last], f"rate.{k}", to=TensorProto.UINT8)
