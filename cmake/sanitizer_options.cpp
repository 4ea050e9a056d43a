// SPDX-License-Identifier: LGPL-2.1-or-later
// In every program of a sanitized tree: what the sanitizers' run-time is to do other than by its own defaults. The run-time of
// GCC 12 and LLVM 14 takes the thread-local data of a loaded module, where malloc put it at one certain offset of a page, for
// that of glibc before 2.25, whose address and length stood in front of it, and LeakSanitizer then dies with "Tracer caught
// signal 11" (google/sanitizers issue 1322). It is not asked to look for such data; the modules' hold no memory at exit.
extern "C" __attribute__((visibility("default"), used)) const char* __asan_default_options();

extern "C" const char* __asan_default_options() {
    return "intercept_tls_get_addr=0";
}
