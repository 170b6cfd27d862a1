#!/usr/bin/env bash
# Makes the pictures of the README: pages of `vmm`, as Chromium shows them.
set -euo pipefail
cd "$(dirname "$0")"
vmm=../../target/release/vmm
pages=$(mktemp -d)
trap 'rm -r "$pages"' EXIT

# $1.png of the page $1.html, so many pixels high.
picture() {
    # A superuser's Chromium has no sandbox, and these pages are our own.
    chromium --headless --no-sandbox --disable-gpu --hide-scrollbars \
        --user-data-dir="$pages/profile" --virtual-time-budget=5000 \
        --window-size="1280,$2" --screenshot="$1.png" "file://$pages/$1.html" 2>"$pages/log" ||
        { cat "$pages/log" >&2; exit 1; }
}

"$vmm" compare --runs 5 --report html --report-file "$pages/compare.html" collatz >"$pages/output"
"$vmm" trace --accel emu --html "$pages/timeline.html" pipes >"$pages/output"
picture compare 715
picture timeline 525
