"""The graph pass: what it keeps, what it names, and what it refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convert.small_nets import Branches, PreActivation, Residual
from spikeworks.convert import normalise, replace_activations
from spikeworks.convert.activation import QCFS, Clip
from spikeworks.convert.graph import channel_axis, sites, until


class Function(nn.Module):
    """A network whose forward is given: ``forward(self, y)`` on the output of a convolution."""

    def __init__(self, body: Callable[[Any, Tensor], Any], **modules: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        for name, module in modules.items():
            self.add_module(name, module)
        self.body = body

    def forward(self, x: Tensor) -> Any:
        return self.body(self, torch.relu(self.conv(x)))


def normal(network: nn.Module) -> nn.Module:
    """In evaluation mode, normalisation with statistics other than 0 and 1."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize(
    ("make", "names"),
    [
        (Residual, ["act", "act_2", "relu", "act_3"]),
        (Branches, ["relu", "relu_2", "relu6", "relu_3"]),
        (PreActivation, ["relu", "relu_2"]),
    ],
)
def test_computes_what_the_network_computes(make: Callable[[], nn.Module], names: list[str], fold: bool) -> None:
    source = normal(make())
    before = copy.deepcopy(source.state_dict())
    network = normalise(source, fold=fold)
    x = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(network(x), source(x), rtol=1e-5 if fold else 0, atol=1e-5 if fold else 0)
    assert sites(network) == names
    assert all(torch.equal(value, before[key]) for key, value in source.state_dict().items())
    assert not [module for module in network.modules() if isinstance(module, nn.Dropout)]


def test_folding_leaves_what_cannot_be_folded() -> None:
    folded = normalise(normal(PreActivation()), fold=True)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == 0  # both follow convolutions
    shared = nn.Conv2d(1, 1, 3, padding=1)
    twice = nn.Sequential(shared, nn.BatchNorm2d(1), nn.ReLU(), shared, nn.BatchNorm2d(1), nn.ReLU(), nn.BatchNorm2d(1))
    network = normalise(normal(twice), fold=True)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == 3
    x = torch.randn(2, 1, 5, 5)
    assert torch.equal(network(x), twice(x))


@pytest.mark.parametrize(
    ("layer", "norm", "shape"),
    [
        (nn.Conv1d(4, 6, 3, groups=2), nn.BatchNorm1d(6), (4, 9)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), nn.BatchNorm2d(6), (4, 5, 5)),
        (nn.Conv3d(2, 3, 2, bias=False), nn.BatchNorm3d(3, affine=False), (2, 4, 4, 4)),
        (nn.Linear(5, 7), nn.BatchNorm1d(7), (5,)),
    ],
)
def test_folding_is_exact_up_to_rounding(layer: nn.Module, norm: nn.Module, shape: tuple[int, ...]) -> None:
    source = normal(nn.Sequential(layer, norm, nn.ReLU())).double()
    network = normalise(source, fold=True)
    assert len(list(network.children())) == 2
    x = torch.randn(3, *shape, dtype=torch.float64)
    torch.testing.assert_close(network(x), source(x), rtol=1e-12, atol=1e-12)


def test_activations_written_in_any_way_become_sites() -> None:
    def body(self: Any, y: Tensor) -> Tensor:
        y = F.relu6(y - 1) + y.clamp(min=0) + torch.clamp(y, 0, 2.5) + F.hardtanh(y, 0, 3.0) + y.relu() + self.six(y)
        return self.quantised(self.quantised(y))

    network = normalise(Function(body, six=nn.ReLU6(), quantised=QCFS(4, 2.0)).eval())
    assert sites(network) == [
        "relu", "relu6", "clamp", "clamp_2", "hardtanh", "relu_2", "six", "quantised", "quantised_2"
    ]  # fmt: skip
    bounds = [float(m.bound) for m in map(network.get_submodule, sites(network)) if isinstance(m, Clip)]
    assert bounds == [6, 2.5, 3, 6]
    with torch.no_grad():
        network.get_submodule("quantised").bound.fill_(3.0)  # type: ignore[union-attr, operator]
    assert network.get_submodule("quantised_2").bound == 2.0  # no longer shared


