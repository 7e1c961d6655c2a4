"""Tunes one linear layer through the C ABI and through auto-round's WrapperLinear on the same inputs, both in fp32, and compares the
losses of all iterations and the weights that come out.

usage: compare_layer.py LIBAUTOROUND    exit status: 0 alike, 1 different, 77 something is missing
"""
import ctypes
import json
import random
import sys

try:
    import torch
    from auto_round.algorithms.quantization.sign_round.sign_sgd import SignSGD
    from auto_round.compressors.utils import IndexSampler
    from auto_round.wrapper import WrapperLinear
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

OUT, IN, SAMPLES, TOKENS, BATCH, ITERS, GROUP = 96, 256, 40, 16, 8, 60, 64
SEED = 42  # of a recipe, unless it says otherwise


class Library:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        for text in ("error_message", "error_subject"):
            getattr(self.library, "autoround_" + text).restype = ctypes.c_char_p
        self.library.autoround_tensor_data.restype = ctypes.c_void_p
        self.library.autoround_tensor_byte_size.restype = ctypes.c_size_t

    def call(self, name, *arguments):
        error = ctypes.c_void_p()
        if getattr(self.library, "autoround_" + name)(*arguments, ctypes.byref(error)) < 0:
            subject, message = (getattr(self.library, "autoround_error_" + part)(error) for part in ("subject", "message"))
            raise RuntimeError(f"{name}: {subject.decode()}: {message.decode()}")

    def make(self, name, *arguments):
        handle = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(handle))
        return handle

    def tensor(self, values):
        sizes = (ctypes.c_int64 * values.dim())(*values.shape)
        data, length = ctypes.c_void_p(values.data_ptr()), ctypes.c_size_t(values.nbytes)
        return self.make("tensor_new", b"F32", sizes, ctypes.c_size_t(values.dim()), data, length)


def libautoround(path, weight, inputs, symmetric):
    """Losses of the iterations, and the dequantized weight."""
    library = Library(path)
    layer = library.make("layer_new", None, b"proj", library.tensor(weight), None)
    library.call("layer_add_inputs", layer, library.tensor(inputs), None)
    recipe = library.make("recipe_new")
    library.call("recipe_set_string", recipe, b"scheme", b"W4A16" if symmetric else b"W4A16_ASYM")
    library.call("recipe_set_string", recipe, b"scale_dtype", b"float16")
    for key, value in ((b"weights.group_size", GROUP), (b"iters", ITERS), (b"batch_size", BATCH)):
        library.call("recipe_set_int", recipe, key, ctypes.c_int64(value))
    options = library.make("options_new")
    library.call("options_set_compute_dtype", options, b"fp32")
    result = library.make("layer_tune", layer, recipe, options)
    tensor = library.make("result_layer_tensor", result, ctypes.c_size_t(0), b"weight")
    data = ctypes.string_at(library.library.autoround_tensor_data(tensor), library.library.autoround_tensor_byte_size(tensor))
    report = json.loads(ctypes.string_at(library.make("result_report", result).value))
    return report["blocks"][0]["losses"], torch.frombuffer(bytearray(data), dtype=torch.float32).view(OUT, IN)


def auto_round(weight, inputs, symmetric):
    linear = torch.nn.Linear(IN, OUT, bias=False)
    linear.weight.data = weight.clone()
    attributes = {"bits": 4, "group_size": GROUP, "sym": symmetric, "data_type": "int", "act_bits": 16, "scale_dtype": torch.float16}
    for name, value in attributes.items():
        setattr(linear, name, value)
    targets = (inputs @ weight.T).detach()
    wrapper = WrapperLinear(linear, enable_torch_compile=False, iters=ITERS)
    optimizer = SignSGD(list(wrapper.params.values()), lr=torch.tensor(1 / ITERS), weight_decay=0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=ITERS)
    random.seed(SEED)
    sampler = IndexSampler(SAMPLES, BATCH)
    losses, best = [], None
    for _ in range(ITERS):
        batch = sampler.next_batch()
        loss = torch.nn.functional.mse_loss(wrapper(inputs[batch]), targets[batch])
        if not losses or loss.item() < min(losses):
            best = {name: parameter.detach().clone() for name, parameter in wrapper.params.items()}
        losses.append(loss.item())
        (1000 * loss).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    with torch.no_grad():
        return losses, wrapper._qdq_weight(best["value"], best["min_scale"], best["max_scale"])[0]


def main():
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(7)
    weight = 0.05 * torch.randn(OUT, IN, generator=generator)
    # Columns that depend on one another, some louder than others, as the inputs of a real layer.
    inputs = torch.randn(SAMPLES, TOKENS, 24, generator=generator) @ torch.randn(24, IN, generator=generator)
    inputs = (inputs + 0.1 * torch.randn(inputs.shape, generator=generator)) * torch.logspace(-1, 0.5, IN)
    failures = 0
    for symmetric in (True, False):
        ours, our_weight = libautoround(sys.argv[1], weight, inputs.contiguous(), symmetric)
        theirs, their_weight = auto_round(weight, inputs, symmetric)
        apart = max(abs(a - b) / b for a, b in zip(ours, theirs))
        same = torch.isclose(our_weight, their_weight, rtol=1e-3, atol=1e-6).float().mean().item()
        print(f"{'symmetric' if symmetric else 'asymmetric'}: loss {theirs[0]:.4g} to {min(theirs):.4g}, "
              f"losses at most {100 * apart:.4f} % apart (allowed 0.01 %), {100 * same:.3f} % of the weights the same (wanted 99.99 %)")
        failures += len(ours) != len(theirs) or apart > 1e-4 or same < 0.9999
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
