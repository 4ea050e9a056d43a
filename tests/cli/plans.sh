# SPDX-License-Identifier: LGPL-2.1-or-later
# Plans against golden files (tests/cli/golden), as text and as JSON. The disks are made so that every number is known: a GPT of
# fixed GUIDs, a gap with data, an ext4 of fixed layout. UPDATE_GOLDEN=1 rewrites them: then read the difference.
source "$(dirname "$0")/common.sh"
GOLDEN=$DISKTOOL_SOURCE/tests/cli/golden
golden() { # NAME
  sed -e "s#$WORK/##g" -e 's#"pid": [0-9]*#"pid": 0#' < out > actual
  [ -z "${UPDATE_GOLDEN:-}" ] || cp actual "$GOLDEN/$1"
  diff -u "$GOLDEN/$1" actual || die "the plan is not that of golden/$1"
}

# Two partitions without content that is known, but for a swap signature; between them old data in no partition.
truncate -s 256M disk.raw
sgdisk -a 2048 -n 1:204800:245759 -n 2:409600:450559 -t 1:8200 -t 2:8300 \
  -U 01234567-89AB-CDEF-0123-456789ABCDEF -u 1:11111111-1111-1111-1111-111111111111 \
  -u 2:22222222-2222-2222-2222-222222222222 disk.raw > /dev/null
qemu-img convert -O qcow2 disk.raw gpt.qcow2
qemu-io -f qcow2 -c 'write -P 5 1M 1M' -c 'write -P 6 130M 8M' -c 'write -P 7 204M 4M' gpt.qcow2 > /dev/null

expect 0 "$TOOL" resize --hdd gpt.qcow2 --size 512 -n; golden resize-gpt.txt
expect 0 "$TOOL" resize --hdd gpt.qcow2 --size 512 -n --json; jq '.plan' out > plan; mv plan out; golden resize-gpt.json
# An ext4 in the second partition; what is in the gap is given away, the boot loader's area at 1 MiB and partition 1 are not.
truncate -s 20M fs; SOURCE_DATE_EPOCH=1 mkfs.ext4 -q -F -b 4096 -O ^has_journal,^resize_inode -U clear fs
dd if=fs of=disk.raw bs=1M seek=200 conv=notrunc status=none
qemu-img convert -O qcow2 disk.raw gpt.qcow2
qemu-io -f qcow2 -c 'write -P 5 1M 1M' -c 'write -P 6 130M 8M' -c 'write -P 7 210M 4M' gpt.qcow2 > /dev/null
expect 0 "$TOOL" compact --hdd gpt.qcow2 -n; golden compact-gpt.txt
expect 0 "$TOOL" compact --hdd gpt.qcow2 -n --json; jq '{plan, estimate: (.estimate | del(.allocated))}' out > plan; mv plan out; golden compact-gpt.json
# Its bitmap is kept in step.
qemu-img bitmap --add gpt.qcow2 backup
expect 0 "$TOOL" resize --hdd gpt.qcow2 --size 512 -n; golden resize-bitmap.txt
# With the appliance.
expect 0 "$TOOL" compact --hdd gpt.qcow2 -n --engine appliance; golden compact-appliance.txt
