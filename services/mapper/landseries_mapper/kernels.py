"""The parts of an LSTM step that are no matrix product, on blocks of pixels that stay in the second-level cache.

Arrays are (units, pixels): pixels are contiguous, so every operation runs on whole vector registers, and an annual
series of a tile, (dates, features, pixels), needs no transposition. Values that feed a matrix product are stored as
float32 or as bfloat16 (its 16 bits in a uint16); all arithmetic is float32, in a fixed order, with fused
multiply-adds asked for by name. So the results are the same on every processor, whatever its vectors.

The hyperbolic tangent is x P(x²)/Q(x²) with cubic P and Q, fitted (iteratively reweighted least squares on Chebyshev
nodes, after Lawson) for the smallest greatest error on [-7.5, 7.5] and held constant beyond: within 3e-6 of tanh
everywhere. The sigmoid is (1 + tanh(x/2))/2; the halving of x lies in the weights, where it is exact.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import types
from numba.extending import intrinsic

from landseries.bands import NODATA
from landseries.compiled import called_with, compiled_unchecked

#: Beyond it tanh is 1 within 7e-7.
TANH_LIMIT: Final = np.float32(7.5)
_P0, _P1, _P2, _P3 = (
    np.float32(c) for c in (0.9999929070472717, 0.12235892564058304, 2.2187214344739914e-3, 3.6629842270485824e-6)
)
_Q1, _Q2, _Q3 = (np.float32(c) for c in (0.4556688666343689, 0.02079787664115429, 1.3610436872113496e-4))
_ONE: Final = np.float32(1)
_HALF: Final = np.float32(0.5)
_NODATA: Final = np.int16(NODATA)


@intrinsic  # type: ignore[untyped-decorator]
def _widen(context: Any, value: Any) -> Any:
    """A stored value, uint16 (bfloat16) or float32, as float32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if signature.args[0] == types.float32:
            return arguments[0]
        bits = builder.zext(arguments[0], context.get_value_type(types.uint32))
        shifted = builder.shl(bits, context.get_constant(types.uint32, 16))
        return builder.bitcast(shifted, context.get_value_type(types.float32))

    return types.float32(value), build


@intrinsic  # type: ignore[untyped-decorator]
def _narrow(context: Any, value: Any, like: Any) -> Any:
    """A finite float32 as it is stored beside `like`: the nearest bfloat16, halves to the even one, or itself."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if signature.return_type == types.float32:
            return arguments[0]
        sixteen, one, below_half = (context.get_constant(types.uint32, constant) for constant in (16, 1, 0x7FFF))
        bits = builder.bitcast(arguments[0], context.get_value_type(types.uint32))
        odd = builder.and_(builder.lshr(bits, sixteen), one)
        rounded = builder.lshr(builder.add(builder.add(bits, below_half), odd), sixteen)
        return builder.trunc(rounded, context.get_value_type(types.uint16))

    return like(types.float32, like), build


@intrinsic  # type: ignore[untyped-decorator]
def _fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """a x b + c with one rounding."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), build


@compiled_unchecked
def _clamp(x: Any) -> Any:
    x = TANH_LIMIT if x > TANH_LIMIT else x
    return -TANH_LIMIT if x < -TANH_LIMIT else x


@compiled_unchecked
def _p(x: Any, square: Any) -> Any:
    return _fma(_fma(_fma(_P3, square, _P2), square, _P1), square, _P0) * x


@compiled_unchecked
def _q(square: Any) -> Any:
    return _fma(_fma(_fma(_Q3, square, _Q2), square, _Q1), square, _ONE)


@compiled_unchecked
def tanh(values: Any, out: Any) -> None:
    """The tangent as the cell computes it, for tests: float32 (n,) to float32 (n,)."""
    for k in range(values.shape[0]):
        x = _clamp(values[k])
        out[k] = _p(x, x * x) / _q(x * x)


