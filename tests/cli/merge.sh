# SPDX-License-Identifier: LGPL-2.1-or-later
# merge and merge --external: contents equal, files gone, refusals.
source "$(dirname "$0")/common.sh"
same() { qemu-img compare -q "$1" "$2" || die "$1 differs from $2"; }

# --- internal snapshots
make_disk s.qcow2 size=64 big=4 small=20
qemu-img snapshot -c one s.qcow2; qemu-io -f qcow2 -c 'write -P 9 40M 2M' s.qcow2 > /dev/null; qemu-img snapshot -c two s.qcow2
qemu-io -f qcow2 -c 'write -P 8 41M 3M' s.qcow2 > /dev/null
qemu-img convert -O raw s.qcow2 s.raw; before=$(host_kib s.qcow2)
unchanged s.qcow2 -- expect 0 "$TOOL" merge --hdd s.qcow2 -n; says one; says two
expect 0 "$TOOL" merge --hdd s.qcow2
same s.qcow2 s.raw; qemu-img check -q s.qcow2
[ -z "$(qemu-img snapshot -l s.qcow2)" ] || die "snapshots are left"
[ "$(host_kib s.qcow2)" -lt $((before - 1000)) ] || die "nothing was given back: $before -> $(host_kib s.qcow2) KiB"
unchanged s.qcow2 -- expect 0 "$TOOL" merge --hdd s.qcow2; says "nothing to do"
head -c 100000 /dev/urandom > noise; expect 6 "$TOOL" merge --hdd noise

# --- chains: sizes, clusters and compat levels that differ, relative names, both directions
chain() { # BASE_OPTIONS TOP_OPTIONS TOP_MIB BASE_SIDE(big|small)
  rm -rf c; mkdir -p c/lower
  qemu-img create -q -f qcow2 -o "$1" c/lower/base.qcow2 64M
  qemu-io -f qcow2 -c 'write -P 1 0 4M' -c 'write -P 2 50M 64k' c/lower/base.qcow2 > /dev/null
  [ "$4" = small ] || qemu-io -f qcow2 -c 'write -P 3 8M 20M' c/lower/base.qcow2 > /dev/null
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 c/lower/mid.qcow2 40M
  qemu-io -f qcow2 -c 'write -P 4 1M 64k' -c 'write -z 2M 1M' c/lower/mid.qcow2 > /dev/null
  qemu-img create -q -f qcow2 -o "$2" -b lower/mid.qcow2 -F qcow2 c/top.qcow2 "$3M"
  qemu-io -f qcow2 -c 'write -P 5 3M 100k' c/top.qcow2 > /dev/null
  [ "$4" = big ] || qemu-io -f qcow2 -c 'write -P 6 8M 20M' c/top.qcow2 > /dev/null
  qemu-img convert -O raw c/top.qcow2 want.raw
}
merged() {
  same c/top.qcow2 want.raw; qemu-img check -q c/top.qcow2
  [ "$(qemu-img info --output=json c/top.qcow2 | jq -r '."backing-filename"')" = null ] || die "still has a backing file"
  [ "$(cd c; find . -type f | sort | tr '\n' ' ')" = "./top.qcow2 " ] || die "files: $(cd c; find . -type f)"
}
for base in compat=1.1 compat=0.10 cluster_size=4096 cluster_size=2M; do for top in compat=1.1 compat=0.10 cluster_size=16384; do
  for mib in 64 40 100; do
    side=$([ "$mib" = 64 ] && echo big || echo small)
    chain "$base" "$top" "$mib" "$side"
    chmod 600 c/top.qcow2
    expect 0 "$TOOL" merge --external --hdd c/top.qcow2 --allow-backing c/lower --json
    is .direction "$([ "$side" = big ] && echo into_base || echo into_top)"
    [ "$(stat -c %a c/top.qcow2)" = 600 ] || die "mode"
    merged
  done
done; done
unchanged c/top.qcow2 -- expect 0 "$TOOL" merge --external --hdd c/top.qcow2; says "nothing to do"

# --- a raw base: its bytes come up
truncate -s 32M raw.base; qemu-io -f raw -c 'write -P 7 5M 5M' raw.base > /dev/null
qemu-img create -q -f qcow2 -b raw.base -F raw on-raw.qcow2; qemu-img convert -O raw on-raw.qcow2 want.raw
expect 0 "$TOOL" merge --external --hdd on-raw.qcow2; same on-raw.qcow2 want.raw; [ ! -e raw.base ] || die "the base stays"

# --- refusals change nothing
chain compat=1.1 compat=1.1 64 big
qemu-img snapshot -c inner c/lower/mid.qcow2
unchanged c/top.qcow2 c/lower/mid.qcow2 c/lower/base.qcow2 -- expect 6 "$TOOL" merge --external --hdd c/top.qcow2 --allow-backing c/lower
says "internal snapshots"; says mid.qcow2
chain compat=1.1 compat=1.1 64 big
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 c/lower/other.qcow2
unchanged c/top.qcow2 c/lower/mid.qcow2 c/lower/base.qcow2 -- expect 6 "$TOOL" merge --external --hdd c/top.qcow2 --allow-backing c/lower
says other.qcow2; says --force-merge-shared
expect 0 "$TOOL" merge --external --hdd c/top.qcow2 --allow-backing c/lower --force-merge-shared; says other.qcow2; same c/top.qcow2 want.raw
chain compat=1.1 compat=1.1 64 big; rm c/lower/base.qcow2
unchanged c/top.qcow2 -- expect 3 "$TOOL" merge --external --hdd c/top.qcow2 --allow-backing c/lower; says base.qcow2
# A member that another process has open.
chain compat=1.1 compat=1.1 64 big
flock c/lower/base.qcow2 sleep 30 & holder=$!; AT_EXIT+=("kill $holder"); sleep 0.3
unchanged c/top.qcow2 -- expect 4 "$TOOL" merge --external --hdd c/top.qcow2 --allow-backing c/lower; says base.qcow2
kill $holder
expect 2 "$TOOL" merge --force-merge-shared --hdd c/top.qcow2; says --external
