"""Known shapes: their sizes, their two forms, and that time changes nothing."""

import copy
import io
import itertools
import math
import pickle

import pytest
import torch
from torch import nn

import spikeworks as sw
from spikeworks import models
from spikeworks.layers import PSN, SNN, Checkpoint, Dropout, Repeat, Spiking, TemporalEffectiveBatchNorm, last
from spikeworks.models import ALL, Block, ResNetConfig

SMALL = {name: {"width": 0.125} for name in ALL}
SMALL |= {"vgg9": {"width": 0.125, "hidden": (12,)}}
SMALL |= {name: {"width": 0.125, "hidden": (12, 14)} for name in ("vgg11", "vgg16")}
FORMS = [{"form": "plain"}, {"form": "ms"}, *({"form": "sew", "connect": g} for g in ("add", "and", "iand"))]


def small(name: str, **options) -> nn.Module:
    return ALL[name](generator=torch.Generator().manual_seed(0), **{**SMALL[name], "classes": 5, **options})


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def conv(inside: int, outside: int, bias: bool) -> int:
    return 9 * inside * outside + (outside if bias else 0) + 2 * outside  # with its normalisation


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("resnet18", {}, 11_173_962),  # the usual CIFAR-10 figures
        ("resnet34", {}, 21_282_122),
        ("resnet20", {}, 272_474),  # He et al.: 0.27 M
        ("resnet18", {"stem": "imagenet", "classes": 1000}, 11_689_512),  # torchvision's
        ("resnet34", {"stem": "imagenet", "classes": 1000}, 21_797_672),
        # torchvision's vgg16_bn, 138365992: there 7x7 maps and 1000 classes
        ("vgg16", {"image": 224, "classes": 1000}, 138_365_992),
        ("vgg11", {"image": 224, "classes": 1000}, 132_868_840),
    ],
)
def test_published_sizes(name, options, count):
    with torch.device("meta"):
        assert parameters(ALL[name](**options)) == count


@pytest.mark.parametrize(("depth", "hidden"), [(9, (1024,)), (11, (4096, 4096)), (16, (4096, 4096))])
def test_vgg_sizes_by_hand(depth, hidden):
    channels = [3, *(c for c in models.vgg.PLANS[depth] if c != "pool")]
    assert len(channels) + len(hidden) == depth
    count = sum(conv(i, o, bias=True) for i, o in itertools.pairwise(channels))
    features = channels[-1] * (16 if depth == 9 else 1)
    count += sum(i * o + o for i, o in itertools.pairwise((features, *hidden, 10)))
    with torch.device("meta"):
        deep = ALL[f"vgg{depth}"]()
        spiking = ALL[f"vgg{depth}"](neuron=sw.LIF())
    assert parameters(deep) == count
    assert parameters(spiking) == count + sum(2 * size for size in hidden)  # normalised, else silent at the start


@pytest.mark.parametrize("depth", [18, 20, 34])
def test_forms_differ_in_wiring_not_in_size(depth):
    with torch.device("meta"):
        sizes = {parameters(ALL[f"{form}resnet{depth}"]()) for form in ("", "sew_", "ms_")}
    assert len(sizes) == 1


@pytest.mark.parametrize("name", ALL)
def test_every_site_is_its_own_module_and_depth_is_right(name):
    net = small(name, activation=nn.ReLU)
    calls = []
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda module, inputs, y: calls.append(module))
    net(images(2, 3, 32, 32))
    assert len(calls) == len(set(calls)) == sum(isinstance(m, nn.ReLU) for m in net.modules())
    weighted = sum(
        isinstance(m, nn.Conv2d | nn.Linear) and getattr(m, "kernel_size", 0) != (1, 1) for m in net.modules()
    )
    assert weighted == (int(name.split("net")[-1].removeprefix("vgg")) if name != "vgg9" else 9)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32), (2, 17)])
def test_image_sizes(name, channels, side):
    options = {"image": side} if "vgg" in name else {}
    net = small(name, in_channels=channels, **options)
    assert net(images(2, channels, side, side)).shape == (2, 5)


@pytest.mark.parametrize("name", ALL)
def test_the_deep_form_is_traced_by_fx(name):
    net = small(name).eval()
    x = images(2, 3, 32, 32)
    assert torch.equal(torch.fx.symbolic_trace(net)(x), net(x))


