"""Compares floating-point numbers and rounded inputs with auto-round and compressed-tensors, through quant_tool.

Codes, scales, W' and steps of V are compared bit for bit with auto-round's functions for weights, W' as it is loaded
with compressed-tensors' dequantize, and rounded inputs with its fake_quantize.

usage: compare_floats.py QUANT_TOOL         exit status: 0 equal, 1 different, 77 a Python package is missing
"""

import itertools
import pathlib
import sys
import tempfile

import compare_quant as common
from compare_quant import DTYPES, MINMAX_RATE, RATE, ROWS, check, load, run, same_bits, save

try:
    import torch
    from auto_round.data_type.fp8 import quant_block_fp_sym, quant_fp8_sym
    from auto_round.data_type.mxfp import quant_mx
    from auto_round.data_type.nvfp import calculate_gparam, nv_fp4
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import dequantize, fake_quantize
    from compressed_tensors.quantization.utils import calculate_qparams, compute_dynamic_scales_and_zp
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

# number -> (auto-round's name, bits, exponent bits, mantissa bits, bias)
NUMBERS = {"fp8": ("fp8", 8, 4, 3, 7), "mxfp4": ("mx_fp4", 4, 2, 1, 1), "mxfp6": ("mx_fp6", 6, 2, 3, 1),
           "mxfp8": ("mx_fp8", 8, 4, 3, 7), "nvfp4": ("nv_fp4", 4, 2, 1, 1)}
KINDS = ["random", "zero", "constant", "single_sign", "tie", "half_steps", "tiny", "huge"]


def decode(codes, number):
    _, bits, _, mantissa, bias = NUMBERS[number]
    table = []
    for code in range(2**bits):
        exponent, fraction = code % 2 ** (bits - 1) >> mantissa, code % 2**mantissa / 2**mantissa
        value = fraction * 2.0 ** (1 - bias) if exponent == 0 else (1 + fraction) * 2.0 ** (exponent - bias)
        table.append(-value if code >> (bits - 1) else value)
    return torch.tensor(table)[codes.long()]


