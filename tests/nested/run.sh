#!/usr/bin/env bash
# Runs the integration tests on real kvm-amd or kvm-intel, without hardware: an emulator (QEMU,
# Bochs) plays a processor with SVM or VMX, Debian's kernel and its KVM run on that, and in there
# `vmm` runs its guests. See README.md beside this file.
#
# run.sh [--cpu amd|intel] [--short] [ARGUMENTS]: ARGUMENTS go to every test executable; by
# default they leave out what does not concern KVM. --short (intel only): a part of that.
#
# Exit status: 0 all passed, 1 a test failed or the inner host did not finish,
# 77 something is missing on this machine (and stderr says what).
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/nested
work=target/nested
cpu=amd short=
while :; do
    case ${1-} in
        --cpu) cpu=${2:?}; shift 2 ;;
        --short) short=yes; shift ;;
        *) break ;;
    esac
done
# What a run leaves, apart for each CPU: both may run at once.
out=$work/$cpu
# shellcheck source=tests/nested/packages.sh
. "$here/packages.sh"
case $cpu$short in
    amd) emulator=qemu ;;
    intel | intelyes) emulator=bochs ;;
    *) sed -n 's/^# \(run.sh .*ARGUMENTS\]\):.*/usage: \1/p' "$here/run.sh" >&2; exit 2 ;;
esac
# shellcheck source=tests/nested/bochs.sh
. "$here/$emulator.sh"

target=x86_64-unknown-linux-gnu
# Seconds until the inner host, with all its tests, is taken for dead.
limit=${RINGFENCE_NESTED_TIMEOUT:-1800}

say() { printf 'nested: %s\n' "$*"; }

# Builds `vmm`, the examples and the integration tests static, since the inner host has no
# libraries, and puts them into $root/bin, $root/bin/examples and $root/tests.
build_tests() {
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static'
    local options=(--locked --release --target "$target" --target-dir "$work/build")
    mkdir -p "$work/build" "$root/bin/examples" "$root/tests"
    {
        cargo build "${options[@]}" --bins --examples --message-format=json
        cargo test "${options[@]}" --test '*' --no-run --message-format=json
    } >"$work/build/artifacts.json"
    local kind path
    while read -r kind path; do
        case $kind in
            bin) cp "$path" "$root/bin/" ;;
            example) cp "$path" "$root/bin/examples/" ;;
            test) cp "$path" "$root/tests/$(basename "${path%-*}")" ;;
        esac
    done < <(sed -En 's/.*"kind":\["(bin|example|test)"\].*"executable":"([^"]+)".*/\1 \2/p' \
        "$work/build/artifacts.json" | sort -u)
    # One holds keys and screens to seconds of the host's time, of which the inner host has none;
    # the other runs programs that it does not have.
    rm "$root"/tests/{terminal,linux}
    if [ -n "$short" ]; then
        # An inner host takes long to unpack what it does not need.
        rm "$root"/bin/examples/*
        for path in "$root"/tests/*; do
            [[ " ${short_suites[*]} " = *" ${path##*/} "* ]] || rm "$path"
        done
    fi
    strip --strip-debug "$root"/bin/vmm "$root"/tests/*
    [ -n "$short" ] || strip --strip-debug "$root"/bin/examples/*
}

# Puts busybox, the kernel for guests, the modules, the init script and what tests may read of
# the source tree into $root and makes it the initramfs.
pack() {
    mkdir -p "$root"/{dev,proc,sys,tmp,run,reports} "$root$PWD"
    tar -c --exclude=./target --exclude=./.git . | tar -x -C "$root$PWD"
    ln -s "$PWD" "$root/source"
    cp "$(command -v busybox)" "$root/bin/busybox"
    cp -r "$kernel/modules" "$root/modules"
    cp "$kernel/vmlinuz" "$root/vmlinuz"
    install -m 755 "$here/init" "$root/init"
    (cd "$root" && find . | cpio --quiet -o -H newc) >"$out/initramfs.cpio"
}

# boot NAME TESTS [WORD...]: boots an inner host that runs TESTS, executables with commas
# between them, and tells each of them WORDs. Its console, with the tests' output, goes to stdout
# and $out/NAME.log, what the emulator says to $out/NAME-machine.log; the second serial line
# carries the reports.
boot() {
    local name=$1 tests=$2
    shift 2
    local words="console=ttyS0,115200 quiet panic=-1 mitigations=off cpu=$cpu"
    words="$words ${RINGFENCE_EVERYWHERE:+RINGFENCE_EVERYWHERE=1}"
    words="$words limit=$((limit - 30)) tests=$tests arguments=$(list "$@")"
    machine "$name" "$words" | sed -u "s/\r//g" | tee "$out/$name.log"
}

# Its arguments with commas between them.
list() {
    local IFS=,
    printf '%s' "$*"
}

# Unpacks the reports of the inner host $1; a stream cut short loses only its last part.
unpack_reports() {
    mkdir -p "$out/reports"
    [ -s "$out/$1.tar.gz" ] || return 0
    gzip -dc "$out/$1.tar.gz" 2>/dev/null |
        tar -xi -C "$out/reports" 2>/dev/null || say 'the stream of reports is cut short'
}

# The sum of one figure, $1, over all summary lines of the tests of $2.
count() {
    sed -En "s/^test result: .* ([0-9]+) $1;.*/\1/p" "$out/$2.log" |
        awk '{ sum += $1 } END { print sum + 0 }'
}