def test_in_place_activations_keep_their_meaning() -> None:
    def body(self: Any, y: Tensor) -> Tensor:
        y = y - 0.5
        z = F.relu(y, inplace=True)
        w = z * 2 + y  # y was overwritten
        w.mul_(3)
        return self.act(w) + w

    source = Function(body, act=nn.ReLU(inplace=True)).eval()
    network = normalise(source)
    x = torch.randn(3, 1, 6, 6)
    assert torch.equal(network(x), source(x.clone()))


class ThroughIdentity(nn.Module):
    """What skips is the same memory as what is overwritten, so the shortcut is rectified, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.skip = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Identity()
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        skipped = self.skip(y)
        return self.conv2(self.act(y)) + skipped


def test_an_identity_of_what_is_overwritten_sees_the_change() -> None:
    source, x = ThroughIdentity().eval(), torch.randn(2, 1, 6, 6)
    assert torch.equal(normalise(source)(x), source(x))


HIDDEN: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "flattened": lambda self, y: F.relu(self.conv2(y).flatten(1), inplace=True).sum(1) + y.flatten(1).sum(1),
    "view": lambda self, y: (F.relu((z := self.conv2(y)).view(-1, 64), inplace=True).sum(1), z.flatten(1).sum(1))[1],
    "part": lambda self, y: ((z := self.conv2(y)).chunk(2, 1)[0].relu_(), z)[1],
}


@pytest.mark.parametrize("name", ["view", "part"])
def test_what_is_overwritten_under_another_name_is_refused(name: str) -> None:
    source = Function(HIDDEN[name], conv2=nn.Conv2d(4, 4, 3, padding=1)).eval()
    with pytest.raises(ValueError, match=r"read again under another name.*inplace=False"):
        normalise(source)


def test_a_view_that_only_is_read_may_be_overwritten() -> None:
    source, x = Function(HIDDEN["flattened"], conv2=nn.Conv2d(4, 4, 3, padding=1)).eval(), torch.randn(2, 1, 4, 4)
    assert torch.equal(normalise(source)(x), source(x))


def test_derived_wrapped_and_parametrised_modules_are_what_they_derive_from() -> None:
    class Mine(nn.BatchNorm2d):
        pass

    source = normal(nn.Sequential(nn.Conv2d(1, 4, 3), Mine(4), nn.ReLU(), nn.Conv2d(4, 2, 3)))
    x = torch.randn(2, 1, 8, 8)
    for wrapped in (source, nn.DataParallel(source).eval(), torch.compile(source, backend="eager")):
        assert torch.equal(normalise(wrapped)(x), source(x))  # type: ignore[arg-type]
    for fold in (False, True):
        weighted = nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 4, 3)), Mine(4), nn.ReLU())
        torch.testing.assert_close(normalise(weighted.eval(), fold=fold)(x), weighted(x))


def test_tensors_made_and_keywords_used_in_forward_are_kept() -> None:
    body = lambda self, y: self.drop(input=self.act(input=y - torch.tensor([0.5, 0.0, 0.2, 0.1]).view(4, 1, 1)))  # noqa: E731
    source, x = Function(body, drop=nn.Dropout(), act=nn.ReLU()).eval(), torch.randn(2, 1, 4, 4)
    network = normalise(source)
    assert torch.equal(copy.deepcopy(network)(x), source(x))


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    network = normalise(Function(lambda self, y: self.relu(y), relu=nn.Conv2d(4, 2, 1)).eval())
    assert sites(network) == ["relu_2"]
    assert isinstance(network.get_submodule("relu"), nn.Conv2d)


def test_names_are_those_of_the_block_that_calls() -> None:
    class Block(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x) + 1

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(3, 3), Block(), nn.ModuleDict({"a": Block()})["a"])

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    assert sites(normalise(Net().eval())) == ["body.1.relu", "body.2.relu"]


def test_names_survive_a_second_pass() -> None:
    first = replace_activations(Residual(), lambda: QCFS(4)).eval()
    assert sites(normalise(first)) == sites(first) == sites(normalise(Residual().eval()))


REFUSED: dict[str, tuple[Callable[[Any, Tensor], Any], dict[str, nn.Module], str]] = {
    "sigmoid": (lambda self, y: self.act(y), {"act": nn.Sigmoid()}, "Sigmoid in 'act'"),
    "gelu": (lambda self, y: F.gelu(y), {}, "gelu"),
    "leaky": (lambda self, y: self.act(y), {"act": nn.LeakyReLU()}, "LeakyReLU"),
    "hardtanh": (lambda self, y: self.act(y), {"act": nn.Hardtanh()}, "Hardtanh"),
    "softmax": (lambda self, y: y.softmax(1), {}, "softmax"),
    "layer norm": (lambda self, y: self.norm(y), {"norm": nn.LayerNorm(8)}, "batch normalisation"),
    "lstm": (lambda self, y: self.cell(y.mean(1))[0], {"cell": nn.LSTM(8, 8)}, "recurrent"),
    "product": (lambda self, y: y * y, {}, "product of two activations"),
    "matrix product": (lambda self, y: y @ y, {}, "product of two activations"),
    "quotient": (lambda self, y: 1 / y, {}, "division"),
    "absolute": (lambda self, y: y.abs(), {}, "abs"),
    "power": (lambda self, y: y**2, {}, "pow"),
    "largest": (lambda self, y: y.amax((2, 3)), {}, "amax"),
    "clamp both": (lambda self, y: y.clamp(-1, 1), {}, "clamp"),
    "indices": (lambda self, y: self.pool(y)[0], {"pool": nn.MaxPool2d(2, return_indices=True)}, "indices"),
    "no statistics": (lambda self, y: self.n(y), {"n": nn.BatchNorm2d(4, track_running_stats=False)}, "statistics"),
    "mean of all": (lambda self, y: y - y.mean(), {}, "batch axis"),
    "flatten all": (lambda self, y: torch.flatten(y), {}, "batch axis"),
    "cat samples": (lambda self, y: torch.cat([y, y]), {}, "batch axis"),
    "one sample": (lambda self, y: y[0], {}, "batch axis"),
    "turned": (lambda self, y: y.permute(1, 0, 2, 3), {}, "batch axis"),
    "transposed": (lambda self, y: y.transpose(0, 1), {}, "batch axis"),
    "one sample, kept": (lambda self, y: y - y[0:1], {}, "batch axis"),
    "some samples": (lambda self, y: y[:3], {}, "batch axis"),
    "rounding": (lambda self, y: y.to(torch.int64).float(), {}, "whole numbers"),
    "data": (lambda self, y: y.data.sigmoid(), {}, "the attribute 'data'.*use the tensor itself"),
    "softmax at the end": (lambda self, y: self.act(y), {"act": nn.Softmax(1)}, "return the logits themselves"),
    "sigmoid at the end": (lambda self, y: y.sigmoid(), {}, "return the logits themselves"),
    "computed size": (lambda self, y: F.avg_pool2d(y, y.size()[3]), {}, "give its size as a number"),
    "branch": (lambda self, y: y if y.sum() > 0 else -y, {}, "cannot be traced"),
    "two outputs": (lambda self, y: (y, y), {}, "one tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_spiking_form_is_refused_by_name(name: str) -> None:
    body, modules, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        normalise(Function(body, **modules).eval())
    assert "expected" in str(caught.value)
    if name != "two outputs":
        assert "test_graph.py:" in str(caught.value)  # the line


def test_a_network_in_training_mode_is_refused() -> None:
    network = PreActivation().eval()
    network.bn2.train()
    with pytest.raises(ValueError, match=r"'bn2'.*call \.eval\(\)"):
        normalise(network)


def test_a_network_without_activations_is_refused() -> None:
    with pytest.raises(ValueError, match="without any activation"):
        normalise(nn.Linear(2, 2).eval())


def test_a_single_activation_is_a_network() -> None:
    assert sites(normalise(nn.ReLU().eval())) == ["0"]


def test_optional_arguments_take_their_defaults() -> None:
    assert torch.isfinite(normalise(Branches().eval())(torch.randn(2, 1, 8, 8))).all()


def test_channel_axes() -> None:
    network = normalise(Branches().eval())
    assert [channel_axis(network, name) for name in sites(network)] == [1, 1, 1, 1]
    tokens = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Flatten(), nn.ReLU())
    network = normalise(tokens.eval())
    assert [channel_axis(network, name) for name in sites(network)] == [-1, None]


def test_the_part_before_a_site() -> None:
    network = normalise(Residual().eval())
    x = torch.randn(2, 1, 8, 8)
    y = torch.relu(network.conv1(x))  # type: ignore[operator]
    part = until(network, "act_2")
    assert torch.equal(part(x), network.conv2(y) + y)  # type: ignore[operator]
    assert sites(part) == ["act"]
