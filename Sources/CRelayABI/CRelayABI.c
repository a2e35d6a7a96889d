// The header's static asserts, checked by the compiler of the daemon too.
#include "CRelayABI.h"