# Time and exits of `hello`, of the report that is marked as taken under emulation.
hello_figures() {
    local apic report
    for apic in kernel user; do
        report=$out/reports/hello-$apic.json
        [ -f "$report" ] || continue
        say "hello, --apic $apic, under emulation: $(figure boot_ns), $(figure exits_total)"
    done
}

# One number of $report, with its name.
figure() {
    sed -n "s/^ *\"\($1\)\": \([^,]*\),\{0,1\}\$/\1 \2/p" "$report"
}

# Whether the inner host $1 had tests and all passed; says so if it did not come to its end.
ended_well() {
    local ended
    ended=$(sed -n 's/^inner host: done, //p' "$out/$1.log")
    [ "$ended" = 'all passed' ] && [ "$(count passed "$1")" -gt 0 ] && return
    [ -n "$ended" ] && return 1
    tail -n 40 "$out/$1.log" "$out/$1-machine.log"
    say "the inner host \`$1\` did not finish within $limit s; its console is in $out/$1.log"
    return 1
}

main() {
    # One at a time installs, downloads and builds.
    mkdir -p "$out"
    exec 9>"$work/lock"
    flock 9
    need_tools "${tools[@]}" busybox:busybox-static cpio:cpio modprobe:kmod \
        dpkg-deb:dpkg strip:binutils cargo:cargo
    kernel=$(fetch_kernel "$work/kernel")
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    rm -rf "$out"/reports "$out"/*.tar.gz "$out"/*.log
    local start=$SECONDS
    build_tests
    flock -u 9
    say "static build took $((SECONDS - start)) s"
    pack
    start=$SECONDS
    local all hosts host failed=
    # Models of threads concern no KVM, nor do pages in a browser.
    all=$(find "$root/tests" -type f ! -name models ! -name pages -printf '%f\n' | sort | paste -sd ,)
    hosts "$@"
    for host in "${hosts[@]}"; do
        cat "$out/$host.log" >>"$out/console.log"
        unpack_reports "$host"
        ended_well "$host" || failed=yes
    done
    hello_figures
    say "inner hosts ran for $((SECONDS - start)) s; reports are in $out/reports"
    say "$(count passed console) passed, $(count failed console) failed," \
        "$(count ignored console) ignored on nested kvm-$cpu"
    [ -z "$failed" ]
}

main "$@"
