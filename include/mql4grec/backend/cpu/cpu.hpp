#pragma once
// The CPU backend: the reference's operations with faster overloads for float.
#include "mql4grec/backend/cpu/operations.hpp"

#if !MQL4GREC_COMPILED
#include "mql4grec/backend/cpu/definitions.hpp"
#endif
