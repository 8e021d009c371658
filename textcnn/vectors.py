"""Loops written as explicit vectors, for numba to call: what LLVM would not find by itself.

Each is an intrinsic that takes addresses and bytes as int64. Vectors are as wide as AVX-512's registers;
LLVM splits them where registers are narrower (AVX2, NEON).
"""

from collections.abc import Callable
from typing import Any, Final

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

LANES: Final = 32
"""Filters of a vector; tables are padded to a multiple of it."""
BLOCK: Final = 4
"""Vectors whose maxima and sums fit into the registers, those of AVX2 just so."""
UNROLLED: Final = 5
"""Widths up to this have a loop of their own."""
TEXTS: Final = 4
"""Texts whose products with a head share the loads of its weights."""
HEADS: Final = 64
"""Heads beside each other whose logits of ``TEXTS`` texts fit into the registers of AVX-512."""

_I16, _I32, _I64, _F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_I16, LANES)
_FLOATS = ir.VectorType(_F32, 16)


def _untyped(function: Callable[..., Any]) -> Callable[..., Any]:
    """An intrinsic, for callers that are checked: its first argument is not theirs to give."""
    compiled: Callable[..., Any] = intrinsic(function)
    return compiled


def window_maxima_of(width: int | None, vectors: int) -> Callable[..., None]:
    """Make an intrinsic for windows of ``width`` tokens (None: told at the call) over ``vectors`` vectors."""

    @intrinsic
    def window_maxima(
        _: Any, table: Any, rows: Any, windows: Any, length: Any, column: Any, stride: Any, best: Any
    ) -> tuple[Any, Any]:
        """Store at the address ``best`` the maximum over ``windows`` windows of the sums of their rows.

        ``table`` is looked at for its type alone: int16, or int8, which is widened as it is read; sums and
        maxima are int16. ``rows`` is the address of the rows' addresses, ``column`` the first position's
        place in a row, ``stride`` what lies between two positions; both in bytes. ``length`` is the width.
        """
        size = table.dtype.bitwidth // 8
        stored = ir.VectorType(ir.IntType(8 * size), LANES)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            _, rows, windows, length, column, stride, best = arguments
            rows = builder.inttoptr(rows, _I64.as_pointer())

            def part(t: Any, position: Any) -> list[Any]:
                row = builder.load(builder.gep(rows, [builder.add(t, position)]))
                place = builder.add(builder.add(row, column), builder.mul(stride, position))
                first = builder.inttoptr(place, stored.as_pointer())
                # Rows start at multiples of 64 bytes, but for a table that someone made with numpy alone.
                parts = [
                    builder.load(builder.gep(first, [ir.Constant(_I64, v)]), align=size)
                    for v in range(vectors)
                ]
                return [builder.sext(part, _VECTOR) for part in parts] if size == 1 else parts

            before = builder.block
            loop = builder.append_basic_block("windows")
            end = builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            t = builder.phi(_I64)
            t.add_incoming(ir.Constant(_I64, 0), before)
            maxima = [builder.phi(_VECTOR) for _ in range(vectors)]
            for maximum in maxima:
                maximum.add_incoming(ir.Constant(_VECTOR, [-32768] * LANES), before)
            sums = part(t, ir.Constant(_I64, 0))
            if width is not None:
                for position in range(1, width):
                    added = part(t, ir.Constant(_I64, position))
                    sums = [builder.add(a, b) for a, b in zip(sums, added, strict=True)]
            else:
                outer, inner = builder.block, builder.append_basic_block("positions")
                after = builder.append_basic_block("after")
                one = ir.Constant(_I64, 1)
                builder.cbranch(builder.icmp_signed("<", one, length), inner, after)
                builder.position_at_end(inner)
                position = builder.phi(_I64)
                so_far = [builder.phi(_VECTOR) for _ in range(vectors)]
                grown = [builder.add(a, b) for a, b in zip(so_far, part(t, position), strict=True)]
                following = builder.add(position, one)
                position.add_incoming(one, outer)
                position.add_incoming(following, inner)
                for phi, start, value in zip(so_far, sums, grown, strict=True):
                    phi.add_incoming(start, outer)
                    phi.add_incoming(value, inner)
                builder.cbranch(builder.icmp_signed("<", following, length), inner, after)
                builder.position_at_end(after)
                merged = [builder.phi(_VECTOR) for _ in range(vectors)]
                for phi, start, value in zip(merged, sums, grown, strict=True):
                    phi.add_incoming(start, outer)
                    phi.add_incoming(value, inner)
                sums = merged
            higher = [
                builder.select(builder.icmp_signed(">", a, b), a, b)
                for a, b in zip(sums, maxima, strict=True)
            ]
            following = builder.add(t, ir.Constant(_I64, 1))
            t.add_incoming(following, builder.block)
            for maximum, value in zip(maxima, higher, strict=True):
                maximum.add_incoming(value, builder.block)
            builder.cbranch(builder.icmp_signed("<", following, windows), loop, end)
            builder.position_at_end(end)
            target = builder.inttoptr(best, _VECTOR.as_pointer())
            for v, value in enumerate(higher):
                builder.store(value, builder.gep(target, [ir.Constant(_I64, v)]), align=2)
            return context.get_dummy_value()

        return numba.void(table, *[numba.int64] * 6), generate

    return window_maxima


def _place(builder: ir.IRBuilder, base: Any, row: int, stride: Any, kind: Any) -> Any:
    """Pointer to row ``row`` of what starts at ``base``."""
    return builder.inttoptr(builder.add(base, builder.mul(ir.Constant(_I64, row), stride)), kind.as_pointer())


