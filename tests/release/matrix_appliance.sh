# SPDX-License-Identifier: LGPL-2.1-or-later
# The same matrix for what only the appliance can resize; each boot takes its time, so fewer combinations.
MATRIX="${MATRIX:-btrfs/gpt btrfs/none xfs/gpt xfs/logical lvm/mbr}" source "$(dirname "$0")/matrix_fs.sh"
