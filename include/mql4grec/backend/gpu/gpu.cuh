#pragma once
// The GPU backend for NVIDIA's GPUs: the portable operations, with cuBLASLt's products and groups of CUDA threads. For
// nvcc.
#include "mql4grec/backend/gpu/cuda/dense.cuh"
#include "mql4grec/backend/gpu/cuda/graph.cuh"
#include "mql4grec/backend/gpu/cuda/matmul.cuh"
#include "mql4grec/backend/gpu/gpu.hpp"
