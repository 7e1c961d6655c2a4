#!/usr/bin/env python3
"""What a binding costs: the same quantization, from opening the checkpoint to letting go of the result, in C and in each language.

    python tests/bench/languages.py --model DIR [--scene DIR] [--turns 8] [--check]

The first layers of the model are tuned on fixed tokens with a callback that hears every iteration. One process a language is started
and warmed up; then they take turns, one at a time, and each figure is divided by the mean of C's figures before and after it. Start-up
of virtual machines, compilers and LibTorch is not measured. All must write the same bytes.
"""
import argparse
import filecmp
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import child

LIMIT = 1.03  # time of a language over C's
ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent / "languages"
SCENE = Path("build/release/tests/bindings/scene")


def main() -> int:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="languages-") as scratch:
        return run(arguments, Path(scratch))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a checkpoint in one safetensors file")
    parser.add_argument("--scene", type=Path, default=SCENE, help="folder in which ctest -L bindings has put library, jars and package")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--iters", type=int, default=20)
    parser.add_argument("--samples", type=int, default=8, help="of 256 tokens")
    parser.add_argument("--turns", type=int, default=8, help="of each language")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--languages", default="go,java,csharp,rust")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    arguments = parser.parse_args()
    if not (arguments.scene / "prefix/lib/libautoround.so").exists():
        parser.error(f"there is no library in {arguments.scene}: run ctest --preset release -L bindings, or name another --scene")
    arguments.scene = arguments.scene.resolve()
    return arguments


def run(arguments: argparse.Namespace, work: Path) -> int:
    model = shorten(arguments.model, work / "model", arguments.layers)
    ids = work / "ids.jsonl"
    ids.write_text("".join(json.dumps({"input_ids": [(7919 * sample + 104729 * at) % 40000 for at in range(256)]}) + "\n"
                           for sample in range(arguments.samples)))
    contestants = {}
    for name in ["c", *arguments.languages.split(",")]:
        command = BUILDERS[name](arguments.scene, work)
        if command is None:
            print(f"{name}: its tools or its package are missing")
            continue
        contestants[name] = Contestant(name, [*command, model, ids], arguments.threads, work)
    for contestant in contestants.values():  # warm, and with the same result
        contestant.quantize(arguments.iters, keep=True)
        check_same(contestants["c"].kept, contestant.kept)
    ratios: dict[str, list[float]] = {name: [] for name in contestants if name != "c"}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    before = contestants["c"].quantize(arguments.iters)
    for turn in range(arguments.turns):
        for name in ratios:
            own = contestants[name].quantize(arguments.iters)
            after = contestants["c"].quantize(arguments.iters)
            ratios[name].append(own / ((before + after) / 2))
            seconds[name].append(own)
            seconds["c"].append(after)
            before = after
        print(f"turn {turn + 1} of {arguments.turns}", file=sys.stderr, flush=True)
    for contestant in contestants.values():
        contestant.stop()
    print(f"{arguments.layers} layers of {arguments.model.name}, {arguments.iters} iterations, {arguments.samples} x 256 tokens, "
          f"{contestants['c'].events} events, medians of {arguments.turns} turns")
    print(f"{'':8} {'seconds':>8} {'of C':>7}   quartiles")
    print(f"{'c':8} {statistics.median(seconds['c']):8.3f}")
    missed = []
    for name, values in ratios.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:8} {statistics.median(seconds[name]):8.3f} {middle:7.4f}   {low:.4f} {high:.4f}")
        if middle > LIMIT:
            missed.append(f"{name} is to take at most {LIMIT} times C's time")
    for target in missed:
        print(f"target missed: {target}")
    return 1 if arguments.check and missed else 0


