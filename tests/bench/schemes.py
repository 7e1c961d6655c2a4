"""What the scripts call quantization schemes, and the switches by which they hand one to a job of their own."""
import argparse
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Scheme:
    """Integer weights, or a preset of compressed-tensors as it is."""

    name: str
    bits: int = 0
    group_size: int = 0  # -1: one scale a row
    symmetric: bool = True
    preset: str = ""

    def switches(self) -> list[str | int]:
        """Those of add_switches."""
        if self.preset:
            return ["--preset", self.preset]
        return ["--bits", self.bits, "--group-size", self.group_size, *([] if self.symmetric else ["--asymmetric"])]

    def own_switches(self) -> list[str | int]:
        """Those of `autoround quantize`."""
        if self.preset:
            return ["--scheme", self.preset]
        grouping = ["--group-size", self.group_size, *([] if self.symmetric else ["--asym"])]
        return ["--scheme", f"W{self.bits}A16", *grouping]


def integers(bits: int, group_size: int, symmetric: bool = True) -> Scheme:
    grouping = "row" if group_size == -1 else f"g{group_size}"
    return Scheme(f"w{bits}{grouping}{'' if symmetric else 'a'}sym", bits, group_size, symmetric)


def scheme(name: str) -> Scheme:
    """By name, for argparse."""
    if match := re.fullmatch(r"w(\d)(?:g(\d+)|row)(a?sym)", name):
        return integers(int(match[1]), int(match[2] or -1), match[3] == "sym")
    if re.fullmatch(r"[A-Z0-9_]+", name):
        return Scheme(name, preset=name)
    raise argparse.ArgumentTypeError(
        f"{name!r} is neither a scheme such as w4g64sym, w4g32asym or w8rowsym nor a preset such as W8A8")


def schemes(names: str) -> list[Scheme]:
    return [scheme(name) for name in names.split(",")]


def add_switches(parser: argparse.ArgumentParser) -> None:
    """Those of Scheme.switches."""
    parser.add_argument("--bits", type=int)
    parser.add_argument("--group-size", type=int)
    parser.add_argument("--preset", help="of compressed-tensors, instead of bits and group size")
    parser.add_argument("--asymmetric", action="store_true")
