"""Known shapes: each a config and a class, deep with an activation or spiking with a neuron."""

from .build import Constructor as Constructor
from .build import constructor as constructor
from .build import initialise as initialise
from .resnet import Block as Block
from .resnet import ResNet as ResNet
from .resnet import ResNetConfig as ResNetConfig
from .resnet import ms_resnet18 as ms_resnet18
from .resnet import ms_resnet20 as ms_resnet20
from .resnet import ms_resnet34 as ms_resnet34
from .resnet import resnet18 as resnet18
from .resnet import resnet20 as resnet20
from .resnet import resnet34 as resnet34
from .resnet import sew_resnet18 as sew_resnet18
from .resnet import sew_resnet20 as sew_resnet20
from .resnet import sew_resnet34 as sew_resnet34
from .transformer import SelfAttention as SelfAttention
from .transformer import TransformerBlock as TransformerBlock
from .transformer import ViT as ViT
from .transformer import ViTConfig as ViTConfig
from .transformer import vit_tiny as vit_tiny
from .vgg import VGG as VGG
from .vgg import VGGConfig as VGGConfig
from .vgg import vgg9 as vgg9
from .vgg import vgg11 as vgg11
from .vgg import vgg16 as vgg16

ALL: dict[str, Constructor] = {
    "vgg9": vgg9,
    "vgg11": vgg11,
    "vgg16": vgg16,
    "resnet18": resnet18,
    "resnet20": resnet20,
    "resnet34": resnet34,
    "sew_resnet18": sew_resnet18,
    "sew_resnet20": sew_resnet20,
    "sew_resnet34": sew_resnet34,
    "ms_resnet18": ms_resnet18,
    "ms_resnet20": ms_resnet20,
    "ms_resnet34": ms_resnet34,
}
"""Every model that has a deep and a spiking form, by name: for tests, the command line and the documentation."""
