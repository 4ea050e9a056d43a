// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/log.h>

#include <iostream>
#include <memory>
#include <mutex>
#include <utility>

namespace disktool {

namespace {

using Receiver = std::function<void(LogLevel, std::string_view)>;

struct Log {
    std::mutex mutex;
    std::shared_ptr<const Receiver> receiver;
};

// Never destroyed: threads may still log while the program ends.
Log& the_log() {
    static Log* const log = new Log;
    return *log;
}

} // namespace

void log(LogLevel level, std::string_view line) {
    std::shared_ptr<const Receiver> receiver;
    {
        const std::scoped_lock lock(the_log().mutex);
        receiver = the_log().receiver;
    }
    if (receiver)
        (*receiver)(level, line);
    else if (level == LogLevel::warning)
        std::cerr << "warning: " << line << std::endl;
}

void set_log_receiver(std::function<void(LogLevel, std::string_view)> receiver) {
    const std::scoped_lock lock(the_log().mutex);
    the_log().receiver = receiver ? std::make_shared<const Receiver>(std::move(receiver)) : nullptr;
}

} // namespace disktool
