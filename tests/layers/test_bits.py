"""Tensors in few bits come back as they were; others are refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.layers import bits

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
COUNTS = (1, 15, 16, 17, 4095, 4096, 4097, 8193)


@pytest.mark.parametrize("dtype", [*FLOATS, torch.uint8, torch.bool], ids=str)
@pytest.mark.parametrize("count", COUNTS)
def test_round_trip_and_the_words_are_torch_s(dtype, count):
    for planes, most in ((1, 1), (2, 2), (2, 3), (4, 4), (4, 15)):
        if dtype == torch.bool and planes > 1:
            continue
        x = torch.randint(0, most + 1, (count,)).to(dtype)
        x[-1] = most
        packed = bits.pack(x)
        assert packed is not None
        assert packed.planes == planes
        assert torch.equal(packed.unpack(), x)
        assert packed.words.nbytes == -(-count // 16) * 2 * planes
        assert torch.equal(packed.words, bits._to_words(x, planes))
        assert torch.equal(bits._from_words(packed.words, planes, count).to(dtype), x)


@pytest.mark.parametrize("value", [-0.0, 0.5, 1.0078125, 16.0, -1.0, float("nan"), float("inf"), 1e-6])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("count", COUNTS)
def test_one_other_value_anywhere_is_seen(dtype, value, count):
    for at in {0, count // 2, count - 1}:
        x = torch.ones(count, dtype=dtype)
        x[at] = value
        assert bits.pack(x) is None
        assert all(bits._to_words(x, planes) is None for planes in bits.PLANES)


@given(st.permutations(range(4)), st.tuples(*[st.integers(1, 5)] * 4), st.integers(0, 3))
def test_any_order_of_axes_and_gaps_are_refused(order, shape, cut):
    x = (torch.rand(shape) < 0.5).float().permute(order)
    packed = bits.pack(x)
    assert packed is not None
    back = packed.unpack()
    assert torch.equal(back, x)
    assert back.stride() == x.stride()
    wide = torch.zeros(*x.shape[:-1], x.shape[-1] + cut + 1)[..., : x.shape[-1]]
    assert bits.pack(wide) is None or bits.unbroken(wide)
    assert bits.pack(x[:1].expand(3, *x.shape[1:])) is None


def test_a_part_of_a_tensor_is_packed_alone():
    x = torch.randint(0, 2, (6, 33)).float()
    packed = bits.pack(x[2:4])
    assert packed is not None
    assert torch.equal(packed.unpack(), x[2:4])


def test_what_has_no_bits():
    assert bits.pack(torch.zeros(0)) is None
    assert bits.pack(torch.ones(4, dtype=torch.int32)) is None
    assert bits.pack(torch.full((4,), 2**31)) is None
    assert bits.pack(torch.ones(4, dtype=torch.complex64)) is None


def test_without_kernels_and_on_threads(monkeypatch):
    x = torch.randint(0, 4, (1 << 17,)).float()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    threaded = bits.pack(x)
    assert torch.equal(threaded.unpack(), x)
    monkeypatch.setattr(bits.native, "unavailable", lambda: "not here")
    plain = bits.pack(x)
    assert torch.equal(plain.words, threaded.words)
    assert torch.equal(plain.unpack(), x)


def test_large_tensors_go_past_the_cache():
    x = torch.randint(0, 2, (1 << 20,)).float()
    assert torch.equal(bits.pack(x).unpack(), x)


@pytest.mark.parametrize("most", [0, 2**15 - 1, -(2**15), 2**15, -(2**31), 2**31 - 1])
def test_places_in_fewer_bytes(most):
    x = torch.zeros(3, 2, 4, 5, dtype=torch.int64).to(memory_format=torch.channels_last)
    x[1, 1, 2, 3] = most
    packed = bits.pack(x)
    assert packed.small.element_size() == (2 if -(2**15) <= most < 2**15 else 4)
    assert torch.equal(packed.unpack(), x)
    assert packed.unpack().stride() == x.stride()