def block_grid(tensor, rows, columns):
    """[rows of blocks, columns of blocks, rows, columns], padded with zeros."""
    pad = (-tensor.shape[1] % columns, -tensor.shape[0] % rows)
    padded = torch.nn.functional.pad(tensor, (0, pad[0], 0, pad[1]))
    return padded.reshape(padded.shape[0] // rows, rows, -1, columns).transpose(1, 2)


def reference(case):
    """W', stored scale and the parameters after one step of SignSGD, by auto-round's own functions."""
    weight, number = case["weight"], case["number"]
    maximum = case["max_scale"].clone().clamp_(0, 1).requires_grad_()
    value = case["value"].clone().requires_grad_()
    if case["block"]:
        blocks = block_grid(weight, *case["block"])
        output, scale, _ = quant_block_fp_sym(
            weight, max_scale=maximum, group_size=case["block"], v=block_grid(value, *case["block"]),
            tensor_max=blocks.amax(dim=(-2, -1)).clamp(min=0), tensor_min=blocks.amin(dim=(-2, -1)).clamp(max=0))
    elif number == "fp8":
        grouped = weight.reshape(1 if case["group"] == 0 else ROWS, -1)
        output, scale, _ = quant_fp8_sym(
            weight, max_scale=maximum.reshape(-1), group_size=case["group"], v=value.reshape(grouped.shape),
            tensor_max=grouped.max(1)[0].clamp(min=0), tensor_min=grouped.min(1)[0].clamp(max=0))
    elif number == "nvfp4":
        grouped = value.reshape(-1, case["group"])
        output, scale, _ = nv_fp4(weight, v=grouped, global_scale=calculate_gparam(weight), max_scale=maximum.reshape(-1))
    else:
        grouped = value.reshape(-1, case["group"])
        output, scale, _ = quant_mx(weight, bits=NUMBERS[number][1], group_size=case["group"], v=grouped,
                                    max_scale=maximum.reshape(-1), data_type=NUMBERS[number][0])
    output.backward(case["gradient"])
    after = {}
    for name, parameter, rate in (("value", value, RATE), ("max", maximum, MINMAX_RATE)):
        after[name] = parameter.detach().clone().add_(torch.sign(parameter.grad), alpha=-float(rate))
    return output.detach(), scale.detach(), after


def plans():
    for number, kind in itertools.product(("mxfp4", "mxfp6", "mxfp8", "nvfp4"), KINDS):
        yield number, kind, 16 if number == "nvfp4" else 32, None, "float32", 256
    for kind, group in itertools.product(KINDS, (0, -1)):
        yield "fp8", kind, group, None, "float32", 256 if kind != "random" else 250
    for kind in KINDS:
        yield "fp8", kind, 32, (16, 32), "float32", 256
    yield "fp8", "random", 48, (7, 48), "float32", 250  # blocks that reach over both edges
    for group, block in ((0, None), (-1, None), (32, (16, 32))):
        yield "fp8", "random", group, block, "bfloat16", 256


def make_cases(folder, paths):
    generator = torch.Generator().manual_seed(11)
    cases = []
    for index, ((number, kind, group, block, scale_dtype, columns), dtype) in enumerate(
            itertools.product(plans(), ("bfloat16", "float32"))):
        weight = common.weights(kind, columns, columns if group <= 0 else group, generator).to(DTYPES[dtype])
        shape = (1, 1) if group == 0 else (ROWS, 1) if group == -1 else (ROWS, -(-columns // group))
        if block:
            shape = (-(-ROWS // block[0]), -(-columns // block[1]))
        case = {
            "name": f"{number} {kind} group {block or group} scale {scale_dtype} weight {dtype}", "number": number, "group": group,
            "block": block, "scale_dtype": scale_dtype, "weight": weight, "folder": folder / str(index),
            "value": (torch.rand(ROWS, columns, generator=generator) - 0.5) * (0.0 if kind == "half_steps" else 0.9),
            "max_scale": 1.02 - 0.6 * torch.rand(shape, generator=generator),
            "gradient": (torch.randn(ROWS, columns, generator=generator) * 0.01).to(DTYPES[dtype]),
        }
        if kind in ("tie", "half_steps", "constant"):
            case["max_scale"].fill_(1)
        case["gradient"][0, ::7] = 0
        case["folder"].mkdir()
        for name in ("weight", "value", "max_scale", "gradient"):
            save(case["folder"] / name, case[name])
        case["lines"] = [f"float {case['folder']} {path} {number} {group} {block[0] if block else 0} {scale_dtype} {dtype} {ROWS} "
                         f"{columns} {RATE!s} {MINMAX_RATE!s}" for path in paths]
        cases.append(case)
    return cases


def compare(case, paths, counts):
    shape, name, number = case["weight"].shape, case["name"], case["number"]
    stored = torch.uint8 if number.startswith("mx") else torch.float8_e4m3fn if number == "nvfp4" else DTYPES[case["scale_dtype"]]
    first = None
    for path in paths:
        read = lambda key, dtype, as_shape: load(case["folder"] / f"{path}.{key}", dtype, as_shape)
        results = {"output": read("output", case["weight"].dtype, shape), "loaded": read("loaded", case["weight"].dtype, shape),
                   "codes": read("codes", torch.uint8, shape), "scales": read("scales", stored, -1),
                   "value": read("value", torch.float32, shape), "max": read("max", torch.float32, case["max_scale"].shape)}
        check(same_bits(results["codes"], read("best_codes", torch.uint8, shape)), f"{name}: {path} best codes")
        first = first or results
        for key in results:
            check(same_bits(results[key], first[key]), f"{name}: {key} of {path} and {paths[0]}")
    check(same_bits(first["output"], first["loaded"]), f"{name}: W' and what is loaded")
    if case["scale_dtype"] == "bfloat16":
        return  # auto-round's scale is fp32

    output, scale, after = reference(case)
    if number == "nvfp4":
        check(same_bits(first["scales"].float(), scale.reshape(-1)), f"{name}: scales")
        check(same_bits(load(case["folder"] / f"{paths[0]}.global", torch.float32, ()),
                        calculate_gparam(case["weight"])) or not case["weight"].any(), f"{name}: global scale")
        # auto-round multiplies with a reciprocal where loaders divide: one bit of W' at most
        near = (first["output"].float() - output.float()).abs() <= output.float().abs() * 2**-7
        check(bool(near.all()), f"{name}: W'")
        factor = scale.reshape(-1, 1) / calculate_gparam(case["weight"])
        values = output.float().reshape(-1, 16) / torch.where(factor == 0, torch.ones_like(factor), factor)
        check(torch.equal(decode(first["codes"], number).reshape(-1, 16) * (factor != 0), (values * 2).round() / 2), f"{name}: codes")
    else:
        if number.startswith("mx"):
            check(torch.equal(first["scales"].float() - 127, scale.float().reshape(-1)), f"{name}: scales")
        else:
            check(same_bits(first["scales"], scale.reshape(-1)), f"{name}: scales")
        check(torch.equal(first["output"], output), f"{name}: W'")  # auto-round loses the sign of some zeros
    check(same_bits(first["value"], after["value"]), f"{name}: V after a step, {int((first['value'] != after['value']).sum())} differ")
    equal = first["max"] == after["max"]
    counts["scale factors"] += equal.numel()
    counts["scale factors that step as in auto-round"] += int(equal.sum())


INPUTS = [("int", 8, "sym", -1, {"num_bits": 8, "type": "int", "strategy": "token"}),
          ("int", 4, "sym", -1, {"num_bits": 4, "type": "int", "strategy": "token"}),
          ("int", 8, "asym", -1, {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": False}),
          ("int", 8, "sym", 64, {"num_bits": 8, "type": "int", "strategy": "group", "group_size": 64}),
          ("int", 8, "sym", 0, {"num_bits": 8, "type": "int", "strategy": "tensor"}),
          ("fp8", 8, "sym", -1, {"num_bits": 8, "type": "float", "strategy": "token"}),
          ("fp8", 8, "sym", 128, {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 128}),
          ("fp8", 8, "sym", 0, {"num_bits": 8, "type": "float", "strategy": "tensor"}),
          ("mxfp4", 4, "sym", 32, {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32, "scale_dtype": torch.uint8}),
          ("mxfp8", 8, "sym", 32, {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 32, "scale_dtype": torch.uint8}),
          ("nvfp4", 4, "sym", 16, {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16,
                                   "scale_dtype": torch.float8_e4m3fn, "dynamic": "local"})]


def compare_inputs(folder, tool, counts):
    generator = torch.Generator().manual_seed(13)
    cases, lines = [], []
    for (number, bits, symmetry, group, arguments), kind, is_static in itertools.product(INPUTS, KINDS, (False, True)):
        if is_static and group != 0:
            continue
        where = folder / f"input{len(cases)}"
        where.mkdir()
        x = common.weights(kind, 256, 32, generator)
        save(where / "x", x)
        args = QuantizationArgs(**{"dynamic": not is_static, **arguments})
        cases.append((f"{number} {bits} {symmetry} {args.strategy} {kind} static {is_static}", where, args, x))
        lines.append(f"input {where} {number} {bits} {symmetry} {group} {'static' if is_static else 'dynamic'} float32 {ROWS} 256")
    run(tool, lines)
    for name, where, args, x in cases:
        global_scale = load(where / "global", torch.float32, -1) if (where / "global").exists() else None
        if args.dynamic:
            scale, zero = compute_dynamic_scales_and_zp(x.unsqueeze(0), args, None, global_scale)
        else:
            scale, zero = calculate_qparams(-x.abs().max(), x.abs().max(), args)
            check(same_bits(load(where / "scale", torch.float32, -1), scale), f"{name}: scale")
        expected = fake_quantize(x.unsqueeze(0), scale, zero if not args.symmetric else None, args, global_scale)[0]
        found = load(where / "rounded", torch.float32, x.shape)
        differ = found != expected
        counts["inputs"] += differ.numel()
        check(not differ.any(), f"{name}: {int(differ.sum())} of {differ.numel()} differ")
    return len(cases)


def main():
    tool = sys.argv[1]
    torch.set_num_threads(1)
    paths = run(tool, ["kernels"]).split()[1:]
    counts = {"scale factors": 0, "scale factors that step as in auto-round": 0, "inputs": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        cases = make_cases(folder, paths)
        run(tool, [line for case in cases for line in case["lines"]])
        for case in cases:
            compare(case, paths, counts)
        inputs = compare_inputs(folder, tool, counts)
    check(counts["scale factors that step as in auto-round"] >= 0.995 * counts["scale factors"], f"steps of scale factors: {counts}")
    print(f"{len(cases)} float cases on {', '.join(paths)}; {inputs} input cases; {counts}; {len(common.failures)} differences")
    sys.exit(1 if common.failures else 0)


if __name__ == "__main__":
    main()