@pytest.mark.parametrize("name", ALL)
def test_streams_and_steps_equal_the_whole(name):
    """In float64, where another batch size rounds too little to move a spike."""
    net = small(name, neuron=sw.LIF(tau=2.0, threshold=0.4), decode=None).double()
    x_T = images(5, 2, 3, 32, 32).double()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None  # one pass sets the running statistics, so that spikes reach the last layer
    net(x_T)
    net.eval()
    with torch.no_grad():
        whole_T = net(x_T)
        first_T, state = net.stream(x_T[:2])
        rest_T, _ = net.stream(x_T[2:], state)
        state, single = None, []
        for x in x_T:
            y, state = net.step(x, state)
            single.append(y)
    assert whole_T.std() > 1e-3
    assert torch.allclose(torch.cat([first_T, rest_T]), whole_T, rtol=0, atol=1e-12)
    assert torch.allclose(torch.stack(single), whole_T, rtol=0, atol=1e-12)
    assert not torch.allclose(torch.stack([net.step(x)[0] for x in x_T]), whole_T, atol=1e-3)  # state matters


@pytest.mark.parametrize("name", ALL)
def test_gradients_reach_every_parameter(name):
    net = small(name, neuron=sw.PLIF(tau=2.0, threshold=0.5), steps=3)
    logits = net(images(4, 3, 32, 32))
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    normalised = {f"{n}.bias" for n, m in net.named_modules() if isinstance(m, nn.Conv2d)}  # a bias before BN is idle
    normalised |= {"network.head.0.bias", "network.head.3.bias"} if "vgg" in name else set()
    silent = {n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent <= normalised


@pytest.mark.parametrize("name", ALL)
def test_copies_pickles_and_state_dicts_run_alike(name):
    net = small(name, neuron=sw.IF(threshold=0.3), steps=2).eval()
    x = images(2, 3, 32, 32)
    fresh = ALL[name](5, neuron=sw.IF(threshold=0.3), steps=2, **SMALL[name]).eval()
    assert not torch.equal(fresh(x), net(x))
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), fresh):
        assert torch.equal(other(x), net(x))


@pytest.mark.parametrize("name", ["vgg9", "resnet20", "ms_resnet20"])
def test_deep_and_spiking_forms_share_their_weights(name):
    options = {"norm_hidden": None} if "vgg" in name else {}
    deep, spiking = small(name), small(name, neuron=sw.IF(), **options)
    spiking.network.load_state_dict(deep.state_dict())
    assert [n for n, m in deep.named_modules() if isinstance(m, nn.ReLU)] == [
        n for n, m in spiking.network.named_modules() if isinstance(m, Spiking)
    ]


def test_steps_repeat_a_still_image_and_decode_reads_out():
    net = small("resnet20", neuron=sw.LIF(), steps=3).eval()
    x = images(2, 3, 16, 16)
    assert torch.equal(net(x), net.stream(Repeat(3)(x))[0].mean(0))
    other = SNN(net.network, Repeat(3), last)
    assert torch.equal(other(x), net.stream(Repeat(3)(x))[0][-1])


def test_one_generator_gives_one_network():
    a, b = (small("sew_resnet20") for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    weight = models.vgg16(generator=torch.Generator().manual_seed(0), hidden=()).features[3].weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.02)


@pytest.mark.parametrize("name", ["vgg11", "resnet18", "ms_resnet18"])
def test_maps_are_channels_last_by_default_and_values_do_not_depend_on_it(name):
    net = small(name, neuron=sw.IF(threshold=0.5), decode=None).double().eval()
    layouts = []
    for module in net.modules():
        if isinstance(module, Spiking):
            module.register_forward_hook(
                lambda module, inputs, y: (
                    layouts.append((inputs[0].stride(), y.stride())) if y.dim() == 4 and min(y.shape[1:]) > 1 else None
                )
            )
    x_T = images(3, 2, 3, 32, 32).double()
    y_T = net(x_T)
    assert len(layouts) > 5
    assert all(inside == outside and inside[1] == 1 for inside, outside in layouts)
    plain = small(name, neuron=sw.IF(threshold=0.5), decode=None, channels_last=False).double().eval()
    assert all(p.is_contiguous() for p in plain.parameters())
    assert torch.allclose(plain(x_T), y_T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: "-".join(f.values()))
