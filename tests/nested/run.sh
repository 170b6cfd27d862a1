#!/usr/bin/env bash
# Runs the integration tests on real kvm-amd, without hardware: QEMU emulates an AMD
# processor with SVM, Debian's kernel and its kvm-amd.ko run on that, and in there `vmm`
# runs its guests. See README.md beside this file.
#
# run.sh [ARGUMENTS]: ARGUMENTS go to every test executable; by default they leave out what
# does not concern KVM.
#
# Exit status: 0 all passed, 1 a test failed or the inner host did not finish,
# 77 something is missing on this machine (and stderr says what).
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/nested
work=target/nested
# shellcheck source=tests/nested/packages.sh
. "$here/packages.sh"

target=x86_64-unknown-linux-gnu
# Seconds until the inner host, with all its tests, is taken for dead.
limit=${RINGFENCE_NESTED_TIMEOUT:-1800}
# What the test executables are told. `corners` tries what QEMU's processor is known to get
# wrong (int1, far returns and iretq under SMAP), and tests `::processor` compare with the
# processor, which is QEMU's here: that says nothing about KVM. `more_programs_agree` does that
# too, and takes minutes where the emulator is emulated. Guests that write to code or fault
# all the time (`stores_` and so on) make QEMU itself drop translations or leave its own code
# at each step: a second of theirs, by their count, takes minutes. One boot of Linux on each
# machine is enough, half a minute each.
# QEMU's SVM does not tell KVM of a guest's `xsetbv`, so no guest has AVX (`ymm`), and QEMU
# aborts at a guest's write of CR8 while an interrupt is pending (`halt_after_a_write_of_cr8`).
# The inner host's own root has a static busybox and no more (`the_hosts_own_root`).
most=(--skip ::emu --skip ::qemu --skip ::processor --skip corners --skip ymm
    --skip halt_after_a_write_of_cr8 --skip the_hosts_own_root
    --skip more_programs_agree --skip stores_ --skip faulting_ --skip faults_handle
    --skip handlers_are --skip linux_)
linux=(linux_ --skip ::emu --skip linux_resets --skip linux_unpacks)

# -icount: the inner host's time is its instructions, 16 ns each, and idle time passes at
# once. So a busy machine costs no guest its timer ticks, and runs repeat.
# Where Linux is the guest, time is the machine's: with -icount, QEMU 7.2 delivers an interrupt
# that KVM injected once more when its count runs out before the guest's next exit, whether or
# not the guest takes interrupts. Linux then waits for a lock that it holds, in one boot of
# five; our kernel expects it.
counted=(-icount 'shift=4,sleep=off')

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
    strip --strip-debug "$root"/bin/vmm "$root"/bin/examples/* "$root"/tests/*
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
    (cd "$root" && find . | cpio --quiet -o -H newc) >"$work/initramfs.cpio"
}

# boot NAME CLOCK TESTS [WORD...]: boots an inner host that runs TESTS, executables with commas
# between them, and tells each of them WORDs. CLOCK is `counted` or `real`. Its console, with
# the tests' output, goes to stdout and $work/NAME.log, what QEMU says to $work/NAME-qemu.log;
# the second serial line carries the reports.
#
# -smp 1: with two processors, one boot in eighty hung with both in Linux's breakpoint
# handler: QEMU 7.2 kept running its translation of an instruction that Linux had patched,
# and Linux patches its scheduler when KVM's first guest starts and its last one ends.
# +umip: so that programs that read the descriptor tables' addresses are seen to trap.
boot() {
    local name=$1 clock=() tests=$3
    [ "$2" = real ] || clock=("${counted[@]}")
    shift 3
    local words="console=ttyS0 quiet panic=-1 mitigations=off"
    words="$words ${RINGFENCE_EVERYWHERE:+RINGFENCE_EVERYWHERE=1}"
    local qemu=(
        qemu-system-x86_64 -accel tcg "${clock[@]}"
        -cpu 'EPYC,+svm,+npt,+umip' -smp 1 -m 2048
        -nographic -no-reboot -nodefaults
        -serial stdio -serial "file:$work/$name.tar.gz"
        -kernel "$kernel/vmlinuz" -initrd "$work/initramfs.cpio"
        -append "$words limit=$((limit - 30)) tests=$tests arguments=$(list "$@")"
    )
    # QEMU ends by itself when the inner host reboots; `timeout` ends it otherwise.
    timeout --foreground --kill-after=5 "$limit" "${qemu[@]}" </dev/null 2>"$work/$name-qemu.log" |
        sed -u "s/\r//g" | tee "$work/$name.log"
}

# Its arguments with commas between them.
list() {
    local IFS=,
    printf '%s' "$*"
}

# Unpacks the reports of the inner host $1; a stream cut short loses only its last part.
unpack_reports() {
    mkdir -p "$work/reports"
    [ -s "$work/$1.tar.gz" ] || return 0
    gzip -dc "$work/$1.tar.gz" 2>/dev/null |
        tar -xi -C "$work/reports" 2>/dev/null || say 'the stream of reports is cut short'
}

# The sum of one figure, $1, over all summary lines of the tests of $2.
count() {
    sed -En "s/^test result: .* ([0-9]+) $1;.*/\1/p" "$work/$2.log" |
        awk '{ sum += $1 } END { print sum + 0 }'
}

# Time and exits of `hello`, of the report that is marked as taken under emulation.
hello_figures() {
    local apic report
    for apic in kernel user; do
        report=$work/reports/hello-$apic.json
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
    ended=$(sed -n 's/^inner host: done, //p' "$work/$1.log")
    [ "$ended" = 'all passed' ] && [ "$(count passed "$1")" -gt 0 ] && return
    [ -n "$ended" ] && return 1
    tail -n 40 "$work/$1.log" "$work/$1-qemu.log"
    say "the inner host \`$1\` did not finish within $limit s; its console is in $work/$1.log"
    return 1
}

main() {
    need_tools qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio \
        modprobe:kmod dpkg-deb:dpkg strip:binutils cargo:cargo
    kernel=$(fetch_kernel "$work/kernel")
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    rm -rf "$work"/reports "$work"/*.tar.gz "$work"/*.log
    local start=$SECONDS
    build_tests
    say "static build took $((SECONDS - start)) s"
    pack
    start=$SECONDS
    local all hosts failed=
    all=$(find "$root/tests" -type f -printf '%f\n' | sort | paste -sd ,)
    case "$*" in
        '')
            # Side by side, as each has one processor.
            hosts=(linux guests others)
            boot linux real machine "${linux[@]}" >/dev/null &
            boot guests counted guests "${most[@]}" >/dev/null &
            boot others counted "${all//guests,/}" "${most[@]}" || true
            wait
            cat "$work/linux.log" "$work/guests.log"
            ;;
        *linux_*)
            hosts=(real)
            boot real real "$all" "$@" || true
            ;;
        *)
            hosts=(counted)
            boot counted counted "$all" "$@" || true
            ;;
    esac
    local host
    for host in "${hosts[@]}"; do
        cat "$work/$host.log" >>"$work/console.log"
        unpack_reports "$host"
        ended_well "$host" || failed=yes
    done
    hello_figures
    say "inner hosts ran for $((SECONDS - start)) s; reports are in $work/reports"
    say "$(count passed console) passed, $(count failed console) failed," \
        "$(count ignored console) ignored on nested kvm-amd"
    [ -z "$failed" ]
}

main "$@"
