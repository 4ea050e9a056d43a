# SPDX-License-Identifier: LGPL-2.1-or-later
# An installation works wherever it lies, also after it was moved, and without the build tree's library.
source "$(dirname "$0")/../cli/common.sh"
cmake --install "$DISKTOOL_BUILD" --prefix "$WORK/first" > /dev/null
mv first second
TOOL=$WORK/second/bin/prl_disk_tool
make_disk d.qcow2 size=64
expect 0 "$TOOL" --list-plugins --json
is '[.plugins[] | select(.name == "qcow2")][0].library' "$WORK/second/lib/disktool/plugins/qcow2/qcow2.so"
expect 0 "$TOOL" compact --hdd d.qcow2; check_disk d.qcow2
LD_DEBUG=libs "$TOOL" resize --info --hdd d.qcow2 2>&1 > /dev/null | grep 'calling init' > loaded
! grep -q "$DISKTOOL_BUILD" loaded || die "uses the build tree"
grep -q "$WORK/second/.*libdisktool" loaded || die "does not use its own library"
# The sandbox of host programs, the man page and the completions come along.
expect 0 "$TOOL" resize --hdd d.qcow2 --size 40 --resize_partition --engine native -v; says "$WORK/second/libexec/disktool/sandbox"
check_disk d.qcow2
[ -s second/share/man/man8/prl_disk_tool.8 ] && [ -s second/share/bash-completion/completions/prl_disk_tool ] || die "no manual or completion"
# A plugin author can build against what is installed.
cat > plugin.cpp <<'END'
#include <disktool/plugin.h>
class Example : public disktool::FilesystemPlugin {
    int probe(disktool::BlockDevice&) override { return 0; }
    std::unique_ptr<disktool::Filesystem> open(disktool::BlockDevice&) override { return nullptr; }
};
DISKTOOL_FILESYSTEM_PLUGIN(Example, "example", "1", "MIT");
END
mkdir -p plugins/example
g++ -std=c++20 -shared -fPIC -Isecond/include plugin.cpp -o plugins/example/example.so -Lsecond/lib -ldisktool
printf 'name: example\nkind: filesystem\nversion: "1"\ndescription: an example\nlicence: MIT\nrecognises: []\ncontent-types: []\nprograms: []\n' > plugins/example/plugin.yaml
DISKTOOL_PLUGIN_PATH=$WORK/plugins expect 0 "$TOOL" --dump-plugin example; says "licence=MIT"
