"""Compares quant/ bit for bit with auto-round and compressed-tensors, through quant_tool.

usage: compare_quant.py QUANT_TOOL          exit status: 0 equal, 1 different, 77 a Python package is missing
"""

import itertools
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy
    import torch
    from auto_round.data_type.int import quant_tensor_asym, quant_tensor_sym
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
    from compressed_tensors.quantization.lifecycle.forward_helpers import _dequantize
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

RATE, MINMAX_RATE = numpy.float32(0.005), numpy.float32(0.0025)
ROWS = 24
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
failures = []


def check(condition, message):
    if not condition:
        failures.append(message)
        print("DIFFERENT", message)


def same_bits(a, b):
    a, b = a.contiguous().reshape(-1), b.contiguous().reshape(-1)
    return a.dtype == b.dtype and torch.equal(a.view(torch.uint8), b.view(torch.uint8))


def save(path, tensor):
    path.write_bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def load(path, dtype, shape):
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=dtype).reshape(shape)


def weights(kind, columns, group, generator):
    """Tensors [ROWS, columns] that try one property of the formulas each."""
    normal = torch.randn(ROWS, columns, generator=generator)
    if kind == "random":
        return normal * 0.05
    if kind == "zero":
        normal[::2] = 0  # whole rows, so whole groups
        return normal * 0.02
    if kind == "constant":
        return torch.linspace(-0.3, 0.3, ROWS).unsqueeze(1).expand(ROWS, columns).clone()
    if kind == "single_sign":
        normal = normal.abs() * 0.1
        normal[::2] *= -1
        return normal
    if kind == "tie":  # both sides of every group equally large
        normal = normal.clamp(-2, 2) * 0.05
        for first in range(0, columns, group):
            normal[:, first], normal[:, min(first + 1, columns - 1)] = 0.125, -0.125
        return normal
    if kind == "half_steps":  # quotients on .5: ties of rounding
        return torch.randint(-16, 16, (ROWS, columns), generator=generator) * 0.5 / 64
    if kind == "tiny":  # around and below the smallest scale, and subnormal fp16 scales
        return normal * torch.logspace(-8, -4, ROWS).unsqueeze(1)
    if kind == "huge":
        return normal.clamp(-3, 3) * torch.logspace(2, 4, ROWS).unsqueeze(1)
    raise ValueError(kind)


KINDS = ["random", "zero", "constant", "single_sign", "tie", "half_steps", "tiny", "huge"]


def reference(case):
    """W', scale, zero point and the parameters after one step of SignSGD, by auto-round's own functions."""
    sym, bits = case["sym"], case["bits"]
    grouped = case["weight"].reshape(1, -1) if case["group"] == 0 else case["weight"].reshape(-1, case["columns_per_group"])
    tensor_min, tensor_max = torch.clamp(grouped.min(1)[0], max=0), torch.clamp(grouped.max(1)[0], min=0)
    value = case["value"].reshape(grouped.shape).clone().requires_grad_()
    minimum = case["min_scale"].reshape(-1).clone().clamp_(0, 1).requires_grad_()
    maximum = case["max_scale"].reshape(-1).clone().clamp_(0, 1).requires_grad_()
    function = quant_tensor_sym if sym else quant_tensor_asym
    output, scale, zero = function(
        case["weight"], bits=bits, group_size=case["group"], v=value, min_scale=minimum, max_scale=maximum,
        scale_dtype=case["scale_dtype"], tensor_min=tensor_min, tensor_max=tensor_max,
        q_scale_thresh=1e-8 if case["scale_dtype"] == torch.float32 else 1e-5)
    output.backward(case["gradient"])
    after = {}
    for name, parameter, rate in (("value", value, RATE), ("min", minimum, MINMAX_RATE), ("max", maximum, MINMAX_RATE)):
        after[name] = parameter.detach().clone().add_(torch.sign(parameter.grad), alpha=-float(rate))
    return output.detach(), scale.detach().reshape(-1), zero, after


