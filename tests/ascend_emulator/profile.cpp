// What tells one profile's libascendcl.so from another's: the marker by which a program sees that it is
// emulated.
#include "core.h"

#ifdef EMULATOR_LIBRARY_ascendcl
extern "C" EMULATOR_API const char* chaski_ascend_emulator() { return EMULATOR_PROFILE; }
#endif
