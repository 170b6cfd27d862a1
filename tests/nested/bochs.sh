# shellcheck shell=bash
# The inner hosts with kvm-intel: an Intel processor by Bochs, which has VMX with EPT and
# unrestricted guests. Sourced by run.sh.
# shellcheck disable=SC2034,SC2154 # Variables are run.sh's, too.

bios=/usr/share/bochs/BIOS-bochs-latest
vga_bios=/usr/share/bochs/VGABIOS-lgpl-latest
isolinux=/usr/lib/ISOLINUX/isolinux.bin
ldlinux=/usr/lib/syslinux/modules/bios/ldlinux.c32
tools=(bochs:bochs "$bios:bochsbios" "$vga_bios:vgabios" "$isolinux:isolinux"
    "$ldlinux:syslinux-common" xorriso:xorriso zstd:zstd)

# What the test executables are told: not what is left out under QEMU because it concerns other
# machines or takes too long, nor what Bochs cannot do.
# Bochs 2.7 forgets interrupts at a VM entry whose guest has them off, until the guest turns
# them on or exits: one that loops without `pause` (`kick_ends_a_loop`, `a_halt_in_kvm`,
# `init_stops_and`, `init_of_oneself`, most of the suite `ends`) keeps its host for ever.
# Its `sysret` that sets TF traps an instruction late (`sysret_is_stepped`), and its `syscall` that
# clears TF traps in ring 0 (`corners`).
most=(--skip ::emu --skip ::translator --skip ::qemu --skip ::processor --skip the_hosts_own_root
    --skip more_programs_agree --skip linux_
    --skip kick_ends_a_loop --skip a_halt_in_kvm --skip init_stops_and
    --skip init_of_oneself --skip sysret_is_stepped --skip corners)

# --short, of some minutes, has the suites in which VMX can differ from SVM: entry, exits,
# injection, page faults, the APIC and MSRs. What the others ask of KVM, kvm-amd shows. Of `guests`
# it leaves out what is on several CPUs, and `privileged_instructions`, which boots two dozen guests.
short_suites=(guests machine vcpu)
long=(--skip _2_cpus --skip privileged_instructions)

# Haswell has EPT, unrestricted guests, VPID, AVX and x2APIC. On `tigerlake`, Linux warns that the
# state for XSAVE is not as large as it computes, and did not come to its init in four minutes.
# Time is counted instructions, 16 ns each. The display is for VNC, and waits for no viewer: that
# for terminals writes to one of its own, and stops Bochs when nobody has read it for some minutes.
# The thread that mixes sound aborts where the host has no card, so there is no sound.
# Debian's Bochs has the debugger, which waits for a command: `c`, to go on.
bochs_settings() {
    cat <<END
display_library: rfb, options="timeout=0"
romimage: file=$bios
vgaromimage: file=$vga_bios
cpu: model=corei7_haswell_4770, ips=62500000, ignore_bad_msrs=1, reset_on_triple_fault=0
memory: guest=2048, host=2048
sound: driver=dummy
clock: sync=none, time0=1700000000
ata0-master: type=cdrom, path=$out/$1.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$out/$1.serial
com2: enabled=1, mode=file, dev=$out/$1.tar.gz
log: $out/$1-machine.log
panic: action=fatal
error: action=ignore
info: action=ignore
END
}

# disc NAME WORDS: a CD that boots the kernel with WORDS.
disc() {
    local disc
    disc=$(mktemp -d "$root/disc.XXXXXX")
    cp "$isolinux" "$ldlinux" "$kernel/vmlinuz" "$disc"
    zstd -q "$out/initramfs.cpio" -o "$disc/initramfs"
    printf 'DEFAULT linux\nLABEL linux\nKERNEL /vmlinuz\nAPPEND initrd=/initramfs %s\n' "$2" \
        >"$disc/isolinux.cfg"
    xorriso -as mkisofs -quiet -o "$out/$1.iso" -b isolinux.bin -c boot.cat -no-emul-boot \
        -boot-load-size 4 -boot-info-table "$disc" 2>"$out/$1-machine.log"
}

# machine NAME WORDS: an inner host whose kernel is told WORDS; its console is stdout.
# idle=halt: idle time passes by `hlt`, whatever driver Linux has for the model.
machine() {
    local pid alone=(unshare --net)
    # The display listens to the network: to one of its own, where it can have that.
    [ "$(id -u)" -eq 0 ] || alone+=(--map-root-user)
    "${alone[@]}" true 2>/dev/null || alone=()
    disc "$1" "idle=halt $2"
    bochs_settings "$1" >"$out/$1.bochsrc"
    echo c >"$out/$1.rc"
    : >"$out/$1.serial"
    timeout --foreground --kill-after=5 "$limit" "${alone[@]}" \
        bochs -q -f "$out/$1.bochsrc" -rc "$out/$1.rc" </dev/null >"$out/$1-bochs.log" 2>&1 &
    pid=$!
    # Bochs ends by itself when the inner host turns its power off.
    tail -f -n +1 -s 0.5 --pid="$pid" "$out/$1.serial" 2>/dev/null
    rm "$out/$1.iso"
}

# hosts [ARGUMENT...]: boots the inner hosts for tests that ARGUMENTs choose, side by side, as
# each has one processor, and leaves their names in $hosts.
hosts() {
    if [ $# -gt 0 ]; then
        hosts=(chosen)
        boot chosen "$all" "$@" || true
        return
    fi
    if [ -n "$short" ]; then most+=("${long[@]}"); fi
    hosts=(guests others)
    boot guests guests "${most[@]}" >/dev/null &
    local others=${all//guests,/}
    # `ends` is made of loops with interrupts off.
    boot others "${others//ends,/}" "${most[@]}" || true
    wait
    cat "$out/guests.log"
}