def _part(builder: ir.IRBuilder, pointer: Any, number: int) -> Any:
    return builder.gep(pointer, [ir.Constant(_I64, number)])


def _multiply_add(builder: ir.IRBuilder, a: Any, b: Any, total: Any) -> Any:
    """One instruction where the processor has it, and the same order of sums everywhere."""
    return builder.fadd(total, builder.fmul(a, b, flags=("contract",)), flags=("contract",))


def one_head_of(texts: int) -> Callable[..., None]:
    """Make an intrinsic that adds the products of so many texts' features with one head to their logits."""

    @intrinsic
    def one_head(
        _: Any, seen: Any, seen_stride: Any, head: Any, features: Any, logits: Any, logits_stride: Any
    ) -> tuple[Any, Any]:
        """``seen`` has a row of float32 for each text, ``features`` of them, a multiple of 16."""

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            seen, seen_stride, head, features, logits, logits_stride = arguments
            rows = [_place(builder, seen, text, seen_stride, _FLOATS) for text in range(texts)]
            head = builder.inttoptr(head, _FLOATS.as_pointer())
            before, loop = builder.block, builder.append_basic_block("products")
            end = builder.append_basic_block("sums")
            builder.branch(loop)
            builder.position_at_end(loop)
            step = builder.phi(_I64)
            step.add_incoming(ir.Constant(_I64, 0), before)
            sums = [builder.phi(_FLOATS) for _ in rows]
            weights = builder.load(builder.gep(head, [step]), align=4)
            added = []
            for row, total in zip(rows, sums, strict=True):
                x = builder.load(builder.gep(row, [step]), align=4)
                added.append(_multiply_add(builder, x, weights, total))
                total.add_incoming(ir.Constant(_FLOATS, [0.0] * 16), before)
                total.add_incoming(added[-1], loop)
            following = builder.add(step, ir.Constant(_I64, 1))
            step.add_incoming(following, loop)
            steps = builder.lshr(features, ir.Constant(_I64, 4))
            builder.cbranch(builder.icmp_signed("<", following, steps), loop, end)
            builder.position_at_end(end)
            kind = ir.FunctionType(_F32, [_F32, _FLOATS])
            reduce = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.fadd.v16f32")
            for text, total in enumerate(added):
                logit = _place(builder, logits, text, logits_stride, _F32)
                product = builder.call(reduce, [ir.Constant(_F32, -0.0), total], fastmath=("reassoc",))
                builder.store(builder.fadd(builder.load(logit), product), logit)
            return context.get_dummy_value()

        return numba.void(*[numba.int64] * 6), generate

    return one_head


@_untyped
def many_heads(
    _: Any,
    seen: Any,
    seen_stride: Any,
    heads: Any,
    heads_stride: Any,
    features: Any,
    logits: Any,
    stride: Any,
) -> tuple[Any, Any]:
    """Add the products of ``TEXTS`` texts' features with ``HEADS`` heads to their logits.

    ``seen`` and ``logits`` have a row for each text, ``heads`` one for each of the ``features``, with the
    heads' weights beside each other: a lane is a head, and nothing is summed across lanes.
    """
    parts = range(HEADS // 16)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        seen, seen_stride, heads, heads_stride, features, logits, stride = arguments
        rows = [_place(builder, seen, text, seen_stride, _F32) for text in range(TEXTS)]
        targets = [_place(builder, logits, text, stride, _FLOATS) for text in range(TEXTS)]
        starts = [[builder.load(_part(builder, target, v), align=4) for v in parts] for target in targets]
        before, loop = builder.block, builder.append_basic_block("products")
        end = builder.append_basic_block("sums")
        builder.branch(loop)
        builder.position_at_end(loop)
        f = builder.phi(_I64)
        f.add_incoming(ir.Constant(_I64, 0), before)
        sums = [[builder.phi(_FLOATS) for _ in parts] for _ in rows]
        row = builder.inttoptr(builder.add(heads, builder.mul(f, heads_stride)), _FLOATS.as_pointer())
        weights = [builder.load(_part(builder, row, v), align=4) for v in parts]
        added = []
        undefined = ir.Constant(_FLOATS, ir.Undefined)
        for source, totals, first in zip(rows, sums, starts, strict=True):
            x = builder.load(builder.gep(source, [f]))
            lane = builder.insert_element(undefined, x, ir.Constant(_I32, 0))
            x = builder.shuffle_vector(lane, undefined, ir.Constant(ir.VectorType(_I32, 16), [0] * 16))
            added.append([_multiply_add(builder, x, w, t) for w, t in zip(weights, totals, strict=True)])
            for total, start, value in zip(totals, first, added[-1], strict=True):
                total.add_incoming(start, before)
                total.add_incoming(value, loop)
        following = builder.add(f, ir.Constant(_I64, 1))
        f.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, features), loop, end)
        builder.position_at_end(end)
        for target, totals in zip(targets, added, strict=True):
            for v, total in enumerate(totals):
                builder.store(total, _part(builder, target, v), align=4)
        return context.get_dummy_value()

    return numba.void(*[numba.int64] * 7), generate


@_untyped
def power_of_two(_: Any, exponent: Any) -> tuple[Any, Any]:
    """Give 2 to an int32 from -126 to 127, as float32: the bits of the exponent, put where they belong."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        shifted = builder.shl(builder.add(arguments[0], ir.Constant(_I32, 127)), ir.Constant(_I32, 23))
        return builder.bitcast(shifted, _F32)

    return numba.float32(numba.int32), generate
