"""machine_codes.py LIBRARY: every kernel file in it has code for sm_80 and sm_90, and PTX for the cards that come later."""

import struct
import sys

MAGIC = struct.pack("<I", 0xBA55ED50)
PTX, ELF = 1, 2
WANTED = {(ELF, 80), (ELF, 90), (PTX, 90)}


def entries(data: bytes, start: int) -> set[tuple[int, int]]:
    """(kind, architecture) of what is in the fat binary at `start`."""
    header_size, size = struct.unpack_from("<HQ", data, start + 6)
    found, at, end = set(), start + header_size, start + header_size + size
    while at < end:
        kind, entry_header, entry_size = struct.unpack_from("<HxxIQ", data, at)
        found.add((kind, struct.unpack_from("<I", data, at + 28)[0]))
        at += entry_header + entry_size
    return found


def main() -> None:
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    count, start = 0, data.find(MAGIC)
    while start >= 0:
        found = entries(data, start)
        assert found == WANTED, f"at byte {start}: {sorted(found)} instead of {sorted(WANTED)}"
        count, start = count + 1, data.find(MAGIC, start + 1)
    assert count, "no fat binary"
    print(f"{count} kernel files, each for sm_80, sm_90 and as PTX")


main()
