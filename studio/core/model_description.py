"""What is known of a base model without its weights: its shapes, and what an adapter would add to them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from studio.core.config import MethodConfig
from studio.core.errors import StudioError
from studio.core.words import listed


class LinearShape(BaseModel):
    """A linear layer that an adapter can be put on. ``name`` is the last part of its module path, e.g. ``q_proj``."""

    model_config = ConfigDict(frozen=True)

    name: str
    inputs: int
    outputs: int
    count: int
    """How many layers have this name and shape."""


class ModelDescription(BaseModel):
    """What the forecast and the window need to know of a base model. Counts are numbers of parameters."""

    model_config = ConfigDict(frozen=True)

    base: str
    """As in run.toml."""
    name: str
    architecture: str
    licence: str
    parameters: int
    linears: list[LinearShape]
    hidden: int
    intermediate: int
    layers: int
    heads: int
    vocabulary: int
    disk_bytes: int
    context_length: int
    key_value_width: int = 0
    """Numbers that the keys and values of a token have in one layer; 0 where the settings do not say."""
    norm_width: int = 0
    """Numbers that all norms together take in for one token."""
    tied: bool = True
    """Whether the embedding is the head as well."""
    chat_template: bool = False
    """Whether its tokenizer has a chat template."""
    revision: str | None = None
    """The commit of a hub model."""

    @property
    def linear_parameters(self) -> int:
        """Weights that QLoRA quantises: every linear layer but the head."""
        return sum(linear.inputs * linear.outputs * linear.count for linear in self.linears)


def adapter_parameters(model: ModelDescription, method: MethodConfig) -> int:
    """LoRA adds rank x (inputs + outputs) weights to each adapted layer (Hu et al., "LoRA", 2021)."""
    return sum(method.rank * (linear.inputs + linear.outputs) * linear.count for linear in model.linears if adapts(method, linear))


def adapts(method: MethodConfig, linear: LinearShape) -> bool:
    """Whether the method puts an adapter on these layers."""
    return method.target_modules == "all-linear" or linear.name in {name.rpartition(".")[2] for name in method.target_modules}


def check_layers(method: MethodConfig, model: ModelDescription) -> None:
    """Raises StudioError when an adapter is to be put on layers that the model does not have."""
    if method.kind == "full" or method.target_modules == "all-linear":
        return
    known = sorted({linear.name for linear in model.linears})
    # A name may be the end of a module's path; its last part is what layers are called.
    unknown = [name for name in method.target_modules if name.rpartition(".")[2] not in known]
    if unknown:
        problem = f"method.target_modules: this model has no layer named {listed(unknown)}; it has {', '.join(known)}"
        raise StudioError(f"The run settings have a problem: {problem}.", "Name layers that the model has.", detail=problem)
