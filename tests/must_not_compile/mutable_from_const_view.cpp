// expect: conversion from .*const.* to .*requested|could not convert|no viable conversion
#include "mql4grec/core/view.hpp"

using namespace mql4grec;

// A view gains const on its way, and never loses it.
#ifdef MQL4GREC_VALID
view<float const, host_space, 2> seen(view<float, host_space, 2> x) { return x; }
#else
view<float, host_space, 2> seen(view<float const, host_space, 2> x) { return x; }
#endif
