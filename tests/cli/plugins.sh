# SPDX-License-Identifier: LGPL-2.1-or-later
# Plugins from outside: listed, told of, and refused where they should be.
source "$(dirname "$0")/common.sh"
expect 0 "$TOOL" --list-plugins; says qcow2; says fs-ext4; says raw
expect 0 "$TOOL" --list-plugins --json; is '[.plugins[] | select(.name == "qcow2")][0].kind' format
expect 0 "$TOOL" --dump-plugin fs-ext4; says "kind=filesystem"; says "api_version=1"; says "licence=LGPL-2.1-or-later"
expect 0 "$TOOL" --dump-plugin qcow2 --json; is .plugin.name qcow2
expect 6 "$TOOL" --dump-plugin nothing; says "nothing"

make_disk d.qcow2 size=64
# A folder of one's own comes first.
mkdir mine; cp -r "$DISKTOOL_BUILD/lib/disktool/plugins/fs-ext4" mine/; sed -i 's/^description:.*/description: mine/' mine/fs-ext4/plugin.yaml
DISKTOOL_PLUGIN_PATH=$WORK/mine expect 0 "$TOOL" --list-plugins; says "mine"
# One that others may write to is refused.
chmod o+w mine/fs-ext4
DISKTOOL_PLUGIN_PATH=$WORK/mine expect 6 "$TOOL" --dump-plugin fs-ext4; says "mine"
chmod o-w mine/fs-ext4; chmod o+w mine/fs-ext4/fs-ext4.so
DISKTOOL_PLUGIN_PATH=$WORK/mine expect 6 "$TOOL" --dump-plugin fs-ext4
# A manifest with a mistake names file and line.
chmod o-w mine/fs-ext4/fs-ext4.so; echo "colour: blue" >> mine/fs-ext4/plugin.yaml
DISKTOOL_PLUGIN_PATH=$WORK/mine "$TOOL" --list-plugins > out 2>&1 || true; grep -q 'plugin.yaml:[0-9]' out || die "no line number: $(cat out)"

# The configuration: a mistake names file and line; a good one is used.
echo "engien: native" > bad.yaml
DISKTOOL_CONFIG=$WORK/bad.yaml expect 2 "$TOOL" compact --hdd d.qcow2 --info; says "bad.yaml:1"
DISKTOOL_CONFIG=$WORK/none.yaml expect 3 "$TOOL" compact --hdd d.qcow2 --info; says "none.yaml"
mkdir base; make_disk base/b.qcow2 size=64; qemu-img create -q -f qcow2 -b "$WORK/base/b.qcow2" -F qcow2 top.qcow2
mkdir tops; mv top.qcow2 tops/
expect 6 "$TOOL" compact --hdd tops/top.qcow2 --info
printf 'allow-backing:\n  - %s\n' "$WORK/base" > good.yaml
DISKTOOL_CONFIG=$WORK/good.yaml expect 0 "$TOOL" compact --hdd tops/top.qcow2 --info
