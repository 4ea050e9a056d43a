// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/refusal.h"

#include <optional>

namespace disktool {

Error error_of(const Refusal& refusal) {
    bool damaged = refusal.reason == Reason::image_dirty || refusal.reason == Reason::image_corrupt;
    return Error(damaged ? ErrorCode::damaged : ErrorCode::unsupported, refusal.sentence, refusal.reason);
}

void require(const Image& image, Capability capability) {
    if (std::optional<Refusal> refusal = image.refusal(capability)) {
        throw error_of(*refusal);
    }
}

} // namespace disktool
