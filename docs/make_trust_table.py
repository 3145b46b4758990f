"""Write a table of docs/trust.md from what the tests observed: make_trust_table.py OBSERVATIONS.jsonl [trust|cluster].

Each is written by the target of the Makefile that it is named by, and leaves the other alone.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

PAGE = Path(__file__).with_name("trust.md")
BEGIN, END = "<!-- table: written by make {} -->", "<!-- end of table -->"

Number = float | int | str


def table(lines: list[str]) -> str:
    """One row a promise: its tests, its cases, and their numbers, counts added up and measurements at their largest."""
    tests: dict[str, list[str]] = defaultdict(list)
    numbers: dict[str, dict[str, Number]] = defaultdict(dict)
    cases: Counter[str] = Counter()
    for line in sorted(map(json.loads, lines), key=lambda line: str(line["test"])):
        promise = line["promise"]
        cases[promise] += 1
        name = line["test"].partition("[")[0]
        if name not in tests[promise]:
            tests[promise].append(name)
        for key, value in line["numbers"].items():
            before = numbers[promise].get(key)
            together = sum if isinstance(value, int) else max
            numbers[promise][key] = value if before is None else together((before, value))
    rows = ["| promised | tests | observed |", "| --- | --- | --- |"]
    for promise, names in tests.items():
        counted = {"cases": cases[promise], **numbers[promise]}
        seen = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in counted.items())
        rows.append(f"| {promise} | {'<br>'.join(f'`{name}`' for name in names)} | {seen} |")
    return "\n".join(rows)


def main() -> None:
    """Replace what stands between the two marks."""
    begin = BEGIN.format(sys.argv[2] if len(sys.argv) > 2 else "trust")
    before, found, rest = PAGE.read_text().partition(begin)
    if not found:
        sys.exit(f"there is no {begin} in {PAGE}")
    _, _, after = rest.partition(END)
    lines = Path(sys.argv[1]).read_text().splitlines()
    PAGE.write_text(f"{before}{begin}\n\n{table(lines)}\n\n{END}{after}")


if __name__ == "__main__":
    main()
