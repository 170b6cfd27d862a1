#!/usr/bin/env bash
# Runs the targets of this folder under libFuzzer, one on each core at a time:
#
#     tests/fuzz/run.sh [--asan] [--inputs N | --seconds N] [TARGET...]
#
# Without a number each target gets as many inputs as `inputs` below says, which is what .ci/run
# wants. FUZZ_SEED makes other inputs (1). What has been tried with profit is kept in
# target/fuzz/corpus and is where --seconds begins; --inputs begins with seeds alone, so that it
# does the same each time. An input that breaks a target is left in target/fuzz/crashes, and the
# script fails. With --asan AddressSanitizer checks each access of memory, and the folder is
# target/fuzz-asan.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/nested/packages.sh
. tests/nested/packages.sh

target=x86_64-unknown-linux-gnu
folder=target/fuzz
seed=${FUZZ_SEED:-1}
# One input may take this long, in seconds.
longest=30
# What all targets together must have done, where each has its usual number of inputs.
least_instructions=10000000
least_calls=1000000

# How many inputs a target has.
inputs() {
    case $1 in
        emulator) echo 6000 ;;
        mmu) echo 6000 ;;
        trace) echo 4000 ;;
        files | words) echo 2000 ;;
        calls) echo 60 ;;
        *) echo 10000 ;;
    esac
}

asan=
number=
seconds=
while [ $# -gt 0 ]; do
    case $1 in
        --asan) asan=1; shift ;;
        --inputs) number=$2; shift 2 ;;
        --seconds) seconds=$2; shift 2 ;;
        -*) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
        *) break ;;
    esac
done

need_tools g++:g++

# Counters at each edge of our code and of what it uses, as cargo-fuzz has them, without what
# needs a nightly compiler. What is compared is not told (trace-compares): it takes half the time.
flags='-Cpasses=sancov-module'
for pass in level=4 inline-8bit-counters pc-table; do
    flags="$flags -Cllvm-args=-sanitizer-coverage-$pass"
done
if [ -n "$asan" ]; then
    # The stable compiler has it, and takes the flag of nightly ones where this variable is set.
    export RUSTC_BOOTSTRAP=1
    flags="$flags -Zsanitizer=address"
    folder=target/fuzz-asan
fi
# By --target, so that neither build scripts nor the guest's kernel get them.
# The kernel that makes most of itself known is the one with every check on.
export RINGFENCE_GUEST_PROFILE=guest-debug
RUSTFLAGS=$flags cargo build --quiet --package fuzz --features engine --profile fuzz \
    --target $target --target-dir $folder
binary=$folder/$target/fuzz/fuzz

# Runs target $1, whose inputs have at most $2 bytes.
run() {
    local name=$1 log=$folder/$1.log corpus=$folder/corpus/$1 limits folders
    # What is tried with profit is put into the first folder.
    if [ -n "$seconds" ]; then
        limits=-max_total_time=$seconds
    else
        limits=-runs=${number:-$(inputs "$name")}
        corpus=$folder/new/$name
        rm -rf "$corpus"
    fi
    mkdir -p "$corpus" "$folder/crashes"
    folders=$corpus
    for more in seeds found; do
        [ ! -d "tests/fuzz/$more/$name" ] || folders="$folders tests/fuzz/$more/$name"
    done
    local status=0
    # shellcheck disable=SC2086
    FUZZ_TARGET=$name "$binary" -seed="$seed" -max_len="$2" -timeout=$longest -rss_limit_mb=4096 \
        -artifact_prefix="$folder/crashes/$name-" -print_final_stats=1 -len_control=0 "$limits" $folders \
        >"$log" 2>&1 </dev/null || status=$?
    local coverage
    coverage=$(sed -n 's/.*\(cov: [0-9]* ft: [0-9]*\).*/\1/p' "$log" | tail -n 1)
    printf '%-12s seed %s, %s inputs, %s; %s\n' "$name" "$seed" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$coverage" \
        "$(sed -n 's/^counted: //p' "$log")" | tee -a "$summary"
    [ "$status" -eq 0 ] || { printf '%s FAILED:\n' "$name"; tail -n 60 "$log"; }
    return "$status"
}

summary=$folder/summary
known=$("$binary" 2>/dev/null)
wanted=("$@")
[ $# -gt 0 ] || mapfile -t wanted < <(printf '%s\n' "$known" | cut -d ' ' -f 1)
status=0
running=0
: >"$summary"
for name in "${wanted[@]}"; do
    longest_input=$(printf '%s\n' "$known" | sed -n "s/^$name //p")
    [ -n "$longest_input" ] || { echo "no target $name" >&2; exit 2; }
    if [ $running -eq "$(nproc)" ]; then
        wait -n || status=1
        running=$((running - 1))
    fi
    run "$name" "$longest_input" &
    running=$((running + 1))
done
while [ $running -gt 0 ]; do
    wait -n || status=1
    running=$((running - 1))
done

# The sum of a figure over all targets.
total() {
    local figures
    figures=$(sed -n "s/.*[^0-9]\([0-9][0-9]*\) $1.*/\1/p" "$summary" | paste -sd +)
    echo $((figures))
}
instructions=$(total instructions)
calls=$(total 'system calls')
printf 'in all: %s instructions in the emulator, %s system calls\n' "$instructions" "$calls"
if [ $# -eq 0 ] && [ -z "$number$seconds" ]; then
    if [ "$instructions" -lt $least_instructions ] || [ "$calls" -lt $least_calls ]; then
        echo 'fewer than there should be' >&2
        status=1
    fi
fi
exit "$status"
