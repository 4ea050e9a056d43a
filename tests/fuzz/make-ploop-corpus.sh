#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the corpora of the fuzzers of ploop's format extension and copy stream anew. What a run of the fuzzers
# found has names that start with "found-" and is kept.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)/corpus
mkdir -p "$here/ploop-extension" "$here/ploop-copy"
find "$here/ploop-extension" "$here/ploop-copy" -type f ! -name 'found-*' -delete

cd "$here/ploop-extension"
perl -e '
use strict; use Digest::MD5 "md5";
my $closed = 0x312e3276; my $in_use = 0x746F6E59;
# entries of the BAT, where the extension lies (in clusters), other fields
sub header {
    my ($entries, $place, %o) = @_;
    my $unit = $o{unit} // 64;
    my $start = $o{start} // int((64 + 4 * $entries + $unit * 512 - 1) / ($unit * 512));
    return pack("a16 V5 Q< V3 Q<", $o{v1} ? "WithoutFreeSpace" : "WithouFreSpacExt", 2, 16, 0, $unit, $entries,
        $entries * $unit, $o{mark} // $closed, $start * $unit, 1, ($place // $start) * $unit + ($o{odd} // 0));
}
sub part { my ($magic, $flags, $data) = @_; return pack("Q< Q< V V", $magic, $flags, length $data, 0) . $data . "\0" x (-length($data) % 8); }
sub bitmap { my ($sectors, $granularity, @table) = @_; return part(0x20385FAE252CB34A, 0,
    pack("Q< a16 V V", $sectors, "0123456789abcdef", $granularity, scalar @table) . pack("Q<*", @table)); }
sub put { my ($name, $flags, $header, $parts) = @_; open my $f, ">:raw", $name or die; print $f chr($flags), $header, pack("Q<", 0xAB234CEF23DCEA87),
    md5($parts . "\0" x (32768 - 24 - length $parts)), $parts; }
my $disk = 320 * 64;
put("as-it-is", 0, header(320), bitmap($disk, 128, 0));
put("empty-table-sealed", 1, header(320), bitmap($disk, 128));
put("version-1-sealed", 1, header(320, undef, v1 => 1), bitmap($disk, 128, 1));
put("two-sealed", 1, header(320), bitmap($disk, 128, 0) . bitmap($disk, 256, 1));
put("table-sealed", 3, header(65536, 20), bitmap(65536 * 64, 1, 0, 1, map { $_ * 64 } 21 .. 34));
put("table-twice-sealed", 3, header(65536, 20), bitmap(65536 * 64, 1, map { 21 * 64 } 1 .. 16));
put("table-in-bat-sealed", 3, header(65536, 20), bitmap(65536 * 64, 1, map { $_ * 64 } 1 .. 16));
put("table-short-sealed", 3, header(65536, 20), bitmap(65536 * 64, 1, 0, 1));
put("unknown-sealed", 1, header(320), part(0x1122334455667788, 0, "something") . bitmap($disk, 128, 0));
put("necessary-sealed", 1, header(320), part(0x1122334455667788, 1, "x" x 16));
put("other-disk-sealed", 1, header(320), bitmap(1, 128, 0));
put("granularity-sealed", 1, header(320), bitmap($disk, 3, 0));
put("no-end-sealed", 1, header(320), pack("Q< Q< V V", 0x1122334455667788, 0, 32768 - 24 - 24 - 8, 0));
put("too-large-part-sealed", 1, header(320), pack("Q< Q< V V", 0x1122334455667788, 0, 0xfffffff0, 0));
put("in-use-sealed", 1, header(320, undef, mark => $in_use), bitmap($disk, 128, 0));
put("misplaced-sealed", 1, header(320, undef, odd => 1), bitmap($disk, 128, 0));
put("in-header-sealed", 1, header(320, 0), bitmap($disk, 128, 0));
put("cut-off-sealed", 5, header(320), bitmap($disk, 128, 0));
put("cluster-128k-sealed", 1, header(320, undef, unit => 256), bitmap(320 * 256, 128, 0));
'

cd "$here/ploop-copy"
perl -e '
use strict;
sub record { my ($position, $data) = @_; return pack("V V Q<", 0x4cc0ac3d, length $data, $position) . $data; }
sub put { my ($name, $socket, @records) = @_; open my $f, ">:raw", $name or die; print $f chr($socket), @records; }
my $end = record(0, "");
put("nothing", 0);
put("end", 0, $end);
put("data", 0, record(0, "a" x 64), record(32768, "b" x 512), record(64, "c" x 100), $end);
put("socket", 1, record(512, "a" x 64), $end);
put("sync", 0, record(0, "abcd"), record(0, "efgh"), record(4, "ijkl"), $end, "behind the end");
put("no-end", 0, record(0, "a" x 64));
put("cut-in-head", 1, substr($end, 0, 15));
put("cut-in-data", 0, substr(record(0, "a" x 64), 0, 40));
put("marker", 0, record(0, "a"), "\0" x 16);
put("large", 0, pack("V V Q<", 0x4cc0ac3d, 0xffffffff, 0), "a" x 64);
put("far", 0, record(1 << 57, "far"), $end);
put("too-far", 0, record(1 << 58, "far"), $end);
put("end-elsewhere", 0, record(77, ""), "behind the end");
'
du -sh "$here/ploop-extension" "$here/ploop-copy"
