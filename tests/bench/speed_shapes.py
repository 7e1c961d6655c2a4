"""The decoder layers that speed.py and whole.py measure: their sizes, their matrix products, and checkpoints of them
with the token ids to tune on. What needs torch imports it where it is used: the scripts themselves must stay small.
"""
import argparse
from dataclasses import dataclass

LAYERS = 2  # of speed.py: the last is measured; what happens once, such as compiling, falls into the first
VOCABULARY = 1024  # of random checkpoints; nothing that is measured depends on it


@dataclass(frozen=True)
class Shape:
    title: str
    hidden: int
    inner: int
    heads: int
    keys: int  # heads of keys and values
    width: int  # of a head
    # Small shapes get more iterations: theirs are short beside the jitter of a start.
    cuda_iters: tuple[int, int]
    cpu_iters: tuple[int, int]
    family: str = "Llama"
    experts: int = 0
    top: int = 0  # experts of a token
    group: int = 128

    def iterations(self, device: str) -> tuple[int, int]:
        return self.cpu_iters if device == "cpu" else self.cuda_iters

    def group_size(self, device: str) -> int:
        """On CPUs at most 64, in which the targets there were set."""
        return min(self.group, 64) if device == "cpu" else self.group


SHAPES = {
    "smollm2-135m": Shape("SmolLM2-135M", 576, 1536, 9, 3, 64, (20, 120), (20, 120), group=64),
    "qwen3-0.6b": Shape("Qwen3-0.6B", 1024, 3072, 16, 8, 128, (20, 120), (5, 35), "Qwen3"),
    "llama-3.2-1b": Shape("Llama-3.2-1B", 2048, 8192, 32, 8, 64, (10, 60), (4, 16)),
    "llama-3.1-8b": Shape("Llama-3.1-8B", 4096, 14336, 32, 8, 128, (5, 45), (2, 6)),
    "moe-64": Shape("Qwen3-30B-A3B, 64 of 128 experts", 2048, 768, 32, 4, 128, (4, 24), (2, 8), "Qwen3Moe", 64, 8),
    "qwen3-30b-a3b": Shape("Qwen3-30B-A3B", 2048, 768, 32, 4, 128, (4, 24), (2, 8), "Qwen3Moe", 128, 8),
    # To try the script itself
    "tiny": Shape("tiny", 64, 128, 4, 2, 16, (2, 6), (2, 6), group=32),
    "tiny-moe": Shape("tiny, experts", 64, 32, 4, 2, 16, (2, 6), (2, 6), "Qwen3Moe", 4, 2, group=32),
}


@dataclass(frozen=True)
class Product:
    """y = x W'ᵀ and its gradients: of the weight always, of the input where there is one to hand on."""

    rows: int
    inputs: int
    outputs: int
    input_gradient: bool = True
    experts: tuple[int, ...] = ()  # as many of them at once

    @property
    def layers(self) -> int:
        """Linear layers that it is of."""
        return self.experts[0] if self.experts else 1


def products(shape: Shape, tokens: int) -> list[Product]:
    """Of one layer. The input of q, k and v is data. Experts get equally many tokens."""
    queries, keys = shape.heads * shape.width, shape.keys * shape.width
    rows, experts = (tokens * shape.top // shape.experts, (shape.experts,)) if shape.experts else (tokens, ())
    return [
        Product(tokens, shape.hidden, queries, input_gradient=False),
        *[Product(tokens, shape.hidden, keys, input_gradient=False)] * 2,
        Product(tokens, queries, shape.hidden),
        *[Product(rows, shape.hidden, shape.inner, experts=experts)] * 2,
        Product(rows, shape.inner, shape.hidden, experts=experts),
    ]


def write(arguments: argparse.Namespace) -> dict:
    """The checkpoint, and the token ids as int64: random ones, or those of a model and a text."""
    import torch

    model = cut_model(arguments) if arguments.model else random_model(arguments)
    model.save_pretrained(arguments.folder)
    if not arguments.model:
        tokenizer().save_pretrained(arguments.folder)
    count = arguments.samples
    if arguments.text:
        import peers

        ids = torch.tensor(peers.token_windows(arguments.model, arguments.text, arguments.length, count))
    else:
        ids = torch.randint(0, model.config.vocab_size, (count, arguments.length))
    ids.numpy().tofile(arguments.folder / "ids")
    return {}


def random_model(arguments: argparse.Namespace):
    import torch
    import transformers

    shape = SHAPES[arguments.shape]
    sizes = {
        "hidden_size": shape.hidden, "intermediate_size": shape.inner, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.keys, "head_dim": shape.width, "num_hidden_layers": arguments.layers,
        "vocab_size": VOCABULARY, "max_position_embeddings": max(2048, arguments.length), "tie_word_embeddings": True,
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    if shape.experts:
        sizes |= {"num_experts": shape.experts, "num_experts_per_tok": shape.top, "moe_intermediate_size": shape.inner,
                  "norm_topk_prob": True}
    config = getattr(transformers, shape.family + "Config")(**sizes)
    torch.manual_seed(0)
    with torch.device(arguments.device):
        return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


def tokenizer():
    """Peers want one beside a model; with ids as data it is never called."""
    import tokenizers
    import transformers

    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words)


def cut_model(arguments: argparse.Namespace):
    """The first layers of a real checkpoint."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(arguments.model)
    check(config, arguments.shape)
    config.num_hidden_layers = arguments.layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:arguments.layers]
    return transformers.AutoModelForCausalLM.from_pretrained(arguments.model, config=config, dtype=torch.bfloat16)


def check(config, name: str) -> None:
    """The products are those of the named shape, so the model must have it."""
    shape = SHAPES[name]
    inner = config.moe_intermediate_size if shape.experts else config.intermediate_size
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    found = {
        "hidden": config.hidden_size, "inner": inner, "heads": config.num_attention_heads,
        "keys": config.num_key_value_heads, "width": width, "experts": getattr(config, "num_experts", 0) or 0}
    if wrong := {key: size for key, size in found.items() if size != getattr(shape, key)}:
        raise SystemExit(f"the model is not of the shape {name}: {wrong}")
