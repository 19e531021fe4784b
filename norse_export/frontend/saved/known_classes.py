"""The classes that may stand in a file of torch.save, and what each of their attributes must look like.

This table decides what is read; what is not in it is refused by its full name. It is plain data: neither torch nor
Norse is needed to judge a file. `torch_modules` builds the real modules, and a test compares both with the installed
packages, attribute by attribute. Classes of neurons follow from the table that traces them (`norse_families`).
"""

from __future__ import annotations

from collections.abc import Mapping

from norse_export.frontend.saved.attribute_fields import FLAG, TENSOR
from norse_export.frontend.saved.known_norse import ALIASES, FUNCTIONS, NORSE, PARAMETERS
from norse_export.frontend.saved.known_torch import TORCH
from norse_export.frontend.saved.module_class import Children, ModuleClass

__all__ = ["ALIASES", "FUNCTIONS", "PARAMETERS", "Children", "ModuleClass"]

MODULES: Mapping[str, ModuleClass] = {**TORCH, **NORSE}

#: Float types that a module may name.
DTYPES = frozenset({"torch.float16", "torch.bfloat16", "torch.float32", "torch.float64"})

#: The weights of recurrent neurons, which stand among the parameters or among the attributes.
WEIGHT = TENSOR

#: Whether the module is in training mode; every module has it.
TRAINING = FLAG

#: Attributes of every module that would be called on the way: they must be empty.
HOOKS = frozenset(
    {
        "_backward_pre_hooks",
        "_backward_hooks",
        "_forward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks",
        "_forward_pre_hooks_with_kwargs",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
        "forward_state_hooks",
    }
)

#: Attributes of every module that change nothing in what it computes: whether buffers are saved in a state_dict, and
#: of which kind the (absent) backward hooks are.
IRRELEVANT = frozenset({"_non_persistent_buffers_set", "_is_full_backward_hook"})

#: Attributes of every module that are read on their own.
STRUCTURE = frozenset({"training", "_parameters", "_buffers", "_modules"})
