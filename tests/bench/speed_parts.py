"""Which part of an iteration the scopes and operations of block_bench --profile belong to."""

FORWARD, BACKWARD, BACKWARD_AND_STEP, STEP = (
    "forward products", "backward products", "backward products and step", "step")
# Fused kernels use up a weight's gradient while they compute it: products and signed step are then one part.
PARTS = (FORWARD, BACKWARD_AND_STEP, BACKWARD, STEP, "attention", "norms", "activation", "rounding", "loss", "gather",
         "rest", "waiting")

MATRIX_PRODUCTS = {"aten::mm", "aten::addmm"}
# By a piece of the scope's name, the first that fits: operations of the block, and autograd nodes of the fused and of
# LibTorch's operations. What fits none is the rest: sums of streams and of gradients, routing, and the nodes of plain
# operations whose names do not say what they are for.
SCOPES = (("linear", FORWARD), ("attention", "attention"), ("Attention", "attention"), ("Softmax", "attention"),
          ("Bmm", "attention"), ("norm", "norms"), ("RmsNorm", "norms"), ("Rsqrt", "norms"),
          ("activation", "activation"), ("Gated", "activation"), ("Silu", "activation"), ("loss", "loss"))


def seconds_by_part(profile: dict, threads: int) -> dict[str, float]:
    """Seconds of an iteration, which add up to its wall time: processor time of all threads shared out among them, and
    what is left when they waited."""
    sums = dict.fromkeys(PARTS, 0.0)
    for scope, operations in profile["scopes"].items():
        for operation, seconds in operations.items():
            sums[part(scope, operation, operations)] += seconds / threads
    sums["waiting"] = max(0.0, profile["wall"] - sum(sums.values()))
    return {name: seconds for name, seconds in sums.items() if seconds}


def part(scope: str, operation: str, all_of_scope: dict) -> str:
    if scope == "QuantLinearBackward":
        if not MATRIX_PRODUCTS & all_of_scope.keys():
            return BACKWARD_AND_STEP
        return BACKWARD if operation in MATRIX_PRODUCTS else STEP
    if scope == "weights and batch":
        return "gather" if operation == "autoround::gather" else "rounding"
    return next((name for piece, name in SCOPES if piece in scope), "rest")
