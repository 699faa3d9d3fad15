#pragma once
/// Everything for nvcc: what host compilers get, and the GPU backend.
#include "mql4grec/backend/gpu/gpu.cuh"
#include "mql4grec/mql4grec.hpp"
