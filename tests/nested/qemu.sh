# shellcheck shell=bash
# The inner hosts with kvm-amd: an AMD processor by QEMU. Sourced by run.sh.
# shellcheck disable=SC2034,SC2154 # Variables are run.sh's, too.

tools=(qemu-system-x86_64:qemu-system-x86)

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
most=(--skip ::emu --skip ::translator --skip ::qemu --skip ::processor --skip corners --skip ymm
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

# machine NAME WORDS: an inner host whose kernel is told WORDS; its console is stdout. One
# named `linux` has the machine's time.
#
# -smp 1: with two processors, one boot in eighty hung with both in Linux's breakpoint
# handler: QEMU 7.2 kept running its translation of an instruction that Linux had patched,
# and Linux patches its scheduler when KVM's first guest starts and its last one ends.
# +umip: so that programs that read the descriptor tables' addresses are seen to trap.
machine() {
    local clock=("${counted[@]}")
    [ "$1" != linux ] || clock=()
    local qemu=(
        qemu-system-x86_64 -accel tcg "${clock[@]}"
        -cpu 'EPYC,+svm,+npt,+umip' -smp 1 -m 2048
        -nographic -no-reboot -nodefaults
        -serial stdio -serial "file:$out/$1.tar.gz"
        -kernel "$kernel/vmlinuz" -initrd "$out/initramfs.cpio" -append "$2"
    )
    # QEMU ends by itself when the inner host reboots; `timeout` ends it otherwise.
    timeout --foreground --kill-after=5 "$limit" "${qemu[@]}" </dev/null 2>"$out/$1-machine.log"
}

# hosts [ARGUMENT...]: boots the inner hosts for tests that ARGUMENTs choose, side by side, as
# each has one processor, and leaves their names in $hosts.
hosts() {
    case "$*" in
        '')
            hosts=(linux guests others)
            boot linux machine "${linux[@]}" >/dev/null &
            boot guests guests "${most[@]}" >/dev/null &
            boot others "${all//guests,/}" "${most[@]}" || true
            wait
            cat "$out/linux.log" "$out/guests.log"
            ;;
        *linux_*)
            hosts=(linux)
            boot linux "$all" "$@" || true
            ;;
        *)
            hosts=(counted)
            boot counted "$all" "$@" || true
            ;;
    esac
}
