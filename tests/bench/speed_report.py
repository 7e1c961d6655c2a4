"""What speed.py says about its figures: the table, and the targets that were missed."""

OURS, EAGER, MALLOC, COMPILED, PRODUCTS = "libautoround", "eager", "eager-malloc", "compiled", "products"
NEIGHBOUR = "neighbour"
PEERS = (EAGER, MALLOC, COMPILED)

# At least how many times our time a contestant takes, by device, shape, batch and length. Of the shape's own scheme; on
# a CPU with AVX-512 bf16 and two threads.
TARGETS = {
    ("cpu", "smollm2-135m", "8x256"): {EAGER: 2.5, COMPILED: 1.6, PRODUCTS: 1 / 1.0},
    ("cpu", "smollm2-135m", "8x512"): {EAGER: 2.1},
    ("cpu", "smollm2-135m", "2x2048"): {EAGER: 2.1},
    ("cpu", "llama-3.2-1b", "8x256"): {EAGER: 3.3, MALLOC: 1.65},
    ("cuda", "llama-3.1-8b", "8x2048"): {EAGER: 1.3, COMPILED: 1.15, PRODUCTS: 1 / 1.2},
    ("cuda", "llama-3.1-8b", "4x512"): {EAGER: 2.5},
    ("cuda", "qwen3-0.6b", "8x2048"): {EAGER: 3.0},
    ("cuda", "moe-64", "8x2048"): {EAGER: 5.0},
}
# At most how many times.
MOST = {("cpu", "smollm2-135m", "8x256"): {NEIGHBOUR: 2.3}}
# At most which share of what a layer costs eager auto-round outside its iterations.
OUTSIDE_TARGETS = {("cpu", "smollm2-135m", "8x256"): 1 / 5}
# At most which share of the memory of the most frugal peer.
MEMORY_TARGETS = {("cuda", "llama-3.1-8b", "8x2048"): 0.5}


def kind(device: str) -> str:
    return device.split(":")[0]


def title(result: dict) -> str:
    threads = f", {result['threads']} threads" if result["threads"] else ""
    model = f" ({result['model']})" if result["model"] else ""
    low, high = result["iters"]
    return (f"{result['shape']}{model}, {result['size']}, {result['scheme']}, {result['device']}{threads}, "
            f"iterations {low} to {high}")


def where(result: dict) -> tuple[str, str, str]:
    return kind(result["device"]), result["shape"], result["size"]


def comparable(result: dict) -> bool:
    """Whether it was measured under the conditions that the targets were set for."""
    ours = result["runs"].get(OURS)
    known = result["device"] != "cpu" or (result["threads"] == 2 and ours and ours[0]["compute"] == "BFloat16")
    return result["own_scheme"] and bool(known)


def targets(result: dict, known: dict = TARGETS) -> dict[str, float]:
    """Those that were set for just this, of contestants that there are."""
    found = known.get(where(result), {}) if comparable(result) else {}
    return {name: ratio for name, ratio in found.items() if {name, OURS} <= result["median"].keys()}


def ratio(result: dict, contestant: str) -> float:
    """How many times our time it takes; measured in turns, where it was."""
    if measured := result["median"][contestant].get("ratio"):
        return measured
    return result["median"][contestant]["seconds"] / result["median"][OURS]["seconds"]


def memory_share(result: dict) -> float | None:
    """Our memory over that of the most frugal peer."""
    peaks = [result["median"][name]["peak"] for name in PEERS if name in result["median"]]
    return result["median"][OURS]["peak"] / min(peaks) if OURS in result["median"] and peaks else None


def outside_share(result: dict) -> float | None:
    """What a layer costs us outside its iterations, over what it costs eager auto-round there. Of a GPU, where the host
    runs ahead of it, nobody knows."""
    ours, eager = (result["median"].get(name, {}).get("outside") for name in (OURS, EAGER))
    return ours / eager if kind(result["device"]) == "cpu" and ours and eager else None


def misses(result: dict) -> list[str]:
    what = f"{result['shape']} {result['size']}"
    missed = [f"{what}: {name} takes {ratio(result, name):.2f} times our time, {wanted:.2f} wanted"
              for name, wanted in targets(result).items() if ratio(result, name) < wanted]
    missed += [f"{what}: {name} takes {ratio(result, name):.2f} times our time, at most {wanted:.2f} wanted"
               for name, wanted in targets(result, MOST).items() if ratio(result, name) > wanted]
    for share, most, whole in ((memory_share(result), MEMORY_TARGETS, "the peers' least memory"),
                               (outside_share(result), OUTSIDE_TARGETS, "what a layer costs eager outside its iterations")):
        wanted = most.get(where(result))
        if share and wanted and comparable(result) and share > wanted:
            missed.append(f"{what}: {share:.2f} of {whole}, {wanted} wanted")
    return missed


def table(result: dict) -> str:
    lines = [f"\n{title(result)}", f"{'':14s} ms/iteration   of ours   target   peak MB"]
    wanted = targets(result) | targets(result, MOST)
    for name, median in result["median"].items():
        times = f"{ratio(result, name):8.2f} x" if OURS in result["median"] else f"{'':10s}"
        target = f"{wanted[name]:7.2f} x" if name in wanted else f"{'':9s}"
        lines.append(f"{name:14s} {1e3 * median['seconds']:12.2f}{times}{target}{median['peak'] / 1e6:10.0f}")
    lines += [f"{name} failed" for name in result["failures"]]
    if share := memory_share(result):
        lines.append(f"memory: {share:.2f} of the peers' least")
    if share := outside_share(result):
        seconds = result["median"][OURS]["outside"]
        lines.append(f"a layer outside its iterations: {seconds:.2f} s, {share:.2f} of eager's")
    if parts := result.get("parts"):
        whole = sum(parts.values())
        lines.append("what an iteration of libautoround consists of, in a profiled run:")
        for name, seconds in parts.items():
            lines.append(f"  {name:27s} {1e3 * seconds:9.2f} ms {100 * seconds / whole:6.1f} %")
    return "\n".join(lines)
