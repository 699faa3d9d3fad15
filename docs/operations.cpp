// Prints docs/operations.md: which backend has which operation, read from the concepts that require them.
//   operations FILE           exits with 1 when the file has another content
//   operations --write FILE   writes it
#include <complex>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "mql4grec/backend/gpu/gpu.hpp"
#include "mql4grec/mql4grec.hpp"
#include "mql4grec/nn/activation.hpp"
#include "mql4grec/nn/layer_norm.hpp"
#include "mql4grec/nn/mean_pool.hpp"
#include "mql4grec/nn/patches.hpp"
#include "mql4grec/nn/rotary.hpp"
#include "mql4grec/quantize/residual_kmeans/residual_kmeans.hpp"
#include "mql4grec/quantize/rq_vae/training_rows.hpp"

using namespace mql4grec;

namespace {

template <class... Lines>
std::string joined(Lines const&... lines) {
  std::ostringstream all;
  (all << ... << lines);
  return all.str();
}

/// The scalars for which `has` is true.
template <class Has>
std::string scalars(Has has) {
  std::string names;
  auto const add = [&](bool yes, char const* name) {
    if (yes) names += (names.empty() ? "" : ", ") + std::string(name);
  };
  add(has.template operator()<float>(), "float");
  add(has.template operator()<double>(), "double");
  add(has.template operator()<std::complex<double>>(), "complex");
  return names.empty() ? "—" : names;
}

/// A row: `has` answers for a backend and a scalar.
template <class Has>
std::string row(char const* concept_name, char const* operations, Has has) {
  using portable = gpu::backend<gpu::omp>;
  auto const on = [&]<class B>() { return scalars([&]<class T>() { return has.template operator()<B, T>(); }); };
  return joined("| `", concept_name, "` | ", operations, " | ", on.template operator()<reference::backend>(), " | ",
                on.template operator()<cpu::backend>(), " | ", on.template operator()<portable>(), " |\n");
}

std::string table() {
  return joined(
      "| required by | operations | reference | cpu | gpu, every system |\n|---|---|---|---|---|\n",
      row("MemoryOps", "`copy`, `fill`", []<class B, class T>() { return MemoryOps<B, T>; }),
      row("nn::LinearOps", "`matmul`", []<class B, class T>() { return nn::LinearOps<B, T>; }),
      row("nn::WeightPackingOps", "`pack_weights`; products do without",
          []<class B, class T>() { return nn::WeightPackingOps<B, T>; }),
      row("nn::DenseOps", "`bias_forward`, `bias_relu_forward`", []<class B, class T>() { return nn::DenseOps<B, T>; }),
      row("nn::DenseLayerOps",
          "`dense_forward`, `dense_relu_forward`, which `cuda` alone has, for float; elsewhere those of the two rows "
          "above",
          []<class B, class T>() { return nn::DenseLayerOps<B, T>; }),
      row("nn::MlpOps", "`relu_backward`, `bias_backward`", []<class B, class T>() { return nn::MlpOps<B, T>; }),
      row("nn::EmbeddingOps", "`embedding_forward`, `embedding_backward`",
          []<class B, class T>() { return nn::EmbeddingOps<B, T>; }),
      row("nn::RmsNormOps", "`rms_norm_forward`, `rms_norm_backward`",
          []<class B, class T>() { return nn::RmsNormOps<B, T>; }),
      row("nn::LayerNormOps", "`layer_norm_forward`", []<class B, class T>() { return nn::LayerNormOps<B, T>; }),
      row("nn::DropoutOps", "`dropout_apply`, `dropout_add`, `dropout_copy`",
          []<class B, class T>() { return nn::DropoutOps<B, T>; }),
      row("nn::ResidualNormOps",
          "`residual_norm_forward`, `residual_norm_backward`; elsewhere those of the two rows above and `accumulate`",
          []<class B, class T>() { return nn::ResidualNormOps<B, T>; }),
      row("nn::ActivationOps", "`relu_forward`, `relu_backward`, `gated_gelu_forward`, `gated_gelu_backward`",
          []<class B, class T>() { return nn::ActivationOps<B, T>; }),
      row("nn::GeluOps", "`gelu_forward`, `quick_gelu_forward`", []<class B, class T>() { return nn::GeluOps<B, T>; }),
      row("nn::SwigluOps", "`swiglu_forward`", []<class B, class T>() { return nn::SwigluOps<B, T>; }),
      row("nn::RotaryOps", "`rotary_forward`", []<class B, class T>() { return nn::RotaryOps<B, T>; }),
      row("nn::PatchOps", "`extract_patches`", []<class B, class T>() { return nn::PatchOps<B, T>; }),
      row("nn::MeanPoolOps", "`mean_pool`", []<class B, class T>() { return nn::MeanPoolOps<B, T>; }),
      row("nn::LinearReluOps",
          "`linear_relu_forward`, which `cuda` alone has, for float; elsewhere `matmul` and `relu_forward`",
          []<class B, class T>() { return nn::LinearReluOps<B, T>; }),
      row("nn::AttentionOps", "`attention_forward`, `attention_backward`",
          []<class B, class T>() { return nn::AttentionOps<B, T>; }),
      row("nn::AttentionPlanOps", "`plan_attention`; attention does without",
          []<class B, class T>() { return Real<T> && nn::AttentionPlanOps<B>; }),
      row("nn::RelativeBiasOps", "`relative_bias_forward`, `relative_bias_backward`",
          []<class B, class T>() { return nn::RelativeBiasOps<B, T>; }),
      row("nn::CrossEntropyOps", "`cross_entropy_forward`, `cross_entropy_backward`, `log_sum_exp`, `sum`",
          []<class B, class T>() { return nn::CrossEntropyOps<B, T>; }),
      row("optim::OptimizerOps", "`adamw_step`, `sum_of_squares`, `accumulate`",
          []<class B, class T>() { return optim::OptimizerOps<B, T>; }),
      row("PackingOps", "`gather_sequences`, `shift_right`; of tokens",
          []<class B, class T>() { return std::same_as<T, float> && PackingOps<B>; }),
      row("TransferOps", "`upload`, `download`; the host's memory has no use for them",
          []<class B, class T>() { return TransferOps<B, T>; }),
      row("optim::MuonOps", "`muon_direction`, `normalize_rows`, `muon_step`, `matmul` of batches",
          []<class B, class T>() { return optim::MuonOps<B, T>; }),
      row("train::CapturedUpdateOps", "`captured_adamw_step`, `sum_into`, `sum_of_squares_into`",
          []<class B, class T>() { return train::CapturedUpdateOps<B, T>; }),
      row("CaptureOps", "`capture`; elsewhere work is done as it comes",
          []<class B, class T>() { return Real<T> && CaptureOps<B>; }),
      row("seq2seq::DecodingOps", "`cached_attention`, `pack_keys`",
          []<class B, class T>() { return seq2seq::DecodingOps<B, T>; }),
      row("search::BeamOps", "`select_beams`, `start_beams`, `branch_beams`, `add_log_probability`",
          []<class B, class T>() { return search::BeamOps<B, T>; }),
      row("quantize::NearestCodeOps", "`nearest_code`",
          []<class B, class T>() { return quantize::NearestCodeOps<B, T>; }),
      row("quantize::ResidualOps", "`subtract_codes`", []<class B, class T>() { return quantize::ResidualOps<B, T>; }),
      row("quantize::NearestCodesOps", "`nearest_codes`",
          []<class B, class T>() { return quantize::NearestCodesOps<B, T>; }),
      row("quantize::SinkhornOps", "`squared_distances`, `sinkhorn_assign`",
          []<class B, class T>() { return quantize::SinkhornOps<B, T>; }),
      row("quantize::SquaredErrorOps", "`squared_error_forward`, `squared_error_backward`, `add_scaled`",
          []<class B, class T>() { return quantize::SquaredErrorOps<B, T>; }),
      row("quantize::RqVaeTrainingOps", "`add_to_codes`, `revive_codes`, `sum_of_squares_into`",
          []<class B, class T>() { return quantize::RqVaeTrainingOps<B, T>; }),
      row("quantize::KmeansOps", "`add_to_codes`, `gather_rows`, `minimum_in_place`, `sum_into`",
          []<class B, class T>() { return std::same_as<T, float> && quantize::KmeansOps<B>; }),
      row("quantize::ResidualKmeansOps", "`add_to_rows`, `procrustes_rotation`",
          []<class B, class T>() { return std::same_as<T, float> && quantize::ResidualKmeansOps<B>; }),
      row("quantize::GatherRowsOps", "`gather_rows`; of features in a device's memory",
          []<class B, class T>() { return std::same_as<T, float> && quantize::GatherRowsOps<B>; }),
      row("quantize::UploadBufferOps", "`upload_buffer`; what the host reads needs none",
          []<class B, class T>() { return std::same_as<T, float> && quantize::UploadBufferOps<B>; }));
}

/// What stands between backticks in the table's second column: the operations.
std::vector<std::string> operations_of(std::string const& table) {
  std::vector<std::string> names;
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    auto const second = line.find(" | ") + 3;
    for (auto at = line.find('`', second), end = line.find(" | ", second); at < end; at = line.find('`', at + 1)) {
      auto const close = line.find('`', at + 1);
      names.push_back(line.substr(at + 1, close - at - 1));
      at = close;
    }
  }
  return names;
}

