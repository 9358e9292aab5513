#!/usr/bin/env python3
"""The operators of the Ascend emulator against numpy, in f16 and bf16 over random shapes, strides, masks and pages.

    ascend_operators_parity.py --emulator build/ascend_emulator/8.0 [--n 20] [--seed 0]

numpy computes in float64 from the same rounded inputs; results are rounded to the type and may differ by what f32 sums
and one rounding explain, which is stated at each operator. `n` cases an operator. Prints how many results were compared
and the largest error of each operator as a share of that; exit status 1 on a difference.
"""
import argparse
import ctypes
import sys

import numpy as np

from ascend_device import Device, Refused, rounded, stored

EPSILON = {"f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}
SMALLEST = {"f32": 2.0**-149, "f16": 2.0**-24, "bf16": 2.0**-133}
INT_MAX = 2147483647


class Checks:
    def __init__(self):
        self.n, self.worst, self.failures = {}, {}, []

    def close(self, name, ours, theirs, dtype, slack=0.0, what=""):
        """Within one unit in the last place of the rounded result, or within `slack` (absolute, an array or a number)."""
        ours, theirs = np.asarray(ours), np.asarray(theirs, np.float64)
        if ours.shape != theirs.shape:
            raise ValueError(f"{name}: {ours.shape} against {theirs.shape}")
        expected = rounded(theirs, dtype)
        unit = np.maximum(np.abs(expected) * EPSILON[dtype], SMALLEST[dtype])
        with np.errstate(invalid="ignore"):
            error = np.where(ours == expected, 0, np.abs(ours - expected)) / np.maximum(unit, slack)
            same = (np.isnan(ours) & np.isnan(expected)) | (error <= 1)
        self.n[name] = self.n.get(name, 0) + ours.size
        self.worst[name] = max(self.worst.get(name, 0), float(np.nanmax(error, initial=0)))
        if not same.all():
            at = tuple(np.argwhere(~same)[0])
            self.failures.append(f"{name} {dtype} {what} at {at}: {ours[at]} against {expected[at]} ({(~same).sum()} of {ours.size})")

    def equal(self, name, ours, theirs, what=""):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        self.n[name] = self.n.get(name, 0) + ours.size
        self.worst.setdefault(name, 0)
        if ours.shape != theirs.shape or not np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"):
            self.failures.append(f"{name} {what}: {ours.shape} {ours.reshape(-1)[:8]} against {theirs.shape} {theirs.reshape(-1)[:8]}")


class Cases:
    def __init__(self, device, seed):
        self.device, self.random, self.checks = device, np.random.default_rng(seed), Checks()

    def values(self, dims, dtype, scale=1.0):
        return rounded(self.random.normal(size=dims) * scale, dtype)

    def pick(self, *choices):
        return choices[self.random.integers(len(choices))]

    def size(self, largest):
        return int(self.random.integers(1, largest + 1))

    def strided(self, values, dtype):
        """A tensor with these values whose rows lie further apart than they are long, not at the start of its memory."""
        dims, wide = values.shape, values.shape[-1] + 2 * self.size(5)
        padded = np.full((*dims[:-1], wide), np.nan)
        padded[..., 2:2 + dims[-1]] = values
        whole = self.device.tensor(padded, dtype)
        return whole.view(dims, whole.strides, 2)

    def placed(self, values, dtype):
        return self.strided(values, dtype) if self.pick(True, False) else self.device.tensor(values, dtype)

    # Sums of k products in f32: their error grows with the sum of the magnitudes.
    def product(self, a, b):
        return a @ b, 2.0**-21 * (np.abs(a) @ np.abs(b))

    def Mm(self, dtype):
        m, k, n = self.size(self.pick(1, 4, 40)), self.size(300), self.size(70)
        a, b = self.values((m, k), dtype), self.values((k, n), dtype)
        x, out = self.placed(a, dtype), self.device.empty((m, n), dtype)
        kind = self.pick("transposed", "contiguous", "strided", "range of rows")
        if kind == "transposed":
            weight = self.device.tensor(b.T, dtype).transposed()
        elif kind == "range of rows":
            whole = self.device.tensor(np.vstack([np.full((3, k), np.nan), b.T, np.full((2, k), np.nan)]), dtype)
            weight = whole.view((n, k), (k, 1), 3 * k).transposed()
        else:
            weight = self.strided(b, dtype) if kind == "strided" else self.device.tensor(b, dtype)
        self.device.call("Mm", x, weight, out, ctypes.c_int8(0))
        expected, slack = self.product(a, b)
        self.checks.close("Mm", out.read(), expected, dtype, slack + np.abs(expected) * EPSILON[dtype], f"{m} {k} {n} {kind}")
        self.device.free(x, weight, out)

    def WeightQuantBatchMatmulV2(self, dtype):
        kind = self.pick("i8", "i4")
        m, k, n = self.size(self.pick(1, 20)), 2 * self.size(150), 2 * self.size(40)
        group = self.pick(0, 32, 64) if k > 65 else 0
        groups = -(-k // group) if group else 1
        low = -128 if kind == "i8" else -8
        q = self.random.integers(low, -low, (k, n))
        per_tensor = not group and self.pick(True, False)
        shape = (1, 1) if per_tensor else (groups, n)
        scale = rounded(self.random.uniform(0.001, 0.02, shape), dtype)
        offset = rounded(self.random.integers(-8, 9, shape), dtype) if self.pick(True, False) else None
        # [k, n] of what the cube takes: f16 rounds after the addition and after the product, bf16 after the product.
        widen = lambda values: np.repeat(np.broadcast_to(values, (groups, n)), group or k, axis=0)[:k]
        total = q + (0 if offset is None else widen(offset))
        weight = rounded((rounded(total, dtype) if dtype == "f16" else total) * widen(scale), dtype)
        is_transposed = self.pick(True, False)
        place = lambda values, type_: self.device.tensor(values.T, type_).transposed() if is_transposed else self.device.tensor(values, type_)
        # One scale, or one a column, may also be of one dimension.
        def parameters(values):
            return self.device.tensor(values.reshape(-1), dtype) if not group and self.pick(True, False) else place(values, dtype)
        scales = parameters(scale)
        offsets = None if offset is None else place(offset, dtype) if len(scales.dims) == 2 else self.device.tensor(offset.reshape(-1), dtype)
        a, bias_type = self.values((m, k), dtype), "f16" if dtype == "f16" else "f32"
        bias = self.values((n,), bias_type) if self.pick(True, False) else None
        x, weights, out = self.device.tensor(a, dtype), place(q, kind), self.device.empty((m, n), dtype)
        biases = None if bias is None else self.device.tensor(bias, bias_type)
        self.device.call("WeightQuantBatchMatmulV2", x, weights, scales, offsets, None, None, biases, ctypes.c_int(group), out)
        expected, slack = self.product(a, weight)
        expected = expected if bias is None else expected + bias
        self.checks.close("WeightQuantBatchMatmulV2", out.read(), expected, dtype, slack + np.abs(expected) * EPSILON[dtype],
                          f"{kind} {m} {k} {n} group {group} transposed {is_transposed}")
        self.device.free(x, weights, out, scales)

    def normed(self, x, gamma, axes, epsilon):
        rstd = 1 / np.sqrt((x * x).mean(axis=axes, keepdims=True) + epsilon)
        return x * rstd * gamma, rstd

    def norm_shapes(self):
        dims = tuple(self.size(4) for _ in range(self.pick(1, 2, 3))) + (self.size(200),)
        n = self.pick(1, 1, min(2, len(dims)))
        return dims, n, dims[:-n] + (1,) * n, tuple(range(len(dims) - n, len(dims)))

    def RmsNorm(self, dtype):
        dims, n, reduced, axes = self.norm_shapes()
        gamma_type = self.pick(dtype, "f32")
        x, gamma, epsilon = self.values(dims, dtype, 2), self.values(dims[-n:], gamma_type), self.pick(1e-5, 1e-6)
        y, rstd = self.device.empty(dims, dtype), self.device.empty(reduced, "f32")
        tensors = self.placed(x, dtype), self.placed(gamma, gamma_type)
        self.device.call("RmsNorm", *tensors, epsilon, y, rstd)
        expected, expected_rstd = self.normed(x, gamma, axes, epsilon)
        self.checks.close("RmsNorm", y.read(), expected, dtype, np.abs(expected) * 2.0**-20, dims)
        self.checks.close("RmsNorm", rstd.read(), expected_rstd, "f32", expected_rstd * 2.0**-20, dims)
        self.device.free(*tensors, y, rstd)

    def AddRmsNorm(self, dtype):
        dims, n, reduced, axes = self.norm_shapes()
        a, b, gamma = self.values(dims, dtype), self.values(dims, dtype), self.values(dims[-n:], dtype)
        y, rstd, x = self.device.empty(dims, dtype), self.device.empty(reduced, "f32"), self.device.empty(dims, dtype)
        tensors = self.placed(a, dtype), self.placed(b, dtype), self.device.tensor(gamma, dtype)
        self.device.call("AddRmsNorm", *tensors, 1e-5, y, rstd, x)
        total = rounded(a + b, dtype)
        self.checks.close("AddRmsNorm", x.read(), total, dtype, 0, dims)
        # The norm is of the sum that was written.
        expected, expected_rstd = self.normed(x.read(), gamma, axes, 1e-5)
        self.checks.close("AddRmsNorm", y.read(), expected, dtype, np.abs(expected) * 2.0**-20, dims)
        self.checks.close("AddRmsNorm", rstd.read(), expected_rstd, "f32", expected_rstd * 2.0**-20, dims)
        self.device.free(*tensors, y, rstd, x)

    def RotaryPositionEmbedding(self, dtype):
        mode, d = self.pick(0, 1), self.pick(64, 128, 2 * self.size(40))
        dims = (self.size(3), self.size(6), self.size(9), d)
        repeats = self.pick((1, 0, 1), (0, 0, 0), (0, 0, 1), (0, 1, 1)) if mode == 0 else self.pick((1, 0, 1), (0, 1, 1))
        angles_dims = tuple(1 if repeat else dim for repeat, dim in zip(repeats, dims)) + (d,)
        x, cos, sin = self.values(dims, dtype), self.values(angles_dims, dtype), self.values(angles_dims, dtype)
        out = self.device.empty(dims, dtype)
        tensors = [self.placed(values, dtype) for values in (x, cos, sin)]
        self.device.call("RotaryPositionEmbedding", *tensors, mode, out)
        if mode == 0:
            turned = np.concatenate([-x[..., d // 2:], x[..., :d // 2]], axis=-1)
        else:
            turned = np.stack([-x[..., 1::2], x[..., 0::2]], axis=-1).reshape(dims)
        slack = (np.abs(x * cos) + np.abs(turned * sin)) * 2.0**-22
        self.checks.close("RotaryPositionEmbedding", out.read(), x * cos + turned * sin, dtype, slack, f"{dims} {angles_dims} mode {mode}")
        self.device.free(*tensors, out)

    def SwiGlu(self, dtype):
        dims = [self.size(5), self.size(6), self.size(30)]
        dim = self.pick(-1, 0, 1, 2)
        dims[dim] *= 2
        x = self.values(dims, dtype, self.pick(1, 20))
        gate, up = np.split(x, 2, axis=dim)
        tensor, out = self.device.tensor(x, dtype), self.device.empty(gate.shape, dtype)
        self.device.call("SwiGlu", tensor, dim, out)
        with np.errstate(over="ignore"):
            expected = gate / (1 + np.exp(-gate)) * up
        self.checks.close("SwiGlu", out.read(), expected, dtype, np.abs(expected) * 2.0**-20, f"{dims} {dim}")
        self.device.free(tensor, out)

    def Embedding(self, dtype):
        n, width, index_type = self.size(50), self.size(40), self.pick("i32", "i64")
        weight, indices = self.values((n, width), dtype), self.random.integers(0, n, self.pick((self.size(20),), (2, 3)))
        tensors = self.placed(weight, dtype), self.device.tensor(indices, index_type), self.device.empty((*indices.shape, width), dtype)
        self.device.call("Embedding", *tensors)
        self.checks.equal("Embedding", tensors[2].read(), weight[indices])
        self.device.free(*tensors)

    def IndexSelect(self, dtype):
        dims, dim = [self.size(6) for _ in range(self.pick(1, 2, 3))], 0
        dim = int(self.random.integers(-len(dims), len(dims)))
        values, index = self.values(dims, dtype), self.random.integers(0, dims[dim], self.size(10))
        expected = np.take(values, index, axis=dim)
        tensors = self.placed(values, dtype), self.device.tensor(index, self.pick("i32", "i64")), self.device.empty(expected.shape, dtype)
        self.device.call("IndexSelect", tensors[0], dim, *tensors[1:])
        self.checks.equal("IndexSelect", tensors[2].read(), expected, f"{dims} {dim}")
        self.device.free(*tensors)

    def InplaceIndexCopy(self, dtype):
        dims = [self.size(8) for _ in range(self.pick(1, 2, 3))]
        dim = int(self.random.integers(-len(dims), len(dims)))
        values, index = self.values(dims, dtype), self.random.permutation(dims[dim])[:self.size(dims[dim])]
        source = self.values([len(index) if i == dim % len(dims) else size for i, size in enumerate(dims)], dtype)
        expected = values.copy()
        expected[(slice(None),) * (dim % len(dims)) + (index,)] = source
        tensors = self.placed(values, dtype), self.device.tensor(index, self.pick("i32", "i64")), self.placed(source, dtype)
        self.device.call("InplaceIndexCopy", tensors[0], dim, *tensors[1:])
        self.checks.equal("InplaceIndexCopy", tensors[0].read(), expected, f"{dims} {dim}")
        self.device.free(*tensors)

    def InplaceCopy(self, dtype):
        dims, source_type = (self.size(4), self.size(5), self.size(6)), self.pick(dtype, "f32", "i32")
        source_dims = tuple(1 if self.pick(True, False) else size for size in dims)[self.pick(0, 1):]
        values = self.random.integers(-9, 9, source_dims) if source_type == "i32" else self.values(source_dims, source_type)
        tensors = self.placed(np.zeros(dims), dtype), self.placed(values.astype(np.float64), source_type) if source_type != "i32" else self.device.tensor(values, "i32")
        self.device.call("InplaceCopy", *tensors)
        self.checks.equal("InplaceCopy", tensors[0].read(), rounded(np.broadcast_to(values, dims), dtype), f"{dims} {source_dims} {source_type}")
        self.device.free(*tensors)

    def broadcast_pair(self):
        dims = tuple(self.size(6) for _ in range(self.pick(1, 2, 3)))
        thin = lambda: tuple(1 if self.random.random() < 0.3 else size for size in dims)
        return thin(), dims[1:] if len(dims) > 1 and self.pick(True, False) else thin()

    def Add(self, dtype):
        first, second = self.broadcast_pair()
        a, b, alpha = self.values(first, dtype), self.values(second, dtype), self.pick(1.0, -0.5, 3.0)
        expected = a + alpha * b
        tensors, out = (self.placed(a, dtype), self.placed(b, dtype)), self.device.empty(expected.shape, dtype)
        self.device.call("Add", *tensors, self.device.scalar(alpha), out)
        self.checks.close("Add", out.read(), expected, dtype, 2.0**-22 * 9, f"{first} {second}")
        self.device.free(*tensors, out)

    def GtTensor(self, dtype):
        first, second = self.broadcast_pair()
        kind = self.pick(dtype, "i32", "i64")
        a, b = self.random.integers(-3, 4, first), self.random.integers(-3, 4, second)
        expected = a > b
        tensors, out = (self.device.tensor(a, kind), self.device.tensor(b, kind)), self.device.empty(expected.shape, "bool")
        self.device.call("GtTensor", *tensors, out)
        self.checks.equal("GtTensor", out.read(), expected, f"{first} {second} {kind}")
        self.device.free(*tensors, out)

    def MaxDim(self, dtype):
        dims = [self.size(6) for _ in range(self.pick(1, 2, 3))]
        dim, keep, index_type = int(self.random.integers(-len(dims), len(dims))), self.pick(True, False), self.pick("i32", "i64")
        values = rounded(self.random.integers(-4, 5, dims), dtype)  # many are alike: the first counts
        if self.pick(True, False):
            values[self.random.random(dims) < 0.1] = np.nan
        best = np.argmax(values, axis=dim)  # numpy's, too, takes the first NaN
        largest = np.take_along_axis(values, np.expand_dims(best, dim), dim)
        best, largest = (np.expand_dims(best, dim), largest) if keep else (best, np.squeeze(largest, dim))
        tensor, out, indices = self.placed(values, dtype), self.device.empty(best.shape, dtype), self.device.empty(best.shape, index_type)
        self.device.call("MaxDim", tensor, dim, keep, out, indices)
        self.checks.equal("MaxDim", out.read(), largest, f"{dims} {dim}")
        self.checks.equal("MaxDim", indices.read(), best.astype(indices.read().dtype), f"{dims} {dim}")
        self.device.free(tensor, out, indices)

    def paged(self, caches, lengths, block, is_head_major, dtype):
        """Blocks of [tokens, heads, D] caches in a random order among unused ones, and their table."""
        heads, d = caches[0].shape[1:]
        counts = [-(-length // block) for length in lengths]
        width, n = max(counts) + self.size(2) - 1, sum(counts) + self.size(3)
        order, table = list(self.random.permutation(n)), np.full((len(lengths), width), -1)
        blocks = np.full((n, block, heads, d), np.nan)
        for b, (cache, count) in enumerate(zip(caches, counts)):
            for i in range(count):
                table[b, i] = order.pop()
                rows = cache[i * block:min((i + 1) * block, lengths[b])]
                blocks[table[b, i], :len(rows)] = rows
        blocks = blocks.transpose(0, 2, 1, 3) if is_head_major else blocks.reshape(n, block, heads * d)
        return blocks, table

    def attention_mask(self, batch, queries, lengths, width):
        """A mask for sparse mode 0 in one of its shapes and what it hides as [batch, queries, width]."""
        height = queries
        hidden = self.random.random((batch, height, width)) < 0.4
        hidden[:, :, 0] = False  # everything sees something
        form = self.pick(2, 3, 4)
        if queries == 1:
            return hidden.reshape([(batch, width), (batch, 1, width), (batch, 1, 1, width)][form - 2]), hidden
        if form == 2 or self.pick(True, False):
            hidden[:] = hidden[:1]
            return hidden[0] if form == 2 else hidden[:1].reshape([(1, height, width), (1, 1, height, width)][form - 3]), hidden
        return hidden.reshape([(batch, height, width), (batch, 1, height, width)][form - 3]), hidden

    def attention_reference(self, q, keys, values, visible, lengths, scale, dtype):
        """[batch, queries, heads, D], the log-sum-exp, and the magnitude that errors are relative to."""
        batch, queries, heads, d = q.shape
        ratio = heads // keys[0].shape[1]
        out, lse, size = np.zeros(q.shape), np.full((batch, heads, queries, 1), np.inf), np.zeros(q.shape)
        for b in range(batch):
            for h in range(heads):
                k, v = keys[b][:lengths[b], h // ratio], values[b][:lengths[b], h // ratio]
                scores = np.where(visible[b], q[b, :, h] @ k.T * scale, -np.inf)
                for i in np.flatnonzero(visible[b].any(axis=1)):
                    p = np.exp(scores[i] - scores[i].max())
                    out[b, i, h] = rounded(p, dtype) @ v / p.sum()
                    size[b, i, h] = rounded(p, dtype) @ np.abs(v) / p.sum()
                    lse[b, h, i, 0] = np.log(p.sum()) + scores[i].max()
        return out, lse, size

    def FusedInferAttentionScoreV2(self, dtype):
        batch, d = self.size(3), self.pick(16, 64, 128)
        queries = self.pick(1, 1, self.size(20))
        kv_heads, ratio = self.size(3), self.pick(1, 3, 4)
        heads, layout = kv_heads * ratio, self.pick("BSH", "BSND", "BNSD") if queries == 1 else self.pick("BSH", "BSND", "BNSD", "BNSD_BSND")
        is_paged, is_head_major = self.pick(True, False), layout in ("BNSD", "BNSD_BSND")
        is_cache_head_major = is_head_major and (not is_paged or self.pick(True, False))
        block = self.pick(16, 128) if queries == 1 else 128
        lengths = [int(self.random.integers(queries, queries + 150)) for _ in range(batch)]
        keys, values = ([self.values((length, kv_heads, d), dtype) for length in lengths] for _ in range(2))
        q, scale = self.values((batch, queries, heads, d), dtype, 2), float(d**-0.5)
        query_lengths = [int(self.random.integers(1, queries + 1)) for _ in range(batch)] if queries > 1 and self.pick(True, False) else None
        longest = max(lengths)

        def placed_queries(array):
            if layout == "BSH":
                return array.reshape(batch, queries, heads * d)
            return array.transpose(0, 2, 1, 3) if is_head_major else array

        table = None
        if is_paged:
            state = self.random.bit_generator.state
            key_blocks, table = self.paged(keys, lengths, block, is_cache_head_major, dtype)
            self.random.bit_generator.state = state
            value_blocks, _ = self.paged(values, lengths, block, is_cache_head_major, dtype)
            width = table.shape[1] * block
            key_list, value_list = [key_blocks], [value_blocks]
        else:
            width = longest
            one_each = self.pick(True, False)
            arrange = lambda cache: cache.reshape(*cache.shape[:2], kv_heads * d) if layout == "BSH" else cache.transpose(0, 2, 1, 3) if is_head_major else cache
            if one_each:
                key_list, value_list = ([arrange(cache[None]) for cache in caches] for caches in (keys, values))
            else:
                padded = lambda caches: np.stack([np.concatenate([cache, np.full((longest - len(cache), kv_heads, d), np.nan)]) for cache in caches])
                key_list, value_list = [arrange(padded(keys))], [arrange(padded(values))]

        sparse, mask, visible = 0, None, [np.ones((queries, length), bool) for length in lengths]
        before, after = INT_MAX, INT_MAX
        kind = self.pick("none", "mask", "causal") if queries > 1 else self.pick("none", "mask")
        if kind == "mask":
            mask, hidden = self.attention_mask(batch, queries, lengths, width)
            visible = [~hidden[b, :, :lengths[b]] for b in range(batch)]
            if queries > 1 and self.pick(True, False):
                before, after = self.size(30), self.size(30)
                for b in range(batch):
                    i, j = np.ogrid[:queries, :lengths[b]]
                    visible[b] &= (j >= i - before) & (j <= i + after)
        elif kind == "causal":
            sparse, mask = self.pick(2, 3), np.triu(np.ones((2048, 2048), bool), 1)
            for b in range(batch):
                shift = 0 if sparse == 2 else lengths[b] - (query_lengths[b] if query_lengths else queries)
                i, j = np.ogrid[:queries, :lengths[b]]
                visible[b] = j <= i + shift
        for b in range(batch if query_lengths else 0):
            visible[b][query_lengths[b]:] = False
        wants_lse, inner_precise = self.pick(True, False), self.pick(0, 2)
        expected, expected_lse, magnitude = self.attention_reference(q, keys, values, visible, lengths, scale, dtype)
        if inner_precise == 0 and sparse != 3:  # without the correction a query that sees nothing is not a number
            for b in range(batch):
                blind = ~visible[b].any(axis=1) & (np.arange(queries) < (query_lengths[b] if query_lengths else queries))
                expected[b, blind] = np.nan

        tensors = [self.device.tensor(placed_queries(q), dtype)]
        lists = [[self.device.tensor(item, dtype) for item in items] for items in (key_list, value_list)]
        masks = None if mask is None else self.device.tensor(mask, self.pick("bool", "i8", "u8"))
        tables = None if table is None else self.device.tensor(table, "i32")
        out_dims = placed_queries(q).shape if layout != "BNSD_BSND" else q.shape
        out, lse = self.device.empty(out_dims, dtype), self.device.empty((batch, heads, queries, 1), "f32") if wants_lse else None
        kv_lengths = self.device.integers(lengths)
        self.device.call(
            "FusedInferAttentionScoreV2", tensors[0], self.device.tensors(lists[0]), self.device.tensors(lists[1]), None, masks,
            self.device.integers(query_lengths), kv_lengths, *[None] * 7, tables, *[None] * 9, heads, scale, before, after,
            ctypes.c_char_p(layout.encode()), kv_heads if ratio > 1 else self.pick(0, kv_heads), sparse, inner_precise, block if is_paged else 0,
            0, wants_lse, 0, 0, out, lse)
        got = out.read()
        got = got.transpose(0, 2, 1, 3) if layout == "BNSD" else got.reshape(q.shape)
        what = f"{layout} B {batch} S {queries} N {heads}/{kv_heads} D {d} kv {lengths} q {query_lengths} paged {is_paged} {kind} {sparse}"
        # A probability that rounds the other way moves the result by one unit of it.
        self.checks.close("FusedInferAttentionScoreV2", got, expected, dtype, magnitude * EPSILON[dtype], what)
        if wants_lse:
            self.checks.close("FusedInferAttentionScoreV2", lse.read(), expected_lse, "f32", 2.0**-17, what)
        self.device.free(*tensors, *lists[0], *lists[1], out)


NAMES = ("Embedding", "IndexSelect", "RmsNorm", "AddRmsNorm", "Mm", "WeightQuantBatchMatmulV2", "RotaryPositionEmbedding", "InplaceIndexCopy",
         "FusedInferAttentionScoreV2", "SwiGlu", "Add", "InplaceCopy", "GtTensor", "MaxDim")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", required=True)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=NAMES)
    options = parser.parse_args()
    cases = Cases(Device(options.emulator), options.seed)
    for name in NAMES if options.only is None else (options.only,):
        for i in range(options.n):
            for dtype in ("f16", "bf16", "f32") if name == "Mm" else ("f16", "bf16"):
                try:
                    getattr(cases, name)(dtype)
                except Refused as refusal:
                    cases.checks.failures.append(f"{name} {dtype} case {i}: refused, {refusal}")
    for name, n in cases.checks.n.items():
        print(f"{name}: {n} results, largest error {cases.checks.worst[name]:.2f} of what is allowed")
    for failure in cases.checks.failures[:20]:
        print(failure)
    print(f"{len(cases.checks.failures)} failures")
    return 1 if cases.checks.failures else 0


if __name__ == "__main__":
    sys.exit(main())