@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_is_its_equation(form, stride):
    torch.manual_seed(0)
    config = ResNetConfig((1,), (4,), **form)
    block = Block(config, 3, 4, stride, nn.Sigmoid).eval()
    x, act = images(2, 3, 6, 6), torch.sigmoid
    branch1 = lambda x: block.norm1(block.conv1(x))  # noqa: E731
    branch2 = lambda x: block.norm2(block.conv2(x))  # noqa: E731
    bypass = block.shortcut[1](block.shortcut[0](x))
    if form["form"] == "plain":
        expected = act(branch2(act(branch1(x))) + bypass)
    elif form["form"] == "ms":
        expected = branch2(act(branch1(act(x)))) + bypass
    else:
        s, bypass = act(branch2(act(branch1(x)))), act(bypass)
        expected = {"add": s + bypass, "and": s * bypass, "iand": (1 - s) * bypass}[form["connect"]]
    assert torch.equal(block(x), expected)


@pytest.mark.parametrize("connect", ["add", "iand"])
def test_a_zeroed_sew_block_is_the_identity_on_spikes(connect):
    """Fang et al. 2021: with ADD and IAND a silent branch passes the shortcut's spikes on unchanged."""
    config = ResNetConfig((1,), (4,), "sew", connect, zero_init=True)
    net = SNN(Block(config, 4, 4, 1, lambda: Spiking(sw.LIF())))
    s_T = (images(3, 2, 4, 6, 6) > 0).float()
    assert torch.equal(net(s_T), s_T)


def test_a_firing_and_block_is_the_identity_on_spikes():
    block = Block(ResNetConfig((1,), (4,), "sew", "and"), 4, 4, 1, lambda: Spiking(sw.IF()))
    nn.init.zeros_(block.norm2.weight)
    nn.init.constant_(block.norm2.bias, 1.0)  # a current of one threshold each step
    s_T = (images(3, 2, 4, 6, 6) > 0).float()
    assert torch.equal(SNN(block)(s_T), s_T)


