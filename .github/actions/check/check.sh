#!/usr/bin/env bash
# The action's work: see action.yml, which says what FILE, VMM and REQUIRE are.
set -euo pipefail
vmm=${VMM:-$(dirname "$0")/../../../target/release/vmm}
reports=$RUNNER_TEMP/vmm-check
mkdir -p "$reports"
required=()
[ -z "$REQUIRE" ] || required=(--require "$REQUIRE")
status=0
"$vmm" info --check "${required[@]}" | tee "$reports/info.txt" || status=$?
{ printf '```text\n'; cat "$reports/info.txt"; printf '```\n'; } >>"$GITHUB_STEP_SUMMARY"
"$vmm" check "${required[@]}" --junit "$reports/check.xml" --html "$reports/check.html" \
    --markdown "$GITHUB_STEP_SUMMARY" "$FILE" || status=$?
exit "$status"