@called_with(
    "(uint16[:, ::1], float32[::1], float32[:, ::1], uint16[:, ::1])",
    "(uint16[:, ::1], float32[::1], float32[:, ::1], float32[:, ::1])",
    "(float32[:, ::1], float32[::1], float32[:, ::1], float32[:, ::1])",
)
@compiled_unchecked
def cell(gates: Any, bias: Any, memory: Any, state: Any) -> None:
    """One step of the cell (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    With i, f, g, o the gates and c the memory: c = σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c). The quotients
    of an expression are brought to one denominator, because a division costs more than the rest of a tangent.

    Args:
        gates: (4 units, pixels) matrix product, gates in the order i, f, g, o; i, f and o halved.
        bias: (4 units,) float32, halved alike.
        memory: (units, pixels) float32, c; updated.
        state: (units, pixels) h; overwritten.
    """
    units, pixels = memory.shape
    for u in range(units):
        gate_i, gate_f, gate_g, gate_o = gates[u], gates[units + u], gates[2 * units + u], gates[3 * units + u]
        bias_i, bias_f, bias_g, bias_o = bias[u], bias[units + u], bias[2 * units + u], bias[3 * units + u]
        c, h = memory[u], state[u]
        for k in range(pixels):
            i = _clamp(_widen(gate_i[k]) + bias_i)
            f = _clamp(_widen(gate_f[k]) + bias_f)
            g = _clamp(_widen(gate_g[k]) + bias_g)
            o = _clamp(_widen(gate_o[k]) + bias_o)
            q_i, q_f, q_g, q_o = _q(i * i), _q(f * f), _q(g * g), _q(o * o)
            q_ig = q_i * q_g
            kept = (_p(f, f * f) + q_f) * c[k]
            added = (_p(i, i * i) + q_i) * _p(g, g * g)
            now = _HALF * (_fma(kept, q_ig, added * q_f) / (q_f * q_ig))
            c[k] = now
            bounded = _clamp(now)
            square = bounded * bounded
            h[k] = _narrow(_HALF * ((_p(o, o * o) + q_o) * _p(bounded, square) / (q_o * _q(square))), h[k])


@called_with(
    "(int16[:, :], float32[::1], float32[::1], uint16[:, ::1], uint8[::1])",
    "(int16[:, ::1], float32[::1], float32[::1], uint16[:, ::1], uint8[::1])",
    "(int16[:, :], float32[::1], float32[::1], float32[:, ::1], uint8[::1])",
    "(int16[:, ::1], float32[::1], float32[::1], float32[:, ::1], uint8[::1])",
)
@compiled_unchecked
def read_date(values: Any, mean: Any, scale: Any, channels: Any, seen: Any) -> None:
    """Standardise one date of a block; the same operations as `landseries.neural.normalisation.network_input`.

    Args:
        values: (features, pixels) int16, stored units, -32768 where missing.
        mean: (features,) float32, stored units.
        scale: (features,) float32, 1/std.
        channels: (features + 1, pixels), the network's input; overwritten. The last row flags a missing date.
        seen: (pixels,) uint8; set to 1 where the date has a value of any feature.
    """
    features, pixels = values.shape
    missing = np.zeros(pixels, np.uint8)
    for feature in range(features):
        row, out, m, s = values[feature], channels[feature], mean[feature], scale[feature]
        for k in range(pixels):
            value = row[k]
            absent = value == _NODATA
            standard = (np.float32(value) - m) * s
            rounded = _widen(_narrow(np.float32(0) if absent else standard, np.uint16(0)))
            out[k] = _narrow(rounded, out[k])
            missing[k] |= np.uint8(absent)
            seen[k] |= np.uint8(not absent)
    flag = channels[features]
    for k in range(pixels):
        flag[k] = _narrow(np.float32(missing[k]), flag[k])


@called_with("(float32[:, ::1], float32[::1], uint8[::1], uint8[::1], uint8[::1])")
@compiled_unchecked
def softmax_and_label(scores: Any, bias: Any, seen: Any, classes: Any, labels: Any) -> None:
    """Scores to probabilities, in place, and the id of the most probable class (of equals the first).

    A pixel without any value gets label 0 and probabilities 0: nothing is known of it.

    Args:
        scores: (classes, pixels) float32 logits without bias; overwritten by the probabilities.
        bias: (classes,) float32.
        seen: (pixels,) uint8, 0 where the series has no value at all.
        classes: (classes,) uint8 ids.
        labels: (pixels,) uint8; overwritten.
    """
    count, pixels = scores.shape
    top = np.full(pixels, np.float32(-np.inf))
    total = np.zeros(pixels, np.float32)
    for c in range(count):
        for k in range(pixels):
            score = scores[c, k] + bias[c]
            scores[c, k] = score
            if score > top[k]:
                top[k] = score
                labels[k] = classes[c]
    for c in range(count):
        for k in range(pixels):
            share = np.exp(scores[c, k] - top[k])
            scores[c, k] = share
            total[k] += share
    for k in range(pixels):
        total[k] = np.float32(seen[k] != 0) / total[k]
        labels[k] *= np.uint8(seen[k] != 0)
    for c in range(count):
        for k in range(pixels):
            scores[c, k] *= total[k]
