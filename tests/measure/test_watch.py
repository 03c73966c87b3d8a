"""Watching a neuron shows what it went through, and the figure shows all of it."""

import pytest
import torch

import spikeworks as sw


@pytest.mark.parametrize("name", sw.neurons.ALL)
def test_what_is_seen_is_what_happened(name: str) -> None:
    neuron, x = sw.neurons.ALL[name](), torch.rand(9, 2, 3)
    seen = sw.measure.watch(neuron, x)
    out, end = sw.scan(neuron, x)
    assert torch.equal(seen["output"], out)
    for state, value in zip(neuron.state_names, end, strict=True):
        assert torch.equal(seen[state][-1], value)
    figure = sw.measure.plot_neuron(neuron)
    assert [a.get_ylabel() for a in figure.axes] == ["input", *neuron.state_names, "output"]


def test_a_neuron_of_your_own_has_a_plot() -> None:
    @sw.neuron
    def lazy(x, v, *, keep=0.5):  # type: ignore[no-untyped-def]
        h = keep * v + x
        s = sw.spike(h - 1)
        return s, h - s

    figure = sw.measure.plot_neuron(lazy(keep=0.8), torch.full((30,), 0.4))
    spikes = sw.measure.watch(lazy(keep=0.8), torch.full((30, 1), 0.4))["output"].sum()
    assert len(figure.axes[-1].collections[0].get_segments()) == int(spikes) > 0
    with pytest.raises(ValueError, match="expected \\[T\\]"):
        sw.measure.plot_neuron(lazy(), torch.zeros(3, 2))
