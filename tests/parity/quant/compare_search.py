"""Compares searched scales, and a step of SignRoundV2 from them, bit for bit with auto-round, through quant_tool.

usage: compare_search.py QUANT_TOOL         exit status: 0 equal, 1 different, 77 a Python package is missing
"""

import itertools
import pathlib
import sys
import tempfile

import compare_quant as common
from compare_floats import decode
from compare_quant import DTYPES, MINMAX_RATE, RATE, ROWS, check, load, run, same_bits, save

try:
    import torch
    from auto_round.data_type.int import quant_tensor_opt_rtn_sym, quant_tensor_sym
    from auto_round.data_type.mxfp import quant_mx, quant_mx_opt_rtn
    from auto_round.data_type.nvfp import calculate_gparam, nv_fp4, opt_rtn_fast_nvfp4
    from auto_round.data_type.utils import (reshape_imatrix_for_weight, reshape_pad_tensor_by_group_size,
                                            search_optimized_init_scale)
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

NAMES = {"int": "int_sym", "mxfp4": "mx_fp4", "mxfp6": "mx_fp6", "mxfp8": "mx_fp8", "nvfp4": "nv_fp4"}
KINDS = ["random", "zero", "constant", "single_sign", "tie", "half_steps", "tiny", "huge", "outliers", "negative"]
IMPORTANCE = ["none", "random", "one_channel", "zeros"]
GROUPS = (32, 64, 128, -1)


def weights(kind, columns, group, generator):
    if kind == "outliers":  # the peak is far off, so that the best scale clips it
        tensor = torch.randn(ROWS, columns, generator=generator) * 0.02
        tensor[:, ::group] *= 12
        return tensor
    if kind == "negative":  # the negative side dominates
        tensor = torch.randn(ROWS, columns, generator=generator) * 0.05
        return torch.where(tensor < 0, tensor * 3, tensor)
    return common.weights(kind, columns, group, generator)


