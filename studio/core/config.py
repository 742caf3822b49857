"""RunConfig: everything a run is made of, each setting declared once. ``run_file`` reads and writes it as run.toml.

Each field's description is the one text that the command line, the window's tooltips and the help show.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from studio.core.bases import hub_id, is_hub_id

MethodKind = Literal["full", "lora", "qlora"]
DeviceKind = Literal["auto", "cuda", "mps", "cpu"]
Optimizer = Literal["adamw", "adamw8bit", "paged_adamw8bit"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

LARGEST = 2**31 - 1
"""Of the whole numbers that have no other bound: no field of the window holds more, and no generator of torch takes any seed."""
SLOT = "{text}"
"""What stands for the message in a prompt template."""
DEFAULT_TEMPLATE = "Message: {text}\nIntent:"
DEFAULT_LEARNING_RATES: dict[str, float] = {"full": 5e-5, "lora": 2e-4, "qlora": 2e-4}
# 2e-4 destabilised full fine-tuning of Gemma 3 270M in the original experiment; 1e-4 leaves a margin below it.
FULL_LEARNING_RATE_WARNING = 1e-4


class _Table(BaseModel):
    # Strict: a number is not taken from true or "16", and no setting is infinite.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DatasetConfig(_Table):
    source: str = Field(
        "sample",
        description=(
            "A CSV, TSV, JSON, JSONL or Parquet file of labelled messages (.gz too), a folder with such files named train, "
            "validation and test, 'hub:org/name' (a data set of the Hugging Face hub), or 'sample'."
        ),
        min_length=1,
    )
    config: str | None = Field(
        None,
        description="Which configuration of a hub data set to read, where it has several; left out: its default.",
        min_length=1,
    )
    revision: str | None = Field(
        None, description="State of a hub data set: a branch, tag or commit; left out: main.", min_length=1
    )
    validation: str | None = Field(None, description="A file of messages that choose the best checkpoint.")
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="Share of the training rows set aside for validation when no file is given."
    )
    test: str | None = Field(None, description="A file of messages that are only predicted at the end.")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="Share of all rows set aside as test when no file is given.")
    text_column: str | None = Field(None, description="The column that holds the message; guessed when left out.")
    label_column: str | None = Field(None, description="The column that holds the intent; guessed when left out.")
    label_name_column: str | None = Field(
        None, description="The column with the names of the intents when the intent column only numbers them."
    )
    encoding: str | None = Field(
        None, description="How the letters of text files are stored, such as utf-8; guessed when left out."
    )
    delimiter: str | None = Field(None, description="The one character between the columns of text files; guessed when left out.")
    labels: list[str] | None = Field(None, description="Keep only these intents, named exactly as in the file.")
    limit: int | None = Field(None, ge=1, description="Use at most this many training rows, drawn evenly over intents.")
    seed: int = Field(42, ge=0, le=LARGEST, description="Decides which rows go to which split.")

    @field_validator("source")
    @classmethod
    def _a_possible_id(cls, source: str) -> str:
        if (id := hub_id(source)) is not None and not is_hub_id(id):
            raise ValueError("must be hub: and the data set's id, as in hub:org/name")
        return source

    @model_validator(mode="after")
    def _only_of_the_hub(self) -> DatasetConfig:
        if (self.config or self.revision) and hub_id(self.source) is None:
            raise ValueError('config and revision belong to a hub data set; only source = "hub:org/name" has them')
        return self

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str | None) -> str | None:
        try:
            if encoding is not None:
                b"a".decode(encoding)
        except LookupError as error:
            raise ValueError("is no encoding of text that is known here; utf-8, utf-16, cp1252 and latin-1 are some") from error
        except UnicodeError:
            pass  # it is known: this one letter is no text in it
        return encoding

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
            raise ValueError('must be one character, and neither a quotation mark nor a line end; a tab is "\\t"')
        return delimiter


class ModelConfig(_Table):
    base: str = Field(
        "starter",
        description="'starter' (Gemma 3 270M), 'hub:org/name' (a model of the Hugging Face hub), a folder or a .gguf file.",
        min_length=1,
    )
    revision: str | None = Field(
        None, description="State of a hub model: a branch, tag or commit; left out: main. A run keeps the commit.", min_length=1
    )

    @field_validator("base")
    @classmethod
    def _a_possible_id(cls, base: str) -> str:
        if (id := hub_id(base)) is not None and not is_hub_id(id):
            raise ValueError("must be hub: and the model's id, as in hub:org/name")
        return base

    @model_validator(mode="after")
    def _revision_of_a_hub_model(self) -> ModelConfig:
        if self.revision is not None and hub_id(self.base) is None:
            raise ValueError('revision belongs to a hub model; only base = "hub:org/name" has one')
        return self


class MethodConfig(_Table):
    kind: MethodKind = Field("lora", description="full trains every weight; lora a small adapter; qlora one on a 4-bit base.")
    rank: int = Field(16, ge=1, le=1024, description="Adapter rank: how many directions each adapted matrix may move in.")
    alpha: float = Field(32, gt=0, description="Adapter scale: the update is multiplied by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Share of adapter inputs silenced at each training step.")
    target_modules: Literal["all-linear"] | list[str] = Field(
        "all-linear", description="Which layers get an adapter: all linear layers but the head, or layers by name."
    )


class PromptConfig(_Table):
    template: str = Field(DEFAULT_TEMPLATE, description="What the model reads; {text} stands for the message.")
    use_chat_template: Literal["auto"] | bool = Field(
        "auto",
        description="Whether the prompt is a user's turn of the model's own chat template; auto: where the model has one.",
    )
    max_length: int = Field(
        256,
        ge=16,
        le=LARGEST,
        description="Longest prompt with label, in tokens. A longer message is cut at its end; nothing else is.",
    )

    @field_validator("template")
    @classmethod
    def _one_slot(cls, template: str) -> str:
        if (count := template.count(SLOT)) != 1:
            found = f"it stands there {count} times" if count else "without it the model would not see the message"
            raise ValueError(f"must contain {SLOT} exactly once: {found}")
        return template


class TrainingConfig(_Table):
    epochs: float = Field(3, gt=0, description="How often every training message is seen.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many optimizer steps, whatever the epochs say.")
    batch_size: int = Field(16, ge=1, le=LARGEST, description="Messages per optimizer step (the effective batch).")
    micro_batch: Literal["auto"] | int = Field(
        "auto", description="Messages computed at once. Only cuts the batch: what is learnt does not change."
    )
    learning_rate: float | None = Field(
        None, gt=0, description="Peak step size of the optimizer; left out: 5e-5 for full, 2e-4 for LoRA and QLoRA."
    )
    scheduler: Literal["cosine", "linear", "constant"] = Field("cosine", description="How the learning rate falls.")
    warmup_ratio: float = Field(0.0, ge=0, lt=1, description="Share of all steps over which the learning rate rises.")
    weight_decay: float = Field(0.0, ge=0, description="Pull of matrix weights towards zero (AdamW, decoupled).")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients longer than this are shortened to it.")
    precision: Precision = Field(
        "auto", description="Number type of the arithmetic; auto takes bf16 where it is sound and fast. fp16 needs a CUDA device."
    )
    activation_checkpointing: bool = Field(
        False, description="Compute each layer again on the way back instead of keeping it: less memory, more time, same result."
    )
    optimizer: Optimizer = Field(
        "adamw",
        description="The optimizer: AdamW. With its averages in 8 bits (all but the embedding's) it needs a quarter of their "
        "memory, and paged they may move to the host's when a GPU is full; both are for CUDA devices.",
    )
    seed: int = Field(42, ge=0, le=LARGEST, description="Decides adapter initialisation, dropout and the order of messages.")
    evaluate_every: Literal["epoch"] | int = Field("epoch", description="Validate after every epoch, or every N steps.")
    checkpoint_every: Literal["evaluation"] | int = Field(
        "evaluation", description="Save what a resumed run needs at each validation, or every N steps."
    )
    keep_checkpoints: int = Field(
        2,
        ge=1,
        le=LARGEST,
        description="How many of the latest checkpoints are kept to resume from, besides the best. "
        "Each holds what is trained three times: the weights and the optimizer's two averages.",
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="End after this many validations in a row without a better one; left out: never."
    )
    evaluate_base: bool = Field(True, description="Predict the test split with the untrained base too, for comparison.")
    log_every: Literal["auto"] | int = Field(
        "auto", description="Steps between read-backs of the loss; auto: 1 on CPU and MPS, 10 on CUDA."
    )
    threads: Literal["auto"] | int = Field("auto", description="CPU threads; auto leaves the choice to torch.")

    @field_validator("micro_batch", "evaluate_every", "checkpoint_every", "log_every", "threads")
    @classmethod
    def _at_least_one(cls, value: str | int) -> str | int:
        if isinstance(value, int) and (isinstance(value, bool) or value < 1):
            raise ValueError("must be 1 or more")
        return value

    @model_validator(mode="after")
    def _micro_batch_fits(self) -> TrainingConfig:
        if isinstance(self.micro_batch, int) and self.micro_batch > self.batch_size:
            raise ValueError(f"micro_batch ({self.micro_batch}) is larger than batch_size ({self.batch_size})")
        return self


class DeviceConfig(_Table):
    kind: DeviceKind = Field("auto", description="Where to compute; auto takes CUDA, then MPS, then the CPU.")
    index: int = Field(0, ge=0, le=LARGEST, description="Which CUDA device, counted from 0.")


class RunConfig(_Table):
    """One run, complete. ``resolved()`` fills in what depends on the method."""

    dataset: DatasetConfig = DatasetConfig()
    model: ModelConfig = ModelConfig()
    method: MethodConfig = MethodConfig()
    prompt: PromptConfig = PromptConfig()
    training: TrainingConfig = TrainingConfig()
    device: DeviceConfig = DeviceConfig()

    @property
    def learning_rate(self) -> float:
        """The learning rate that will be used: the given one, or the method's default."""
        return self.training.learning_rate or DEFAULT_LEARNING_RATES[self.method.kind]

    def warnings(self) -> list[str]:
        """Settings that are allowed but known to end badly, each with its reason."""
        found = []
        if self.method.kind == "full" and self.learning_rate > FULL_LEARNING_RATE_WARNING:
            found.append(
                f"A learning rate of {self.learning_rate:g} is high for full fine-tuning: every pretrained weight moves, and at "
                "2e-4 this model forgot what it knew. Use 5e-5, or choose LoRA, whose frozen base tolerates 2e-4."
            )
        return found

    def shares_base(self, other: RunConfig) -> bool:
        """Whether a loaded base of this run can carry the adapter of the other: same model, held in the same way."""
        same_arithmetic = (self.device, self.training.precision) == (other.device, other.training.precision)
        return (
            self.method.kind != "full" and self.method.kind == other.method.kind and self.model == other.model and same_arithmetic
        )

    def with_training(self, **changes: Any) -> RunConfig:
        """A copy with some fields of [training] replaced and checked again."""
        table = TrainingConfig.model_validate({**self.training.model_dump(), **changes})
        return self.model_copy(update={"training": table})
