# shellcheck shell=bash
# Shell functions that get what the harness needs from Debian; sourced by run.sh.

# Exit status of "this machine lacks something".
missing_status=77

# need_tools COMMAND:PACKAGE...: installs the packages of commands (or files) that are not there,
# or says which are missing and ends the script.
need_tools() {
    local pair missing=() packages=()
    for pair in "$@"; do
        command -v "${pair%:*}" >/dev/null || [ -e "${pair%:*}" ] && continue
        missing+=("${pair%:*} (package ${pair#*:})")
        packages+=("${pair#*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        update_lists
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            "${packages[@]}" >&2 && return
    fi
    printf 'missing: %s\n' "${missing[@]}" >&2
    exit $missing_status
}

update_lists() {
    apt-get update -qq >&2 || true
}

# The package that holds Debian's current kernel for virtual machines, by way of its meta
# package; empty if apt knows none.
kernel_package() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1
}

# fetch_kernel CACHE: prints a folder in CACHE with `vmlinuz`, `modules/*.ko` and, for `amd` and
# `intel`, `modules/order-CPU`: the names of what KVM needs there, in the order to load them.
# Nothing is installed.
fetch_kernel() {
    local cache=$1 package
    package=$(kernel_package)
    if [ -z "$package" ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        update_lists
        package=$(kernel_package)
    fi
    if [ -z "$package" ]; then
        # No network, perhaps: an earlier run's kernel will do.
        package=$(find "$cache" -mindepth 1 -maxdepth 1 -printf '%T@ %f\n' 2>/dev/null |
            sort -rn | sed -n '1s/^[^ ]* //p')
    fi
    if [ -z "$package" ]; then
        echo "missing: Debian's package linux-image-cloud-amd64 (apt-get update, on Debian)" >&2
        exit $missing_status
    fi
    [ -f "$cache/$package/modules/order-intel" ] || unpack_kernel "$package" "$cache/$package" || {
        echo "missing: apt-get download $package failed" >&2
        exit $missing_status
    }
    printf '%s\n' "$cache/$package"
}

# unpack_kernel PACKAGE FOLDER: downloads and picks what fetch_kernel promises.
unpack_kernel() {
    local package=$1 folder=$2 scratch version cpu module
    scratch=$(mktemp -d)
    (cd "$scratch" && apt-get download -qq -o APT::Sandbox::User=root "$package" >&2) || return
    dpkg-deb -x "$scratch/$package"_*.deb "$scratch" || return
    version=${package#linux-image-}
    # Newer packages have their modules under /usr.
    [ -d "$scratch/lib/modules" ] || ln -s usr/lib "$scratch/lib"
    depmod -b "$scratch" "$version" || return
    rm -rf "$folder" "$folder.new"
    mkdir -p "$folder.new/modules"
    cp "$scratch/boot/vmlinuz-$version" "$folder.new/vmlinuz"
    for cpu in amd intel; do
        modprobe -d "$scratch" -S "$version" --show-depends "kvm-$cpu" |
            sed -n 's/^insmod \([^ ]*\).*/\1/p' |
            while read -r module; do
                cp "$module" "$folder.new/modules/"
                module=${module##*/}
                echo "${module%%.ko*}.ko" >>"$folder.new/modules/order-$cpu"
            done
    done
    for module in "$folder.new"/modules/*.ko.*; do
        case $module in
            *.xz) xz -d "$module" ;;
            *.zst) zstd -q -d --rm "$module" ;;
        esac
    done
    mv "$folder.new" "$folder"
    rm -rf "$scratch"
}