@pytest.mark.parametrize(("connect", "top"), [("add", 4), ("and", 1), ("iand", 1)])
def test_sew_values_stay_spikes_or_small_counts(connect, top):
    net = small("sew_resnet20", neuron=sw.LIF(threshold=0.4), connect=connect)
    seen = []
    net.network.stages.register_forward_hook(lambda module, inputs, y: seen.append((inputs[0], y)))
    net(images(4, 2, 3, 16, 16))
    (start, y) = seen[0]
    assert set(start.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(y, y.round())
    assert 0 <= y.min() <= y.max() <= top  # add: one more per block since the last change of shape


def test_zero_init_makes_ms_and_plain_branches_silent():
    for form in ("plain", "ms"):
        block = Block(ResNetConfig((1,), (4,), form, zero_init=True), 4, 4, 1, nn.ReLU)
        x = images(2, 4, 6, 6).abs()
        assert torch.equal(block(x), x)


def test_temporal_normalisation_and_parallel_neurons_fit_in():
    net = small("resnet20", neuron=sw.LIF(), norm=lambda c: TemporalEffectiveBatchNorm(c, 4), zero_init=True, steps=4)
    assert net(images(2, 3, 16, 16)).shape == (2, 5)
    psn = SNN(small("resnet20", activation=lambda: PSN(4)))
    assert psn(images(4, 2, 3, 16, 16)).shape == (4, 2, 5)


def test_dropout_is_held_over_time_in_the_spiking_form_only():
    deep, spiking = (small("vgg9", dropout=0.5, **form) for form in ({}, {"neuron": sw.IF()}))
    assert [type(m) for m in deep.head if "Dropout" in type(m).__name__] == [nn.Dropout]
    assert [(type(m), m.p) for m in spiking.network.head if "Dropout" in type(m).__name__] == [(Dropout, 0.5)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: models.vgg9(neuron=sw.IF(), activation=nn.ReLU), "both activation and neuron"),
        (lambda: models.vgg9(steps=4), "without neuron"),
        (lambda: models.vgg9(neuron=sw.IF(), steps=4, encode=Repeat(4)), "both steps and encode"),
        (lambda: models.vgg9(pool="sum"), "pool='sum'"),
        (lambda: models.resnet18(stem="large"), "stem='large'"),
        (lambda: models.sew_resnet18(connect="or"), "connect='or'"),
        (lambda: models.sew_resnet18(connect="and", zero_init=True), "silence all"),
        (lambda: models.vgg9(neuron=sw.LIF), "Spiking got LIF as neuron, expected a Neuron such as"),
        (lambda: models.resnet20(neuron=nn.ReLU), "Spiking got ReLU as neuron"),
        (lambda: models.vgg9(activation=sw.LIF()), r"vgg9 got activation=LIF\(.*such as nn.ReLU; .* pass neuron="),
        (lambda: models.resnet20(activation=sw.LIF), "resnet20 got activation=LIF, expected what makes a new module"),
        (lambda: models.resnet20(activation=nn.ReLU()), r"resnet20 got activation=ReLU\(\), expected what makes a new"),
        (lambda: models.vgg9(width=-1.0), r"VGG got width=-1.0, expected more than 0"),
        (lambda: models.vgg9(width=math.nan), r"VGG got width=nan, expected more than 0"),
        (lambda: models.vgg9(classes=0), "VGG got classes=0, expected a whole number of at least 1"),
        (lambda: models.vgg9(in_channels=0), "VGG got in_channels=0"),
        (lambda: models.vgg9(image=0), "VGG got image=0"),
        (lambda: models.vgg9(image=(32, -1)), "VGG got image=-1"),
        (lambda: models.vgg9(hidden=(12, 0)), "VGG got hidden=0"),
        (lambda: models.vgg9(dropout=1.0), "VGG got dropout=1.0, expected 0 <= dropout < 1"),
        (lambda: models.VGGConfig((64, "max"), ()), "VGG got plan='max'"),
        (lambda: models.resnet18(width=0.0), "ResNet got width=0.0, expected more than 0"),
        (lambda: models.ms_resnet18(classes=-2), "ResNet got classes=-2, expected a whole number of at least 1"),
        (lambda: models.sew_resnet18(in_channels=1.5), "ResNet got in_channels=1.5"),
        (lambda: ResNetConfig((1, 0), (4, 8)), "ResNet got blocks=0"),
        (lambda: ResNetConfig((1, 1), (4, -8)), "ResNet got channels=-8"),
        (lambda: ResNetConfig((1, 1), (4,)), r"ResNet got blocks=\(1, 1\) and channels=\(4,\), expected as many"),
        (lambda: ResNetConfig((), ()), r"ResNet got blocks=\(\)"),
    ],
)
def test_contradictions_and_impossible_sizes_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said) as refusal:
        wrong()
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith(".")


def test_models_compose():
    part = small("resnet20", neuron=sw.LIF(threshold=0.4), decode=None).eval()
    head, x_T = nn.Sequential(nn.Linear(5, 5), Spiking(sw.IF())), images(3, 2, 3, 16, 16)
    net = SNN(nn.Sequential(part, head))
    assert torch.equal(net(x_T), SNN(head)(part(x_T)))
    first_T, state = net.stream(x_T[:1])
    assert torch.allclose(torch.cat([first_T, net.stream(x_T[1:], state)[0]]), net(x_T))
    with pytest.raises(ValueError, match="with encode or decode, expected neither"):
        SNN(nn.Sequential(small("resnet20", neuron=sw.LIF()), head))(x_T)


@pytest.mark.parametrize("name", ["vgg9", "sew_resnet20"])
def test_checkpointed_stages_train_as_the_whole_does(name):
    def gradients(wrap):
        net = small(
            name, neuron=sw.PLIF(tau=2.0, threshold=0.5), steps=3, **({"dropout": 0.5} if name == "vgg9" else {})
        )
        for where in ("features",) if name == "vgg9" else ("stages.0", "stages.1", "stages.2"):
            net.network.set_submodule(where, wrap(net.network.get_submodule(where)))
        torch.manual_seed(0)
        nn.functional.cross_entropy(net(images(4, 3, 32, 32)), torch.arange(4)).backward()
        return [p.grad for p in net.parameters()] + list(net.buffers())

    plain, checkpointed = gradients(lambda part: part), gradients(Checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(plain, checkpointed, strict=True))