def make_cases(folder, paths):
    generator = torch.Generator().manual_seed(7)
    plans, groups = [], (32, 64, 128, -1)
    for bits, sym in itertools.product(range(2, 9), (True, False)):
        plans += [(kind, bits, groups[(bits + i) % 4], sym, "float16", "bfloat16") for i, kind in enumerate(KINDS)]
    for bits, group, sym in itertools.product(range(2, 9), groups, (True, False)):
        plans.append(("random", bits, group, sym, "float16", "bfloat16"))
        plans.append(("random", bits, group, sym, "float16", "float32"))
        plans.append(("random", bits, group, sym, "float32", "bfloat16"))
        plans.append(("random", bits, group, sym, "bfloat16", "bfloat16"))
    for bits, sym in itertools.product((2, 4, 8), (True, False)):
        plans += [("random", bits, group, sym, "float16", "bfloat16") for group in (0, 24, 100, 1200)]
    cases = []
    for number, (kind, bits, group, sym, scale_dtype, dtype) in enumerate(plans):
        columns = {24: 240, 100: 400, 1200: 2400, -1: 1376 if number % 3 else 640}.get(group, 256)
        per_group = columns if group <= 0 else group
        count = 1 if group == 0 else ROWS * (columns // per_group)
        weight = weights(kind, columns, per_group, generator).to(DTYPES[dtype])
        case = {
            "name": f"{kind} {bits} bit group {group} {'sym' if sym else 'asym'} scale {scale_dtype} weight {dtype}",
            "kind": kind, "bits": bits, "group": group, "sym": sym, "columns_per_group": per_group,
            "scale_dtype": DTYPES[scale_dtype], "weight": weight,
            "value": (torch.rand(ROWS, columns, generator=generator) - 0.5) * (0.0 if kind == "half_steps" else 0.9),
            "min_scale": 1.02 - 0.4 * torch.rand(count, generator=generator),  # some above 1: clamped before use
            "max_scale": 1.02 - 0.4 * torch.rand(count, generator=generator),
            "gradient": (torch.randn(ROWS, columns, generator=generator) * 0.01).to(DTYPES[dtype]),
        }
        if kind in ("tie", "half_steps"):
            case["min_scale"].fill_(1), case["max_scale"].fill_(1)
        case["gradient"][0, ::7] = 0
        case["folder"] = folder / str(number)
        case["folder"].mkdir()
        for name in ("weight", "value", "min_scale", "max_scale", "gradient"):
            save(case["folder"] / name, case[name])
        case["lines"] = [f"qdq {case['folder']} {path} {bits} {'sym' if sym else 'asym'} {group} {scale_dtype} {dtype} {ROWS} "
                         f"{columns} {RATE!s} {MINMAX_RATE!s}" for path in paths]
        cases.append(case)
    return cases


def compare(case, paths, counts):
    shape, name = case["weight"].shape, case["name"]
    bits, levels = case["bits"], 2 ** case["bits"]
    first = None
    for path in paths:
        read = lambda name, dtype, as_shape: load(case["folder"] / f"{path}.{name}", dtype, as_shape)
        results = {
            "output": read("output", case["weight"].dtype, shape), "codes": read("codes", torch.uint8, shape),
            "scales": read("scales", case["scale_dtype"], -1), "value": read("value", torch.float32, shape),
            "min": read("min", torch.float32, -1), "max": read("max", torch.float32, -1),
            "zeros": torch.full((case["min_scale"].numel(),), levels // 2, dtype=torch.uint8) if case["sym"]
            else read("zeros", torch.uint8, -1),
        }
        check(same_bits(results["codes"], read("best_codes", torch.uint8, shape)), f"{name}: {path} best codes")
        if first is None:
            first = results
        for key in results:
            if case["group"] == 0 and key in ("min", "max"):
                continue  # one sum over the tensor: plain adds in the order of at::sum, the kernels row by row
            check(same_bits(results[key], first[key]), f"{name}: {key} of {path} and {paths[0]}")

    # What a loader computes from the integers is what was tuned, but for scales that were rounded to be written.
    scale = first["scales"].reshape(-1, 1)
    if case["scale_dtype"] == torch.bfloat16:
        codes = (first["codes"].int() - levels // 2).to(torch.int8).reshape(scale.numel(), -1)
        zeros = (first["zeros"].int() - levels // 2).to(torch.int8).reshape(-1, 1)
        loaded = _dequantize(codes, scale, zeros).reshape(shape)
        near = (loaded.float() - first["output"].float()).abs() <= first["output"].float().abs() / 64
        check(bool(near.all()), f"{name}: W' and what compressed-tensors loads")
        return  # auto-round has no reference for this dtype: it would divide in bf16

    output, scales, zero, after = reference(case)
    grouped = (scales.numel(), -1)
    comparable = torch.ones(scales.numel(), dtype=torch.bool)
    if not case["sym"]:
        zero = zero.detach().reshape(-1)
        comparable = zero < levels  # a zero point that is no code cannot be stored; quant/ stops at the last one
        check(torch.equal(first["zeros"][comparable].float(), zero[comparable]), f"{name}: zero points")
        counts["zero points out of range"] += int((~comparable).sum())
    check(same_bits(first["scales"], scales), f"{name}: scales")
    pick = lambda tensor: tensor.reshape(grouped)[comparable]
    check(same_bits(pick(first["output"]), pick(output)), f"{name}: W'")
    check(same_bits(pick(first["value"]), pick(after["value"])), f"{name}: V after a step")
    for key in ("min", "max"):
        equal = first[key][comparable] == after[key].reshape(-1)[comparable]
        counts["scale factors"] += equal.numel()
        counts["scale factors that step as in auto-round"] += int(equal.sum())
        if case["group"] != 0:
            check(bool(equal.all()), f"{name}: {key}_scale, {int((~equal).sum())} of {equal.numel()} steps")


def compare_packing(folder, tool):
    generator = torch.Generator().manual_seed(9)
    cases, lines = [], []
    for bits, columns, dimension in itertools.product(range(1, 9), (1, 7, 8, 31, 32, 33, 100, 576), (0, 1)):
        where = folder / f"pack_{bits}_{columns}_{dimension}"
        where.mkdir()
        codes = torch.randint(0, 2**bits, (5, columns) if dimension else (columns, 5), dtype=torch.uint8, generator=generator)
        save(where / "codes", codes)
        cases.append((where, bits, dimension, codes))
        lines.append(f"pack {where} {bits} {codes.shape[0]} {codes.shape[1]} {dimension}")
    run(tool, lines)
    for where, bits, dimension, codes in cases:
        signed = (codes.int() - (1 << (bits - 1))).to(torch.int8)
        expected = pack_to_int32(signed, bits, packed_dim=dimension)
        packed = load(where / "packed", torch.int32, expected.shape)
        check(same_bits(packed, expected), f"{bits} bit packing of {tuple(codes.shape)} along {dimension}")
        check(same_bits(load(where / "unpacked", torch.uint8, codes.shape), codes), f"{bits} bit unpacking {tuple(codes.shape)}")
    return len(cases)


def run(tool, lines):
    done = subprocess.run([tool], input="\n".join(lines) + "\n", text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"{tool} failed: {done.stderr}")
    return done.stdout


def main():
    tool = sys.argv[1]
    torch.set_num_threads(1)
    paths = run(tool, ["kernels"]).split()
    counts = {"scale factors": 0, "scale factors that step as in auto-round": 0, "zero points out of range": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        cases = make_cases(folder, paths)
        run(tool, [line for case in cases for line in case["lines"]])
        for case in cases:
            compare(case, paths, counts)
        packed = compare_packing(folder, tool)
    print(f"{len(cases)} qdq cases on {', '.join(paths)}; {packed} packing cases; {counts}; {len(failures)} differences")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