class Contestant:
    def __init__(self, name: str, command: list, threads: int, work: Path):
        self.name, self.work, self.kept, self.events = name, work, work / f"{name}-kept", 0
        environment = {**child.environment(threads), "OMP_WAIT_POLICY": "passive", "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment)

    def quantize(self, iters: int, keep: bool = False) -> float:
        """Seconds of one quantization."""
        output = self.work / f"{self.name}-out"
        print(output, iters, file=self.process.stdin, flush=True)
        said = self.process.stdout.readline().split()
        if len(said) != 2:
            raise child.ChildError(f"{self.name} ended with status {self.process.wait()}")
        if keep:
            shutil.copytree(output, self.kept)
        shutil.rmtree(output)
        self.events = int(said[1])
        return float(said[0])

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def check_same(expected: Path, got: Path) -> None:
    names = sorted(path.name for path in expected.iterdir())
    _, different, failed = filecmp.cmpfiles(expected, got, names, shallow=False)
    if different or failed or names != sorted(path.name for path in got.iterdir()):
        raise child.ChildError(f"{got.name} is not {expected.name}: {different + failed}")


def shorten(model: Path, output: Path, layers: int) -> Path:
    """The first layers of a checkpoint, by its safetensors file alone."""
    output.mkdir()
    config = json.loads((model / "config.json").read_text())
    config["num_hidden_layers"] = layers
    (output / "config.json").write_text(json.dumps(config))
    with (model / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start, kept, data = file.tell(), {}, b""
        for name, tensor in header.items():
            words = name.split(".")
            if name == "__metadata__" or words[1] == "layers" and int(words[2]) >= layers:
                continue
            begin, end = tensor["data_offsets"]
            file.seek(start + begin)
            kept[name] = {**tensor, "data_offsets": [len(data), len(data) + end - begin]}
            data += file.read(end - begin)
    text = json.dumps(kept).encode()
    text += b" " * (-len(text) % 8)
    (output / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    return output


def tool(*command, **options) -> None:
    subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr, **options)


def libraries(scene: Path) -> dict[str, str]:
    return {**os.environ, "PKG_CONFIG_PATH": str(scene / "prefix/lib/pkgconfig"), "CGO_LDFLAGS": f"-Wl,-rpath,{scene}/prefix/lib",
            "RUSTFLAGS": f"-Clink-arg=-Wl,-rpath,{scene}/prefix/lib", "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"}


def build_c(scene: Path, work: Path) -> list | None:
    prefix = scene / "prefix"
    tool("cc", "-O2", SOURCES / "measured.c", f"-I{prefix}/include", f"-L{prefix}/lib", "-lautoround", f"-Wl,-rpath,{prefix}/lib", "-o", work / "c")
    return [work / "c"]


def build_go(scene: Path, work: Path) -> list | None:
    environment = libraries(scene)
    if not shutil.which("go", path=environment["PATH"]):
        return None
    (work / "go").mkdir()
    module = "github.com/libautoround/libautoround/bindings/go"
    (work / "go/go.mod").write_text(f"module measured\n\ngo 1.24\n\nrequire {module} v0.0.0\n\nreplace {module} => {ROOT}/bindings/go\n")
    shutil.copy(SOURCES / "measured.go", work / "go/main.go")
    tool("go", "build", "-o", "measured", ".", cwd=work / "go", env=environment)
    return [work / "go/measured"]


def build_java(scene: Path, work: Path) -> list | None:
    jars = [jar for jar in (scene / "java/target").glob("autoround-*.jar") if not jar.stem.endswith(("sources", "javadoc"))]
    if len(jars) != 2 or not shutil.which("javac"):
        return None
    path = ":".join(map(str, jars))
    tool("javac", "-cp", path, "-d", work / "java", SOURCES / "Measured.java")
    return ["java", f"-Dautoround.cache.path={work}/cache", "-cp", f"{path}:{work}/java", "Measured"]


def build_csharp(scene: Path, work: Path) -> list | None:
    built = scene / "csharp/built"
    if not built.exists() or not shutil.which("mcs"):
        return None
    (work / "csharp").mkdir()
    for file in [built / "lib/net472/AutoRound.dll", *(built / "runtimes/linux-x64/native").iterdir()]:
        shutil.copy(file, work / "csharp")
    tool("mcs", "-langversion:7", f"-out:{work}/csharp/measured.exe", f"-r:{work}/csharp/AutoRound.dll", SOURCES / "Measured.cs")
    return ["mono", work / "csharp/measured.exe"]


def build_rust(scene: Path, work: Path) -> list | None:
    if not shutil.which("cargo"):
        return None
    (work / "rust/src").mkdir(parents=True)
    (work / "rust/Cargo.toml").write_text('[package]\nname = "measured"\nversion = "0.0.0"\nedition = "2024"\n\n[dependencies]\n'
                                          f'autoround = {{ path = "{ROOT}/bindings/rust/autoround" }}\n')
    shutil.copy(SOURCES / "measured.rs", work / "rust/src/main.rs")
    tool("cargo", "build", "--quiet", "--release", "--manifest-path", work / "rust/Cargo.toml", env=libraries(scene))
    return [work / "rust/target/release/measured"]


BUILDERS = {"c": build_c, "go": build_go, "java": build_java, "csharp": build_csharp, "rust": build_rust}

if __name__ == "__main__":
    try:
        sys.exit(main())
    except (child.ChildError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
