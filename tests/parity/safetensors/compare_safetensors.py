"""Compares our safetensors reader and writer with the safetensors package.

compare_safetensors.py SAFETENSORS_TOOL WORK_DIR
"""
import json
import pathlib
import random
import shutil
import struct
import subprocess
import sys

import torch
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.torch import save_file

TOOL, WORK = sys.argv[1], pathlib.Path(sys.argv[2])
NAMES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int8: "I8",
    torch.uint8: "U8", torch.int16: "I16", torch.int32: "I32", torch.int64: "I64", torch.bool: "BOOL",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.complex64: "C64",
}


def tool(*arguments, text=None):
    done = subprocess.run([TOOL, *map(str, arguments)], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"safetensors_tool {arguments[0]} failed with {done.returncode}: {done.stderr}")
    return done.stdout


def raw(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def hex_or_dash(data):
    return data.hex() or "-"


def shape_word(shape):
    return "s" + "x".join(map(str, shape))


def make_tensors(generator):
    tensors = {}
    for number, (dtype, name) in enumerate(NAMES.items()):
        for shape in ((3, 5), (), (0, 4), (2, 1, 3)):
            count = torch.Size(shape).numel() * torch.empty(0, dtype=dtype).element_size()
            data = torch.randint(0, 2 if dtype == torch.bool else 256, (count,), generator=generator, dtype=torch.uint8)
            tensors[f"layers.{number}.{name}_{shape_word(shape)}"] = data.view(dtype).reshape(shape) if count else torch.empty(shape, dtype=dtype)
    return tensors


def check(condition, message):
    if not condition:
        sys.exit("FAILED: " + message)


def ours_to_theirs(tensors, max_shard_bytes):
    folder = WORK / f"ours-{max_shard_bytes}"
    folder.mkdir()
    lines = [f"{name} {NAMES[t.dtype]} {shape_word(t.shape)} {name.rsplit('.', 1)[0]} {hex_or_dash(raw(t))}" for name, t in tensors.items()]
    tool("write", folder, max_shard_bytes, text="\n".join(lines))
    found, weight_map = {}, {}
    files = sorted(folder.glob("*.safetensors"))
    for path in files:
        check(struct.unpack("<Q", path.read_bytes()[:8])[0] % 8 == 0, f"{path.name}: data is not aligned to 8 bytes")
        with safe_open(path, framework="pt") as shard:
            check(shard.metadata() == {"format": "pt"}, f"{path.name}: metadata is {shard.metadata()}")
            for name in shard.keys():
                found[name], weight_map[name] = shard.get_tensor(name), path.name
    check(found.keys() == tensors.keys(), "names differ")
    for name, tensor in tensors.items():
        check(found[name].dtype == tensor.dtype and found[name].shape == tensor.shape, f"{name}: dtype or shape differs")
        check(raw(found[name]) == raw(tensor), f"{name}: bytes differ")
    index = folder / "model.safetensors.index.json"
    if len(files) == 1:
        check(files[0].name == "model.safetensors" and not index.exists(), "one shard is named wrongly or has an index")
        return len(files)
    total = {"total_parameters": sum(t.numel() for t in tensors.values()), "total_size": sum(len(raw(t)) for t in tensors.values())}
    wanted = json.dumps({"metadata": total, "weight_map": weight_map}, indent=2, sort_keys=True) + "\n"
    check(index.read_text() == wanted, "the index differs from what transformers writes")
    return len(files)


def theirs_to_ours(tensors):
    path = WORK / "theirs.safetensors"
    save_file(tensors, path, metadata={"format": "pt", "note": "h\u00e9llo \"quoted\""})
    lines = sorted(tool("read", path).splitlines())
    wanted = sorted(f"{name} {NAMES[t.dtype]} {shape_word(t.shape)} {hex_or_dash(raw(t))}" for name, t in tensors.items())
    check(lines == wanted, "our reader sees other tensors than were saved")


def mutate(source, rng):
    """A broken relative of a valid file. The header is rewritten as JSON or as bytes, with a length that fits it."""
    length = struct.unpack("<Q", source[:8])[0]
    header, data = source[8 : 8 + length].rstrip(b" "), source[8 + length :]
    kind = rng.randrange(6)
    if kind < 3:
        tree = json.loads(header)
        entry = tree[rng.choice([name for name in tree if name != "__metadata__"])]
        if kind == 0:
            offsets = entry["data_offsets"]
            offsets[rng.randrange(2)] = max(0, offsets[rng.randrange(2)] + rng.choice([-8, -1, 1, 2, 8, 2**40, 2**63]))
        elif kind == 1:
            entry["shape"] = rng.choice([entry["shape"] + [1], entry["shape"] + [2], entry["shape"][:-1], [0], [2**63], [2**32, 2**32], [2**40] * 2 + [0]])
        else:
            entry["dtype"] = rng.choice(["F4", "F64", "u8", "", "U8", "F8_E8M0", "F6_E2M3"])
        header = json.dumps(tree).encode()
    elif kind == 3:
        place = rng.randrange(len(header))
        header = header[:place] + bytes([rng.choice(b'{}[]",:0-9.eE \x00\xff\xc3tfn')]) + header[place + 1 :]
    elif kind == 4:
        place = rng.randrange(len(header))
        header = header[:place] + header[place + rng.randrange(1, 9) :]
    else:
        data = data[: -rng.randrange(1, 9)] if rng.random() < 0.5 else data + b"PK"
    return struct.pack("<Q", len(header)) + header + data


def same_verdict_on_broken_files(tensors):
    path = WORK / "base.safetensors"
    save_file(dict(list(tensors.items())[:6]), path, metadata={"format": "pt"})
    rng = random.Random(7)
    corpus = WORK / "broken"
    corpus.mkdir()
    files = [corpus / f"{i:04}" for i in range(1500)]
    for file in files:
        file.write_bytes(mutate(path.read_bytes(), rng))
    ours = tool("judge", *files).splitlines()
    check(len(ours) == len(files), "one verdict for each file is wanted")
    accepted = refused = stricter = 0
    for file, verdict in zip(files, ours):
        try:
            deserialize(file.read_bytes())
            theirs = True
        except (SafetensorError, UnicodeDecodeError):
            theirs = False
        if verdict == "ok":
            check(theirs, f"{file.name}: accepted by us, refused by safetensors")
            accepted += 1
        elif theirs:
            # What we refuse beyond the package: keys that are given twice or that nobody defined, and absurd sizes.
            check(any(word in verdict for word in ("twice", "unknown key", "limit", "empty name", "only strings")),
                  f"{file.name}: refused by us alone: {verdict}")
            stricter += 1
        else:
            refused += 1
    check(accepted > 20 and refused > 500, f"the corpus is one-sided: {accepted} accepted, {refused} refused")
    return accepted, refused, stricter


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    tensors = make_tensors(torch.Generator().manual_seed(3))
    check(ours_to_theirs(tensors, 10**9) == 1, "one shard was wanted")
    check(ours_to_theirs(tensors, 300) > 3, "several shards were wanted")
    theirs_to_ours(tensors)
    accepted, refused, stricter = same_verdict_on_broken_files(tensors)
    print(f"{len(tensors)} tensors equal both ways; broken files: {accepted} accepted and {refused} refused by both, {stricter} by us alone")
    shutil.rmtree(WORK)


main()
