"""Compares super groups, the K types of GGUF: their searched scales and minima, W' and a step of V, bit for bit with
auto-round, through quant_tool.

usage: compare_super.py QUANT_TOOL         exit status: 0 equal, 1 different, 77 a Python package is missing

Where a file cannot hold what auto-round finds, ours is what the file holds: fp16 units, minima that are not negative.
"""

import itertools
import pathlib
import sys
import tempfile
from unittest import mock

import compare_quant as common
from compare_quant import DTYPES, RATE, ROWS, check, load, run, same_bits, save

try:
    import numpy as np
    import torch
    from auto_round.algorithms.quantization.sign_roundv2.quantizer import _dq_asym_qdq, _dq_sym_qdq
    from auto_round.data_type.gguf import double_quant_tensor_sym_rtn, search_gguf_scale_min_asym
    from auto_round.export.export_to_gguf.packing import make_qx_quants_chunk
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

COLUMNS = 512
# bits: (symmetric, group, super group, super bits)
TYPES = {2: (False, 16, 16, 4), 3: (True, 16, 16, 6), 4: (False, 32, 8, 6), 5: (False, 32, 8, 6), 6: (True, 16, 16, 8)}
KINDS = ["random", "zero", "constant", "negative_constant", "small", "large", "outliers", "negative", "half_empty"]
IMPORTANCE = ["none", "random", "one_channel"]


