# SPDX-License-Identifier: LGPL-2.1-or-later
# The same matrix for what only the appliance can resize; each boot takes its time, so fewer combinations, and two more with
# DISKTOOL_LONG=1.
[ "${DISKTOOL_LONG:-0}" = 0 ] || more="btrfs/gpt xfs/logical"
MATRIX="${MATRIX:-btrfs/none xfs/gpt lvm/mbr ${more:-}}" source "$(dirname "$0")/matrix_fs.sh"