/// The files of a folder that define an operation for its backend, and which: what a backend computes itself, and not
/// by what it is derived from.
std::string own_files(std::filesystem::path const& folder, std::vector<std::string> const& operations) {
  std::map<std::string, std::string> files;
  for (auto const& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.path().filename() == "operations.hpp") continue;  // declarations alone
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    std::string found;
    for (auto const& name : operations) {
      std::regex const definition("\\b" + name + "\\((B|(gpu::)?backend(<(System|cuda)>)?)(&| const&) ?\\w*[,)]");
      if (std::regex_search(text.str(), definition) && found.find("`" + name + "`") == found.npos)
        found += (found.empty() ? "`" : ", `") + name + "`";
    }
    if (!found.empty()) files[std::filesystem::relative(entry.path(), folder).generic_string()] = found;
  }
  std::string all;
  for (auto const& [file, found] : files) all += "  - `" + file + "`: " + found + "\n";
  return all;
}

std::string document() {
  std::filesystem::path const backends = MQL4GREC_BACKENDS;
  auto const operations = operations_of(table());
  return joined(
      "# Operations and backends\n\nWritten by `docs/operations.cpp` from the concepts themselves; a test compares. A "
      "cell names the scalars for which the\n"
      "backend has everything that the concept requires. `cpu::backend` falls back to the reference's loops for what "
      "it has no file of\n"
      "its own; `gpu::backend<System>` has every operation written once for the systems `cpp`, `omp` and `cuda`, and "
      "`cuda` its own kernels\n"
      "where a file documents it.\n\n",
      table(), "\nWhere they are defined:\n\n- `backend/reference/`\n", own_files(backends / "reference", operations),
      "- `backend/cpu/`\n", own_files(backends / "cpu", operations), "- `backend/gpu/`\n",
      own_files(backends / "gpu", operations));
}

}  // namespace

int main(int count, char** arguments) {
  bool const write = count == 3 && std::string_view(arguments[1]) == "--write";
  if (count != 2 && !write) return std::fputs("usage: operations [--write] FILE\n", stderr), 2;
  std::string const now = document(), path = arguments[count - 1];
  if (write) {
    std::ofstream(path) << now;
    return 0;
  }
  std::ostringstream there;
  there << std::ifstream(path).rdbuf();
  if (there.str() == now) return 0;
  std::fprintf(stderr, "%s doesn't match the concepts; write it again with --write\n", path.c_str());
  return 1;
}
