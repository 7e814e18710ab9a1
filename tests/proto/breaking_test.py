#!/usr/bin/python3
"""Checks that proto/ still says all that proto/baseline.txt says, and that the baseline knows all of it.

usage: breaking_test.py PROTOC PROTO-FOLDER BASELINE            check; status 1 when something is wrong
       breaking_test.py PROTOC PROTO-FOLDER BASELINE --update   take additions into the baseline
       … --update --accept-breaking                             and breaking changes as well
"""

import pathlib
import sys

import api_lines


def breaking_changes(baseline, current):
    """Lines of the baseline that are gone."""
    return sorted(set(baseline) - set(current))


def additions(baseline, current):
    """Lines that the baseline does not have yet."""
    return sorted(set(current) - set(baseline))


def main():
    arguments = [word for word in sys.argv[1:] if not word.startswith("--")]
    flags = {word for word in sys.argv[1:] if word.startswith("--")}
    if len(arguments) != 3 or flags - {"--update", "--accept-breaking"}:
        sys.exit(__doc__)
    protoc, root, baseline_path = arguments
    baseline_file = pathlib.Path(baseline_path)
    baseline = baseline_file.read_text().splitlines() if baseline_file.exists() else []
    current = api_lines.lines_of_folder(protoc, root)

    broken = breaking_changes(baseline, current)
    if broken and "--accept-breaking" not in flags:
        print("these changes break clients or older services:")
        for line in broken:
            print(f"  gone: {line}")
        sys.exit("keep what is there and add beside it, or make a new package version (v2)")
    new = additions(baseline, current)
    if "--update" in flags:
        baseline_file.write_text("".join(f"{line}\n" for line in current))
        print(f"{baseline_file}: {len(new)} lines added, {len(broken)} removed")
    elif new:
        print("the baseline does not know these additions:")
        for line in new:
            print(f"  new: {line}")
        sys.exit(f"record them: {sys.argv[0]} {protoc} {root} {baseline_path} --update")
    else:
        print(f"{len(current)} lines, as in the baseline")


if __name__ == "__main__":
    main()
