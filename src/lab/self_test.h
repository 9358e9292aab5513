// Doctor's self-test: a tiny model on a device, every op compared with the scalar definition of it.
#pragma once

#include <string>

#include "backend/backend.h"
#include "machine/doctor.h"

namespace chaski {

/// Runs a prompt and decode steps of a random tiny model in lockstep and adds "selftest.NAME". A device that
/// is wrong, or fails, is a failure that names layer, op and row.
void check_device(Device& device, const std::string& name, Findings& found);

/// Times 1,000 small additions, which are all launch and no work, and adds "selftest.launch". Throws what the
/// device throws.
void check_launches(Device& device, const std::string& name, Findings& found);

}  // namespace chaski
