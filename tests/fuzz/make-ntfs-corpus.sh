#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the corpus of the NTFS fuzzer anew: small file systems, reduced to the blocks that the plugin reads. What a
# run of the fuzzer found has names that start with "found-" and is kept. Needs root (mounts with ntfs-3g).
set -euo pipefail

out=$(cd "$(dirname "$0")" && pwd)/corpus/ntfs
work=$(mktemp -d)
disk=$work/disk
trap 'mountpoint -q "$work/mnt" && umount "$work/mnt"; rm -rf "$work"' EXIT
mkdir -p "$out" "$work/mnt"
find "$out" -type f ! -name 'found-*' -delete

make() { # MIB MKNTFS-OPTION...
    rm -f "$disk"
    truncate -s "$1M" "$disk"
    mkntfs -Q -F -q -T "${@:2}" "$disk" 2> /dev/null
}
mounted() { # COMMAND..., run in the root folder
    ntfs-3g -o no_detach,remove_hiberfile "$disk" "$work/mnt" &
    until mountpoint -q "$work/mnt"; do sleep 0.05; done
    (cd "$work/mnt" && "$@")
    umount "$work/mnt"
    wait
}
# input NAME FLAGS: 01 in flags: the fuzzer makes update sequences right
input() {
    perl - "$disk" "$2" > "$out/$1" <<'PERL'
my ($path, $flags) = @ARGV;
open my $disk, "<:raw", $path or die;
my $size = -s $path;
sub at { my ($offset, $length) = @_; seek $disk, $offset, 0; read $disk, my $data, $length; return $data }
my $boot = at(0, 512);
my ($sector, $count) = unpack "x11 v C", $boot;
my $cluster = $sector * ($count > 128 ? 2 ** (256 - $count) : $count);
my ($mft) = unpack "x48 Q<", $boot;
my %keep = (0 => 1);
sub keep { my ($offset, $length) = @_; $keep{$_} = 1 for int($offset / 512) .. int(($offset + $length - 1) / 512) }
# The run list of the first attribute of that type, and of that record; small file systems have whole ones.
sub runs {
    my ($record, $type) = @_;
    my ($at) = unpack "x20 v", $record;
    while (1) {
        my ($kind, $length, $resident) = unpack "V V C", substr $record, $at;
        return if $kind == 0xffffffff or !$length;
        if ($kind == $type && $resident) {
            my $pairs = $at + unpack "v", substr $record, $at + 32, 2;
            my ($lcn, @runs) = (0);
            while (my $head = ord substr $record, $pairs, 1) {
                my ($l, $d) = ($head & 15, $head >> 4);
                my $len = unpack "Q<", substr($record, $pairs + 1, $l) . "\0" x (8 - $l);
                my $raw = substr $record, $pairs + 1 + $l, $d;
                my $dist = unpack "q<", $raw . ($d && ord(substr $raw, -1) > 127 ? "\xff" : "\0") x (8 - $d);
                $lcn += $dist;
                push @runs, [$lcn * $cluster, $len * $cluster] if $d;
                $pairs += 1 + $l + $d;
            }
            return @runs;
        }
        $at += $length;
    }
}
my $size_of = unpack("x64 c", $boot) < 0 ? 2 ** -unpack("x64 c", $boot) : $cluster * unpack("x64 c", $boot);
keep($mft * $cluster + $_ * $size_of, $size_of) for 0 .. 11;
my ($first) = runs(at($mft * $cluster, $size_of), 0x80);
sub record { at($first->[0] + $_[0] * $size_of, $size_of) }
keep($_->[0], 512) for runs(record(6), 0x80);
my $journal = (runs(record(2), 0x80))[0]->[0] / 512;
keep($journal * 512, 512);
for (runs(record(5), 0xa0)) { keep($_->[0], $_->[1] > 8192 ? 8192 : $_->[1]) }
for my $number (24 .. 80) {
    my $record = record($number);
    next unless $record =~ /^FILE/ && $record =~ /h\0i\0b\0e\0r/;
    keep($first->[0] + $number * $size_of, $size_of);
    keep($_->[0], 512) for runs($record, 0x80);
}
# An empty journal is all ones, megabytes of them; one closed restart page of the least size says as much.
sub content {
    my ($block) = @_;
    return at($block * 512, 512) if $block != $journal;
    my $page = pack "a4 v v Q< V V v v v v", "RSTR", 0x1e, 2, 0, 512, 512, 0x30, 1, 1, 7;
    $page .= "\0" x (0x30 - length $page);
    $page .= pack "Q< v v v v V v v Q<", 1000, 1, 0, 0xffff, 2, 45, 0xe0, 0x40, 2 << 20;
    return $page . "\0" x (510 - length $page) . pack "v", 7;
}
# The last two bytes of a block are the update sequence's, which the fuzzer makes anew.
my ($text, @blocks) = ("", sort { $a <=> $b } grep { substr(content($_), 0, 510) =~ /[^\0]/ } keys %keep);
while (@blocks) {
    my @run = shift @blocks;
    push @run, shift @blocks while @blocks && $blocks[0] == $run[-1] + 1 && @run < 255;
    $text .= substr(pack("V", $run[0]), 0, 3) . chr(@run) . join "", map { content($_) } @run;
}
binmode STDOUT;
print chr(hex $flags), pack("v", $size / 1048576 - 1), $text;
PERL
}

make 16 -c 4096; input fresh-sealed 01
make 16 -c 512; input cluster-512-sealed 01
make 16 -s 4096 -c 4096; input sector-4k-sealed 01
make 300 -c 65536; input large-sealed 01
files() { for i in {1..40}; do echo "$i" > "a-file-with-a-rather-long-name-$i"; done; }
hibernation() { (printf hibr; head -c 8000 /dev/zero) > hiberfil.sys; }
make 16 -c 4096; mounted files; mounted hibernation; input hibernated-sealed 01
make 16 -c 4096; mounted hibernation; input hibernated-small-sealed 01
du -sh "$out"
