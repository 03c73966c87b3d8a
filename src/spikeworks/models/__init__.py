"""Known shapes: each a config and a class, deep with an activation or spiking with a neuron."""

from .build import Constructor as Constructor
from .build import constructor as constructor
from .build import initialise as initialise
from .metaformer import ConvBlock as ConvBlock
from .metaformer import MetaSpikeFormer as MetaSpikeFormer
from .metaformer import MetaSpikeFormerConfig as MetaSpikeFormerConfig
from .metaformer import RepConv as RepConv
from .metaformer import merged as merged
from .metaformer import meta_spikeformer_15m as meta_spikeformer_15m
from .metaformer import meta_spikeformer_31m as meta_spikeformer_31m
from .metaformer import meta_spikeformer_55m as meta_spikeformer_55m
from .qkformer import QKFormer as QKFormer
from .qkformer import QKFormerConfig as QKFormerConfig
from .qkformer import qkformer_2_256 as qkformer_2_256
from .qkformer import qkformer_4_384 as qkformer_4_384
from .reconstruct import FiveConvolutions as FiveConvolutions
from .reconstruct import FiveConvolutionsConfig as FiveConvolutionsConfig
from .reconstruct import five_convolutions as five_convolutions
from .reconstruction import RECONSTRUCTIONS as RECONSTRUCTIONS
from .reconstruction import reconstruction as reconstruction
from .resformer import DualSpikeAttention as DualSpikeAttention
from .resformer import SpikingResformer as SpikingResformer
from .resformer import SpikingResformerConfig as SpikingResformerConfig
from .resformer import spikingresformer_cifar as spikingresformer_cifar
from .resformer import spikingresformer_l as spikingresformer_l
from .resformer import spikingresformer_m as spikingresformer_m
from .resformer import spikingresformer_s as spikingresformer_s
from .resformer import spikingresformer_ti as spikingresformer_ti
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
from .spike_depth import SpikeDepth as SpikeDepth
from .spike_depth import SpikeDepthConfig as SpikeDepthConfig
from .spike_depth import spike_depth as spike_depth
from .spike_flow import SpikeFlow as SpikeFlow
from .spike_flow import SpikeFlowConfig as SpikeFlowConfig
from .spike_flow import correlate as correlate
from .spike_flow import shift_slices as shift_slices
from .spike_flow import spike_flow as spike_flow
from .spike_flow import spike_flow_small as spike_flow_small
from .spike_flow import warp as warp
from .spikformer import Spikformer as Spikformer
from .spikformer import SpikformerConfig as SpikformerConfig
from .spikformer import sdt_2_256 as sdt_2_256
from .spikformer import sdt_2_512 as sdt_2_512
from .spikformer import sdt_8_768 as sdt_8_768
from .spikformer import spikformer_2_256 as spikformer_2_256
from .spikformer import spikformer_4_384 as spikformer_4_384
from .spikformer import spikformer_8_768 as spikformer_8_768
from .spiking_attention import SpikingAttention as SpikingAttention
from .spiking_attention import SpikingBlock as SpikingBlock
from .spiking_attention import SpikingMLP as SpikingMLP
from .spiking_reconstruct import SpikingReconstruction as SpikingReconstruction
from .spiking_reconstruct import SpikingReconstructionConfig as SpikingReconstructionConfig
from .spiking_reconstruct import spiking_reconstruction as spiking_reconstruction
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
"""Every network of convolutions, by name: for tests, the command line and the documentation."""

TRANSFORMERS: dict[str, Constructor] = {
    "spikformer_4_384": spikformer_4_384,
    "spikformer_2_256": spikformer_2_256,
    "spikformer_8_768": spikformer_8_768,
    "sdt_2_512": sdt_2_512,
    "sdt_2_256": sdt_2_256,
    "sdt_8_768": sdt_8_768,
    "qkformer_4_384": qkformer_4_384,
    "qkformer_2_256": qkformer_2_256,
    "meta_spikeformer_15m": meta_spikeformer_15m,
    "meta_spikeformer_31m": meta_spikeformer_31m,
    "meta_spikeformer_55m": meta_spikeformer_55m,
    "spikingresformer_cifar": spikingresformer_cifar,
    "spikingresformer_ti": spikingresformer_ti,
    "spikingresformer_s": spikingresformer_s,
    "spikingresformer_m": spikingresformer_m,
    "spikingresformer_l": spikingresformer_l,
}
"""Every transformer of spikes, by name; each has a deep form, too."""
