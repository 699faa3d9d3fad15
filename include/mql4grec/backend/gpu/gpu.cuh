#pragma once
// The GPU backend on NVIDIA GPUs: the portable operations with CUDA thread groups, and cuBLASLt for matrix products.
// Requires nvcc.
#include "mql4grec/backend/gpu/gpu.hpp"
#include "mql4grec/backend/gpu/matmul/cublas.cuh"
#include "mql4grec/backend/gpu/matmul/dense.cuh"
#include "mql4grec/backend/gpu/runtime/cuda_graph.cuh"
