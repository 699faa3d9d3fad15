#pragma once
// The GPU backend for NVIDIA's GPUs: the portable operations, with cuBLASLt's products and groups of CUDA threads. For
// nvcc.
#include "mql4grec/backend/gpu/gpu.hpp"
#include "mql4grec/backend/gpu/matmul/cublas.cuh"
#include "mql4grec/backend/gpu/matmul/dense.cuh"
#include "mql4grec/backend/gpu/runtime/cuda_graph.cuh"