def weights(kind, group, generator):
    tensor = torch.randn(ROWS, COLUMNS, generator=generator) * 0.05
    if kind in ("zero", "constant", "negative_constant"):
        return torch.full_like(tensor, {"zero": 0.0, "constant": 0.37, "negative_constant": -0.37}[kind])
    if kind == "outliers":
        tensor[:, ::group] *= 12
    if kind == "negative":
        tensor = torch.where(tensor < 0, tensor * 3, tensor)
    if kind == "half_empty":
        tensor[:, : COLUMNS // 2 + group] = 0
    return tensor * {"small": 1e-3, "large": 1e3}.get(kind, 1.0)


def importances(kind, generator):
    if kind == "none":
        return None
    tensor = torch.randn(COLUMNS, generator=generator).square() * 100 + 1e-3
    if kind == "one_channel":
        tensor[COLUMNS // 3] = 1e7
    return tensor


def search_symmetric(case):
    """As auto-round with importance does it. Without, its search for 3 bits loses terms of its sums; it is not followed."""
    blocks = case["weight"].float().reshape(-1, 16, 16)
    given = {"qw": None} if case["importance"] is None else {"qw": case["importance"].reshape(1, -1).expand(ROWS, -1).reshape(blocks.shape)}
    scale, _ = make_qx_quants_chunk(blocks, bits=case["bits"], rmse_type=1, **given)
    scale = torch.where(scale.abs() < 1e-30, torch.zeros_like(scale), scale)
    return double_quant_tensor_sym_rtn(scale, case["super_bits"])


def rounded_sqrt(tensor):
    """As IEEE 754 has it; torch's comes from MKL, whose last bit is wrong in one of five, and costs of errors start there."""
    return torch.from_numpy(np.sqrt(tensor.numpy()))


def as_stored(products, units):
    """Units in fp16, the integers, and what they stand for then."""
    integers = torch.where(units == 0, torch.zeros_like(products), products / torch.where(units == 0, torch.ones_like(units), units)).round()
    half = units.half()
    return half, integers.to(torch.int8), half.float() * integers


def expected(case):
    groups, width = COLUMNS // case["group"], case["super_group"]
    result = {}
    if case["symmetric"]:
        scale, unit = search_symmetric(case)
        result["scales"], result["scale_factors"], scale = as_stored(scale, unit.reshape(-1, 1))
        qdq = lambda v: _dq_sym_qdq(case["weight"], scale.unsqueeze(-1), case["bits"], v=v)
    else:
        grouped = case["weight"].float().reshape(-1, case["group"])
        with mock.patch("torch.sqrt", rounded_sqrt):
            scale, least, unit, least_unit = search_gguf_scale_min_asym(grouped, case["bits"], torch.float32, case["importance"])
        result["scales"], result["scale_factors"], scale = as_stored(scale.reshape(-1, width), unit.reshape(-1, 1))
        result["minima"], result["minimum_factors"], least = as_stored(least.reshape(-1, width), least_unit.reshape(-1, 1))
        scale, least = scale.reshape(-1, 1), least.reshape(-1, 1)
        qdq = lambda v: _dq_asym_qdq(case["weight"], scale, least, case["bits"], case["group"], v=v)
    value = case["value"].clone().requires_grad_()
    output = qdq(value if case["symmetric"] else value.reshape(-1, case["group"]))
    output.backward(case["gradient"])
    result["output"] = output.detach()
    result["value"] = case["value"].add(torch.sign(value.grad), alpha=-float(RATE))
    return {key: tensor.reshape(ROWS, -1) for key, tensor in result.items()}


def make_cases(folder, paths):
    generator = torch.Generator().manual_seed(7)
    cases = []
    for bits, kind, importance, dtype in itertools.product(TYPES, KINDS, IMPORTANCE, ("bfloat16", "float32")):
        symmetric, group, super_group, super_bits = TYPES[bits]
        case = {
            "name": f"{bits} bits {kind} importance {importance} weight {dtype}", "bits": bits, "symmetric": symmetric, "group": group,
            "super_group": super_group, "super_bits": super_bits, "kind": kind, "folder": folder / str(len(cases)), "paths": paths,
            "weight": weights(kind, group, generator).to(DTYPES[dtype]), "importance": importances(importance, generator),
            "value": (torch.rand(ROWS, COLUMNS, generator=generator) - 0.5) * 0.9,
            "gradient": (torch.randn(ROWS, COLUMNS, generator=generator) * 0.01).to(DTYPES[dtype]),
        }
        case["gradient"][0, ::7] = 0
        case["folder"].mkdir()
        for name in ("weight", "importance", "value", "gradient"):
            if case[name] is not None:
                save(case["folder"] / name, case[name])
        case["lines"] = [f"super {case['folder']} {path} {bits} {'sym' if symmetric else 'asym'} {group} {super_group} {super_bits} {dtype} "
                         f"{ROWS} {COLUMNS} {RATE!s}" for path in paths]
        cases.append(case)
    return cases


def compare(case, counts):
    shape, name = case["weight"].shape, case["name"]
    dtypes = {"scales": torch.float16, "scale_factors": torch.int8, "output": case["weight"].dtype, "codes": torch.uint8,
              "loaded": torch.float32, "value": torch.float32, "best_codes": torch.uint8}
    if not case["symmetric"]:
        dtypes |= {"minima": torch.float16, "minimum_factors": torch.int8}
    of_path = {path: {key: load(case["folder"] / f"{path}.{key}", dtype, (ROWS, -1)) for key, dtype in dtypes.items()} for path in case["paths"]}
    ours = of_path[case["paths"][0]]
    for path, results in of_path.items():
        for key, tensor in results.items():
            check(same_bits(tensor, ours[key]), f"{name}: {key} of {path} and {case['paths'][0]}")
    check(torch.equal(ours["loaded"].to(case["weight"].dtype), ours["output"]), f"{name}: what a loader computes")
    check(torch.equal(ours["codes"], ours["best_codes"]), f"{name}: codes of the best step")
    if case["kind"] == "constant" and not case["symmetric"]:
        return  # auto-round stores the negative minimum of a positive group, which unsigned integers do not hold
    theirs = expected(case)
    for key, tensor in theirs.items():
        check(torch.equal(ours[key].reshape(tensor.shape).float(), tensor.float()), f"{name}: {key}")
    counts["groups"] += ours["scale_factors"].numel()
    counts["weights"] += ours["codes"].numel()


def main():
    tool = sys.argv[1]
    torch.set_num_threads(1)
    paths = [path for path in run(tool, ["kernels"]).split() if path != "plain"]
    counts = {"groups": 0, "weights": 0}
    with tempfile.TemporaryDirectory() as name:
        cases = make_cases(pathlib.Path(name), paths)
        run(tool, [line for case in cases for line in case["lines"]])
        for case in cases:
            compare(case, counts)
    print(f"{len(cases)} cases on {', '.join(paths)}; equal to auto-round: {counts}; differences: {len(common.failures)}")
    return 1 if common.failures else 0


if __name__ == "__main__":
    sys.exit(main())
