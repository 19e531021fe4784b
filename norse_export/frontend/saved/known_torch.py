"""The classes of torch that may stand in a file of torch.save: those for which there are rules of tracing, and a few.

Source: torch 2.13.0, `torch/nn/modules`.
"""

from __future__ import annotations

from collections.abc import Mapping

from norse_export.frontend.saved.attribute_fields import (
    FLAG,
    INTEGER,
    INTEGERS,
    NONZERO,
    NUMBER,
    OPTIONAL_NUMBER,
    Field,
    choice,
    size_or_sizes,
    sizes,
    whole,
)
from norse_export.frontend.saved.module_class import Children, ModuleClass


def convolution(axes: int) -> ModuleClass:
    """A convolution over so many axes."""
    padding = sizes(axes, 0)
    return ModuleClass(
        arguments={
            "in_channels": whole(1),
            "out_channels": whole(1),
            "kernel_size": sizes(axes, 1),
            "stride": sizes(axes, 1),
            "padding": Field(
                f"{padding.expected}, 'same' or 'valid'",
                lambda value: padding.accepts(value) or value in ("same", "valid"),
            ),
            "dilation": sizes(axes, 1),
            "groups": whole(1),
            "padding_mode": choice("zeros", "reflect", "replicate", "circular"),
        },
        derived={
            "transposed": choice(False),
            "output_padding": sizes(axes, 0),
            "_reversed_padding_repeated_twice": sizes(2 * axes, 0),
        },
        parameters=("weight", "bias"),
    )


def _normalisation() -> ModuleClass:
    return ModuleClass(
        arguments={
            "num_features": whole(1),
            "eps": NUMBER,
            "momentum": OPTIONAL_NUMBER,
            "affine": FLAG,
            "track_running_stats": FLAG,
        },
        parameters=("weight", "bias"),
        buffers=("running_mean", "running_var", "num_batches_tracked"),
    )


def _dropout() -> ModuleClass:
    return ModuleClass(arguments={"p": NUMBER, "inplace": FLAG})


_M = "torch.nn.modules"

TORCH: Mapping[str, ModuleClass] = {
    f"{_M}.container.Sequential": ModuleClass(children=Children.NAMED),
    f"{_M}.linear.Linear": ModuleClass(
        arguments={"in_features": whole(1), "out_features": whole(1)}, parameters=("weight", "bias")
    ),
    f"{_M}.linear.Identity": ModuleClass(),
    f"{_M}.conv.Conv1d": convolution(1),
    f"{_M}.conv.Conv2d": convolution(2),
    f"{_M}.flatten.Flatten": ModuleClass(arguments={"start_dim": INTEGER, "end_dim": INTEGER}),
    f"{_M}.flatten.Unflatten": ModuleClass(arguments={"dim": INTEGER, "unflattened_size": INTEGERS}),
    f"{_M}.padding.ZeroPad2d": ModuleClass(
        arguments={"padding": sizes(4, None)},
        derived={"value": choice(0.0)},
    ),
    f"{_M}.activation.ReLU": ModuleClass(arguments={"inplace": FLAG}),
    f"{_M}.activation.ReLU6": ModuleClass(
        arguments={"inplace": FLAG}, derived={"min_val": choice(0.0), "max_val": choice(6.0)}
    ),
    f"{_M}.activation.Hardtanh": ModuleClass(arguments={"min_val": NUMBER, "max_val": NUMBER, "inplace": FLAG}),
    f"{_M}.activation.LeakyReLU": ModuleClass(arguments={"negative_slope": NUMBER, "inplace": FLAG}),
    f"{_M}.pooling.AdaptiveAvgPool2d": ModuleClass(arguments={"output_size": size_or_sizes(1)}),
    f"{_M}.pooling.AdaptiveMaxPool2d": ModuleClass(arguments={"output_size": size_or_sizes(1), "return_indices": FLAG}),
    f"{_M}.pooling.AvgPool1d": ModuleClass(
        arguments={
            "kernel_size": sizes(1, 1),
            "stride": sizes(1, 1),
            "padding": sizes(1, 0),
            "ceil_mode": FLAG,
            "count_include_pad": FLAG,
        }
    ),
    f"{_M}.pooling.AvgPool2d": ModuleClass(
        arguments={
            "kernel_size": size_or_sizes(1),
            "stride": size_or_sizes(1),
            "padding": size_or_sizes(0),
            "ceil_mode": FLAG,
            "count_include_pad": FLAG,
            "divisor_override": NONZERO,
        }
    ),
    f"{_M}.pooling.MaxPool2d": ModuleClass(
        arguments={
            "kernel_size": size_or_sizes(1),
            "stride": size_or_sizes(1),
            "padding": size_or_sizes(0),
            "dilation": size_or_sizes(1),
            "return_indices": FLAG,
            "ceil_mode": FLAG,
        }
    ),
    f"{_M}.pooling.LPPool2d": ModuleClass(
        arguments={
            "norm_type": NUMBER,
            "kernel_size": size_or_sizes(1),
            "stride": size_or_sizes(1, optional=True),
            "ceil_mode": FLAG,
        }
    ),
    f"{_M}.batchnorm.BatchNorm1d": _normalisation(),
    f"{_M}.batchnorm.BatchNorm2d": _normalisation(),
    f"{_M}.dropout.Dropout": _dropout(),
    f"{_M}.dropout.Dropout1d": _dropout(),
    f"{_M}.dropout.Dropout2d": _dropout(),
    f"{_M}.dropout.Dropout3d": _dropout(),
    f"{_M}.dropout.AlphaDropout": _dropout(),
    f"{_M}.dropout.FeatureAlphaDropout": _dropout(),
}
