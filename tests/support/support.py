"""What a loader accepted, noted for the support tables of README.md: Recorder for the tests that run loaders, and, run as a
program, the tables themselves.

  support.py RECORDS README.md            exit status 1 when the tables in the README are not what these records say
  support.py RECORDS README.md --write    puts them there

Each test writes RECORDS/<test>.jsonl from scratch: one {"table", "row", "column", "value"} a line. RECORDS is AUTOROUND_SUPPORT_DIR
in the test's environment; without it nothing is noted.
"""

import argparse
import json
import os
import pathlib
import re
import sys

# table -> columns, in the order of the page
TABLES = {
    "families": ["hidden states, logits", "compressed-tensors in transformers", "auto_round in transformers", "GGUF in llama.cpp"],
    "schemes": ["transformers, compressed-tensors", "vLLM's rules", "auto-round, GPTQ", "AWQ", "llama.cpp"],
}


class Recorder:
    def __init__(self, test):
        folder = os.environ.get("AUTOROUND_SUPPORT_DIR")
        self.file = None
        if folder:
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            self.file = open(pathlib.Path(folder) / f"{test}.jsonl", "w", encoding="utf-8")

    def __call__(self, table, row, column, value="yes"):
        assert column in TABLES[table], column
        if self.file:
            print(json.dumps({"table": table, "row": row, "column": column, "value": str(value)}), file=self.file, flush=True)


def scheme_row(name):
    """The row of a test's scheme: "w4_sym_group" shares one with the other widths, presets have their own. None: no row."""
    match = re.fullmatch(r"w(\d)_(a?sym)_(\w+)", name)
    if not match:
        return name if re.fullmatch("[A-Z][A-Z0-9_]+", name) else None
    grouping = {"channel": "row", "tensor": "tensor"}.get(match[3], "group")
    return f"integers, {'asymmetric' if match[2] == 'asym' else 'symmetric'}, by {grouping}"


def read(folder):
    """-> table, row, column: set of values"""
    found = {table: {} for table in TABLES}
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            found[record["table"]].setdefault(record["row"], {}).setdefault(record["column"], set()).add(record["value"])
    return found


def cell(values):
    """Numbers as ranges, the rest as it is."""
    numbers = sorted(int(value) for value in values if value.isdigit())
    words = sorted(value for value in values if not value.isdigit())
    ranges = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join([f"{a}" if a == b else f"{a}-{b}" for a, b in ranges] + words) or "-"


def natural(row):
    """Rows that say integers first, then presets by name."""
    return not row.startswith("integers"), row


def tables(found):
    for table, columns in TABLES.items():
        lines = [f"| {table[:-3] + 'y' if table.endswith('ies') else table[:-1]} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for row in sorted(found[table], key=natural):
            cells = [cell(found[table][row].get(column, ())) for column in columns]
            lines.append(f"| {row} | {' | '.join(cells)} |")
        yield table, "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=pathlib.Path)
    parser.add_argument("readme", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    text = arguments.readme.read_text(encoding="utf-8")
    changed = text
    for table, lines in tables(read(arguments.records)):
        begin, end = f"<!-- {table}: begin -->\n", f"\n<!-- {table}: end -->"
        before, _, rest = changed.partition(begin)
        old, _, after = rest.partition(end)
        if not rest or not after:
            sys.exit(f"{arguments.readme} has no place for the table of {table}")
        changed = before + begin + lines + end + after
        if old != lines and not arguments.write:
            print(f"--- {table}: README\n{old}\n+++ {table}: what the tests saw\n{lines}")
    if arguments.write:
        arguments.readme.write_text(changed, encoding="utf-8")
    elif changed != text:
        sys.exit(f"the support tables of {arguments.readme} are not what the tests saw; {sys.argv[0]} RECORDS README --write mends them")


if __name__ == "__main__":
    main()