def importances(kind, columns, generator):
    if kind == "none":
        return None
    tensor = torch.randn(columns, generator=generator).square() * 100
    if kind == "one_channel":
        tensor[columns // 3] = 1e7
    if kind == "zeros":
        tensor[::3] = 0
    return tensor


def threshold(case):
    return 1e-8 if case["scale_dtype"] == torch.float32 else 1e-5


def searched(case):
    grouped, _, _ = reshape_pad_tensor_by_group_size(case["weight"].float(), case["group"])
    importance = reshape_imatrix_for_weight(case["importance"], grouped, case["group"])
    least = torch.tensor(threshold(case), dtype=case["scale_dtype"]).float().item()  # as the stored type holds it
    return search_optimized_init_scale(grouped, NAMES[case["number"]], case["bits"], importance, least).reshape(-1)


def step(case, init):
    """W', scale and the parameters after one step of SignSGD as SignRoundV2 takes it."""
    weight, number = case["weight"], case["number"]
    maximum = case["max_scale"].clone().clamp_(0, 2).requires_grad_()
    grouped, shape, pad = reshape_pad_tensor_by_group_size(case["value"], case["group"])
    value = grouped.clone().requires_grad_()
    given = {"bits": case["bits"], "group_size": case["group"], "v": value, "max_scale": maximum.reshape(-1)}
    if number == "int":
        output, scale, _ = quant_tensor_sym(weight, scale_dtype=case["scale_dtype"], init_scale=init.reshape(-1, 1),
                                            q_scale_thresh=threshold(case), **given)
    elif number == "nvfp4":
        output, scale, _ = nv_fp4(weight, global_scale=calculate_gparam(weight), init_scale=init, **given)
    else:
        output, scale, _ = quant_mx(weight, init_scale=init.reshape(-1, 1), data_type=NAMES[number], **given)
    output.backward(case["gradient"])
    moved = value.detach().clone().add_(torch.sign(value.grad), alpha=-float(RATE)).reshape(ROWS, -1)[:, :shape[1]]
    return output.detach(), scale.detach().reshape(-1), {
        "value": moved, "max": maximum.detach().clone().add_(torch.sign(maximum.grad), alpha=-float(MINMAX_RATE))}


def nearest(case):
    """W' of auto-round's optimised rounding, whose scales stay fp32."""
    given = {"bits": case["bits"], "group_size": case["group"], "imatrix": case["importance"]}
    if case["number"] == "int":
        return quant_tensor_opt_rtn_sym(case["weight"].float(), q_scale_thresh=threshold(case), **given)[0]
    if case["number"] == "nvfp4":
        return opt_rtn_fast_nvfp4(case["weight"], global_scale=calculate_gparam(case["weight"]), **given)[0]
    return quant_mx_opt_rtn(case["weight"].float(), data_type=NAMES[case["number"]], **given)[0]


def plans():
    """number, bits, kind, importance, group, dtype of scales, columns"""
    for (i, kind), bits in itertools.product(enumerate(KINDS), range(2, 9)):
        yield "int", bits, kind, IMPORTANCE[(i + bits) % 4], GROUPS[(bits + i // 4) % 4], "float16", 256
    for bits, importance, group in itertools.product((2, 3, 4, 8), IMPORTANCE, GROUPS):
        yield "int", bits, "random", importance, group, "float32", 640
    for bits, group in itertools.product((2, 4), (0, 24, 100, 1200)):
        yield "int", bits, "outliers", "random", group, "float16", {24: 240, 1200: 2400}.get(group, 400)
    yield "int", 4, "random", "random", 64, "float16", 250  # a last group that is short
    for number, kind, importance in itertools.product(("mxfp4", "mxfp6", "mxfp8", "nvfp4"), KINDS, ("none", "random")):
        yield number, {"mxfp6": 6, "mxfp8": 8}.get(number, 4), kind, importance, 16 if number == "nvfp4" else 32, "float32", 256


def make_cases(folder, paths):
    generator = torch.Generator().manual_seed(5)
    cases = []
    for (number, bits, kind, importance, group, scale_dtype, columns), dtype in itertools.product(plans(), ("bfloat16", "float32")):
        per_group = columns if group <= 0 else group
        count = 1 if group == 0 else ROWS * -(-columns // per_group)
        case = {
            "name": f"{number} {bits} bit {kind} importance {importance} group {group} of {columns} scale {scale_dtype} weight {dtype}",
            "number": number, "bits": bits, "group": group, "scale_dtype": DTYPES[scale_dtype],
            "weight": weights(kind, columns, per_group, generator).to(DTYPES[dtype]),
            "importance": importances(importance, columns, generator), "folder": folder / str(len(cases)),
            "value": (torch.rand(ROWS, columns, generator=generator) - 0.5) * (0.0 if kind == "half_steps" else 0.9),
            "max_scale": 0.4 + 1.65 * torch.rand(count, generator=generator),  # some above 2: clamped before use
            "gradient": (torch.randn(ROWS, columns, generator=generator) * 0.01).to(DTYPES[dtype]),
        }
        case["gradient"][0, ::7] = 0
        case["folder"].mkdir()
        for name in ("weight", "importance", "value", "max_scale", "gradient"):
            if case[name] is not None:
                save(case["folder"] / name, case[name])
        case["paths"] = [path for path in paths if path != "plain" or number == "int"]
        case["lines"] = [f"search {case['folder']} {path} {number} {bits} {group} {scale_dtype} {dtype} {ROWS} {columns} {RATE!s} "
                         f"{MINMAX_RATE!s}" for path in case["paths"]]
        cases.append(case)
    return cases


def compare(case, counts):
    shape, name, number, tensor = case["weight"].shape, case["name"], case["number"], case["group"] == 0
    stored = case["scale_dtype"] if number == "int" else torch.float8_e4m3fn if number == "nvfp4" else torch.uint8
    first = None
    for path in case["paths"]:
        read = lambda key, dtype, as_shape: load(case["folder"] / f"{path}.{key}", dtype, as_shape)
        results = {"output": read("output", case["weight"].dtype, shape), "value": read("value", torch.float32, shape),
                   "max": read("max", torch.float32, -1), "searched": read("searched", torch.float32, -1),
                   **{key: read(key, torch.uint8, shape) for key in ("codes", "nearest_codes")},
                   **{key: read(key, stored, -1) for key in ("scales", "nearest_scales")}}
        first = first or results
        for key in results:
            if not (tensor and key == "max"):  # one sum over the tensor, in another order in plain
                check(same_bits(results[key], first[key]), f"{name}: {key} of {path} and {case['paths'][0]}")

    init = searched(case)
    counts["scales"] += init.numel()
    counts["scales that differ from rounding to nearest"] += int((init != 1).sum()) if number != "int" else 0
    if tensor:
        check(torch.allclose(first["searched"], init), f"{name}: searched scale {first['searched']}, expected {init}")
        return
    differ = int((first["searched"] != init).sum())
    check(same_bits(first["searched"], init), f"{name}: {differ} of {init.numel()} searched scales")

    output, scale, after = step(case, init)
    if number == "nvfp4":
        check(same_bits(first["scales"].float(), scale), f"{name}: scales")
        near = (first["output"].float() - output.float()).abs() <= output.float().abs() * 2**-7
        check(bool(near.all()), f"{name}: W'")  # auto-round multiplies with a reciprocal where loaders divide
    else:
        expected = first["scales"].float() - 127 if number != "int" else first["scales"]
        check(torch.equal(expected.to(scale.dtype), scale), f"{name}: scales")
        check(torch.equal(first["output"], output), f"{name}: W'")
    check(same_bits(first["value"], after["value"]), f"{name}: V after a step")
    equal = first["max"] == after["max"]
    kind = "integers" if number == "int" else "floats"
    counts[f"max_scale of {kind}"] += equal.numel()
    counts[f"max_scale of {kind} that step as in auto-round"] += int(equal.sum())
    if number == "int":
        check(bool(equal.all()), f"{name}: {int((~equal).sum())} of {equal.numel()} steps of max_scale")

    if case["importance"] is None or not (case["importance"] == 0).any():  # auto-round fills in what was never seen
        if number == "int" and case["scale_dtype"] == torch.float32:
            codes = first["nearest_codes"].float() - 2 ** (case["bits"] - 1)
            grouped = reshape_pad_tensor_by_group_size(codes, case["group"])[0] * first["nearest_scales"].reshape(-1, 1)
            check(torch.equal(grouped.reshape(ROWS, -1)[:, :shape[1]], nearest(case)), f"{name}: optimised rounding")
            counts["weights rounded as optimised rounding does"] += codes.numel()
        elif number != "int" and case["weight"].dtype == torch.float32:
            before = nearest(case)
            factor = torch.exp2(first["nearest_scales"].float() - 127) if number != "nvfp4" else \
                first["nearest_scales"].float() / calculate_gparam(case["weight"])
            grid = before.reshape(-1, case["group"]) / torch.where(factor == 0, torch.ones_like(factor), factor).reshape(-1, 1)
            table = decode(first["nearest_codes"], number).reshape(grid.shape) * (factor != 0).reshape(-1, 1)
            check(torch.allclose(table, grid, rtol=1e-5, atol=0), f"{name}: optimised rounding")
            counts["weights rounded as optimised rounding does"] += grid.numel()


def main():
    tool = sys.argv[1]
    torch.set_num_threads(1)
    paths = run(tool, ["kernels"]).split()
    counts = {"scales": 0, "scales that differ from rounding to nearest": 0, "weights rounded as optimised rounding does": 0}
    for kind in ("integers", "floats"):
        counts |= {f"max_scale of {kind}": 0, f"max_scale of {kind} that step as in auto-round": 0}
    with tempfile.TemporaryDirectory() as name:
        cases = make_cases(pathlib.Path(name), paths)
        run(tool, [line for case in cases for line in case["lines"]])
        for case in cases:
            compare(case, counts)
    check(counts["max_scale of floats that step as in auto-round"] >= 0.995 * counts["max_scale of floats"], f"steps: {counts}")
    print(f"{len(cases)} cases on {', '.join(paths)}; {counts}; {len(common.failures)} differences")
    sys.exit(1 if common.failures else 0)


if __name__ == "__main__":
    main()
