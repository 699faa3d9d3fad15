#include "mql4grec/seq2seq/checkpoint.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/temporary_directory.hpp"
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/backend/reference/reference.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/seq2seq/initialize.hpp"

using namespace mql4grec;
using test::complaint;
using test::temporary_directory;

namespace {

using cpu_model = seq2seq::t5<cpu::backend, float>;

seq2seq::t5_config small(bool tied = true, nn::activation activation = nn::activation::relu) {
  return {.vocabulary = 19,
          .model_width = 6,
          .head_width = 3,
          .heads = 2,
          .inner_width = 5,
          .encoder_layers = 1,
          .decoder_layers = 2,
          .buckets = 8,
          .max_distance = 20,
          .activation = activation,
          .tied = tied,
          .dropout = 0.25,
          .epsilon = 1e-5,
          .initializer_factor = 0.5,
          .pad = token_t{2},
          .end = token_t{3}};
}
cpu_model random_model(seq2seq::t5_config const& config, std::uint64_t seed = 1) {
  cpu::backend backend;
  cpu_model model(backend, config);
  seq2seq::initialize(model, seed);
  return model;
}
cpu_model read_back(std::filesystem::path const& directory) {
  cpu::backend backend;
  return seq2seq::read_model<float>(backend, directory);
}
template <class Model>
bool same_bits(Model const& a, Model const& b) {
  for (auto const& p : a.layout().entries()) {
    auto const x = a.parameters().part(p.offset, p.size()), y = b.parameters().part(p.offset, p.size());
    if (std::memcmp(x.data, y.data, static_cast<std::size_t>(x.size()) * sizeof(*x.data)) != 0) return false;
  }
  return true;
}

/// A checkpoint's tensors by name, free to be changed and written again.
class loose_checkpoint {
 public:
  explicit loose_checkpoint(std::filesystem::path directory) : directory_(std::move(directory)) {
    safetensors const file(directory_ / "model.safetensors");
    for (auto const& name : file.names()) tensors[name] = {file.info(name).shape, file.values<float>(name)};
  }
  void save() const {
    std::vector<named_tensor> all;
    for (auto const& [name, t] : tensors) all.push_back({name, t.shape, view_of(std::span<float const>(t.values))});
    write_safetensors(directory_ / "model.safetensors", all);
  }

  struct tensor {
    std::vector<index_t> shape;
    std::vector<float> values;
  };
  std::map<std::string, tensor> tensors;

 private:
  std::filesystem::path directory_;
};

/// What a checkpoint is refused with after a change, without the directory.
std::string refusal(std::function<void(loose_checkpoint&)> const& change, seq2seq::t5_config const& config = small()) {
  temporary_directory const directory;
  seq2seq::write_model(directory.path(), random_model(config));
  loose_checkpoint loose(directory.path());
  change(loose);
  loose.save();
  auto const message = complaint<file_error>([&] { return read_back(directory.path()); });
  return message.substr(std::min(message.size(), directory.path().string().size() + 1));
}
/// The same after members of config.json were replaced.
std::string config_refusal(json const& members) {
  temporary_directory const directory;
  seq2seq::write_model(directory.path(), random_model(small()));
  json config = read_json(directory / "config.json");
  config.update(members);
  write_json(directory / "config.json", config);
  auto const message = complaint<file_error>([&] { return read_back(directory.path()); });
  return message.substr(std::min(message.size(), directory.path().string().size() + 1));
}

}  // namespace

// ---- config.json
// -----------------------------------------------------------------------------------------------------------

TEST_CASE("config.json: every field is read back as written") {
  for (bool const tied : {true, false})
    for (auto const activation : {nn::activation::relu, nn::activation::gated_gelu}) {
      auto const config = small(tied, activation);
      CHECK(seq2seq::from_config_json(seq2seq::to_config_json(config), "config.json") == config);
    }
  CHECK(seq2seq::from_config_json(seq2seq::to_config_json(seq2seq::t5_config()), "config.json") ==
        seq2seq::t5_config());
}

TEST_CASE("config.json: equals transformers' file except for the version") {
  for (auto const& entry : std::filesystem::directory_iterator(MQL4GREC_TEST_GOLDEN_DIR)) {
    if (!entry.path().filename().string().starts_with("t5_")) continue;
    auto const path = entry.path() / "config.json";
    json theirs = read_json(path);
    json ours = seq2seq::to_config_json(seq2seq::read_t5_config(path));
    theirs.erase("transformers_version");
    if (!theirs.contains("tie_word_embeddings"))
      ours.erase("tie_word_embeddings");  // transformers leaves it out when true
    CHECK(ours.dump() == theirs.dump());
  }
}

TEST_CASE("config.json: absent fields have transformers' defaults, and irrelevant fields are ignored") {
  json const least = {{"model_type", "t5"},
                      {"vocab_size", 100},
                      {"d_model", 8},
                      {"d_kv", 4},
                      {"d_ff", 16},
                      {"num_heads", 2},
                      {"num_layers", 3},
                      {"n_positions", 512},
                      {"task_specific_params", {{"a", 1}}},
                      {"num_beams", 4},
                      {"a_later_transformers", nullptr},
                      {"num_decoder_layers", nullptr}};
  auto const config = seq2seq::from_config_json(least, "config.json");
  CHECK(config == seq2seq::t5_config{.vocabulary = 100,
                                     .model_width = 8,
                                     .head_width = 4,
                                     .heads = 2,
                                     .inner_width = 16,
                                     .encoder_layers = 3,
                                     .decoder_layers = 3});
}

TEST_CASE("config.json: unsupported options and invalid values are refused by name") {
  struct {
    char const *key, *value, *complaint;
  } const cases[] = {
      {"model_type", "\"mt5\"", "found \"mt5\", expected \"t5\"; anything else isn't supported"},
      {"feed_forward_proj", "\"gated-silu\"",
       "found \"gated-silu\", expected \"relu\" or \"gated-gelu\"; anything else isn't supported"},
      {"dense_act_fn", "\"gelu\"", "found \"gelu\", expected \"relu\"; anything else isn't supported"},
      {"is_gated_act", "true", "found true, expected false; anything else isn't supported"},
      {"decoder_start_token_id", "5", "found 5, expected 2; anything else isn't supported"},
      {"tie_encoder_decoder", "true", "found true, expected false; anything else isn't supported"},
      {"is_decoder", "true", "found true, expected false; anything else isn't supported"},
      {"is_encoder_decoder", "false", "found false, expected true; anything else isn't supported"},
      {"pruned_heads", "{\"0\": [1]}", "found an object, expected {}; anything else isn't supported"},
      {"d_model", "6.5", "found 6.5, expected an integer"},
      {"d_model", "\"6\"", "found \"6\", expected an integer"},
      {"d_model", "true", "found true, expected an integer"},
      {"d_model", "[6]", "found a list, expected an integer"},
      {"d_model", "18446744073709551615", "found 18446744073709551615, expected an integer"},
      {"pad_token_id", "4294967296", "found 4294967296, expected a token"},
      {"tie_word_embeddings", "1", "found 1, expected true or false"},
      {"dropout_rate", "\"0.1\"", "found \"0.1\", expected a number"},
  };
  for (auto const& c : cases)
    CHECK(config_refusal({{c.key, json::parse(c.value)}}) ==
          "config.json: key '" + std::string(c.key) + "': " + c.complaint);
  for (auto const* key : {"attention_scale", "quantization_config", "tie_encoder_decoders", "Dropout_rate"})
    CHECK(config_refusal({{key, false}}) ==
          "config.json: key '" + std::string(key) +
              "' isn't known and may change what is computed; remove it if it doesn't");
  CHECK(config_refusal({{"tie_word_embeddings", false}, {"scale_decoder_outputs", true}}) ==
        "config.json: key 'scale_decoder_outputs': found true, expected false; anything else isn't supported");
  CHECK(config_refusal({{"d_kv", nullptr}}) == "config.json: key 'd_kv' is missing");
  CHECK(config_refusal({{"num_heads", 0}}) == "config.json: t5: num_heads is 0, expected at least 1 and at most 2^24");
  CHECK(config_refusal({{"dropout_rate", 1.0}}) == "config.json: t5: dropout_rate is 1, expected 0 ≤ rate < 1");
  CHECK(complaint<file_error>([] { return seq2seq::from_config_json(json::array(), "c"); }) ==
        "c: is a JSON array, expected an object");
}

// ---- models
// ----------------------------------------------------------------------------------------------------------------

TEST_CASE("checkpoint: a model that is written and read back has the same bits") {
  for (bool const tied : {true, false})
    for (auto const activation : {nn::activation::relu, nn::activation::gated_gelu}) {
      temporary_directory const directory;
      auto const model = random_model(small(tied, activation));
      seq2seq::write_model(directory / "a/b", model);
      auto const back = read_back(directory / "a/b");
      CHECK(back.config() == model.config());
      CHECK(same_bits(back, model));
    }
}

TEST_CASE("checkpoint: the same model gives the same files, which contain a tied embedding once") {
  temporary_directory const directory;
  seq2seq::write_model(directory / "a", random_model(small()));
  seq2seq::write_model(directory / "b", random_model(small()));
  CHECK(read_file(directory / "a/model.safetensors") == read_file(directory / "b/model.safetensors"));
  CHECK(read_file(directory / "a/config.json") == read_file(directory / "b/config.json"));
  safetensors const file(directory / "a/model.safetensors");
  CHECK(file.contains("shared.weight"));
  for (auto const* name : {"lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"})
    CHECK(!file.contains(name));
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
}

TEST_CASE("checkpoint: reading and writing transformers' model.safetensors reproduces its bytes") {
  for (auto const& entry : std::filesystem::directory_iterator(MQL4GREC_TEST_GOLDEN_DIR)) {
    if (!entry.path().filename().string().starts_with("t5_")) continue;
    temporary_directory const directory;
    seq2seq::write_model(directory.path(), read_back(entry.path()));
    CHECK(read_file(directory / "model.safetensors") == read_file(entry.path() / "model.safetensors"));
  }
}

TEST_CASE("checkpoint: a new model replaces the old one and leaves no temporary files") {
  temporary_directory const directory;
  seq2seq::write_model(directory.path(), random_model(small(), 1));
  auto const untouched = std::filesystem::last_write_time(directory / "config.json");
  seq2seq::write_model(directory.path(), random_model(small(), 2));
  CHECK(same_bits(read_back(directory.path()), random_model(small(), 2)));
  CHECK(std::filesystem::last_write_time(directory / "config.json") == untouched);
  seq2seq::write_model(directory.path(), random_model(small(false), 3));
  CHECK(same_bits(read_back(directory.path()), random_model(small(false), 3)));
  CHECK(directory.files() == 2);
}

TEST_CASE("checkpoint: when writing fails the old model stays" * doctest::skip(!std::filesystem::exists("/dev/full"))) {
  temporary_directory const directory;
  seq2seq::write_model(directory.path(), random_model(small(), 1));
  std::filesystem::create_symlink("/dev/full", directory / "model.safetensors.partial");
  CHECK_THROWS_AS(seq2seq::write_model(directory.path(), random_model(small(), 2)), file_error);
  CHECK(same_bits(read_back(directory.path()), random_model(small(), 1)));
  CHECK(directory.files() == 2);
}

TEST_CASE("checkpoint: can be read for any backend and scalar") {
  temporary_directory const directory;
  auto const model = random_model(small());
  seq2seq::write_model(directory.path(), model);
  reference::backend backend;
  auto const precise = seq2seq::read_model<double>(backend, directory.path());
  for (auto const& p : model.layout().entries())
    for (index_t i = p.offset; i < p.offset + p.size(); ++i)
      REQUIRE(precise.parameters()(i) == double{model.parameters()(i)});
}

TEST_CASE("checkpoint: the embedding is accepted under any of its names, and one is enough") {
  temporary_directory const directory;
  auto const model = random_model(small());
  seq2seq::write_model(directory.path(), model);
  loose_checkpoint loose(directory.path());
  for (auto const* name : {"lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"})
    loose.tensors[name] = loose.tensors["shared.weight"];
  loose.tensors["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = {{8, 2},
                                                                                             std::vector<float>(16)};
  loose.save();
  CHECK(same_bits(read_back(directory.path()), model));
  for (auto const* name : {"shared.weight", "lm_head.weight", "encoder.embed_tokens.weight"}) {
    loose.tensors.erase(name);
    loose.save();
    CHECK(same_bits(read_back(directory.path()), model));
  }
}

TEST_CASE("checkpoint: a missing, unknown, misshapen or damaged tensor is named in one line") {
  CHECK(refusal([](auto&) {}).empty());
  CHECK(refusal([](auto& c) { c.tensors.erase("shared.weight"); }) ==
        "model.safetensors: tensor 'shared.weight' is missing");
  CHECK(refusal([](auto& c) { c.tensors.erase("encoder.final_layer_norm.weight"); }) ==
        "model.safetensors: tensor 'encoder.final_layer_norm.weight' is missing");
  CHECK(refusal([](auto& c) {
          c.tensors["adapter.weight"] = {{1}, {0}};
        }) == "model.safetensors: tensor 'adapter.weight': config.json's T5 has no such parameter");
  CHECK(refusal([](auto& c) {
          c.tensors["shared.weight"].shape = {6, 19};
        }) == "model.safetensors: tensor 'shared.weight': shape [6, 19], expected [19, 6] by config.json");
  CHECK(refusal([](auto& c) {
          c.tensors["encoder.final_layer_norm.weight"].shape = {6, 1};
        }) == "model.safetensors: tensor 'encoder.final_layer_norm.weight': shape [6, 1], expected [6] by config.json");
  CHECK(refusal([](auto& c) { c.tensors["encoder.final_layer_norm.weight"].values[4] = NAN; }) ==
        "model.safetensors: tensor 'encoder.final_layer_norm.weight': entry 4 isn't a finite number");
  CHECK(refusal([](auto& c) {
          c.tensors["lm_head.weight"] = c.tensors["shared.weight"];
          c.tensors["lm_head.weight"].values[3] += 1;
        }) == "model.safetensors: tensor 'lm_head.weight': isn't a copy of the embedding, expected so");
  CHECK(refusal([](auto& c) { c.tensors.erase("lm_head.weight"); }, small(false)) ==
        "model.safetensors: tensor 'lm_head.weight' is missing");
}

TEST_CASE("checkpoint: sizes that contradict the file are refused before memory is allocated") {
  CHECK(config_refusal({{"vocab_size", 1 << 24}}) ==
        "model.safetensors: tensor 'shared.weight': shape [19, 6], expected [16777216, 6] by config.json");
  CHECK(config_refusal({{"num_layers", 1 << 24}}) ==
        "model.safetensors: has 39 tensors, but config.json has 16777216 + 2 layers");
  CHECK(config_refusal({{"num_layers", 2}}) ==
        "model.safetensors: tensor 'encoder.block.1.layer.0.SelfAttention.q.weight' is missing");
  CHECK(config_refusal({{"tie_word_embeddings", false}}) == "model.safetensors: tensor 'lm_head.weight' is missing");
}

TEST_CASE("checkpoint: an untied model in the format of transformers 5 is read as untied and requires lm_head") {
  temporary_directory const directory;
  auto const model = random_model(small(false));
  seq2seq::write_model(directory.path(), model);
  json config = read_json(directory / "config.json");
  config["tie_word_embeddings"] = true;
  config["scale_decoder_outputs"] = false;
  write_json(directory / "config.json", config);
  auto const back = read_back(directory.path());
  CHECK(!back.config().tied);
  CHECK(same_bits(back, model));
  loose_checkpoint loose(directory.path());
  loose.tensors.erase("lm_head.weight");
  loose.save();
  CHECK(complaint<file_error>([&] { return read_back(directory.path()); }) ==
        (directory / "model.safetensors").string() + ": tensor 'lm_head.weight' is missing");
}

TEST_CASE("checkpoint: a sharded model reads the same, and shards that contradict their index are refused") {
  temporary_directory const directory;
  auto const model = random_model(small());
  seq2seq::write_model(directory.path(), model);
  loose_checkpoint const whole(directory.path());
  std::filesystem::remove(directory / "model.safetensors");
  std::vector<std::vector<named_tensor>> parts(3);
  json map = json::object();
  std::size_t number = 0;
  for (auto const& [name, t] : whole.tensors) {
    auto const part = number++ % parts.size();
    parts[part].push_back({name, t.shape, view_of(std::span<float const>(t.values))});
    map[name] = "part-" + std::to_string(part) + ".safetensors";
  }
  for (std::size_t i = 0; i < parts.size(); ++i)
    write_safetensors(directory / ("part-" + std::to_string(i) + ".safetensors"), parts[i]);
  auto const index = directory / "model.safetensors.index.json";
  auto const error_of = [&](json const& weight_map) {
    write_json(index, {{"metadata", {{"total_size", 1}}}, {"weight_map", weight_map}});
    auto const what = complaint<file_error>([&] { return read_back(directory.path()); });
    return what.substr(std::min(what.size(), directory.path().string().size() + 1));
  };
  CHECK(error_of(map).empty());
  CHECK(same_bits(read_back(directory.path()), model));
  auto const changed = [&](json const& other) {
    json with = map;
    with["shared.weight"] = other;
    return error_of(with);
  };
  json const home = map["shared.weight"];
  std::string const elsewhere = home == "part-0.safetensors" ? "part-1.safetensors" : "part-0.safetensors";
  CHECK(changed(elsewhere) ==
        elsewhere + ": tensor 'shared.weight' is missing, but model.safetensors.index.json lists it in this file");
  for (auto const* outside : {"../part-0.safetensors", "/etc/passwd", "config.json"})
    CHECK(changed(outside) == "model.safetensors.index.json: tensor 'shared.weight': '" + std::string(outside) +
                                  "', expected a .safetensors file of this directory");
  CHECK(changed("part-9.safetensors") == "part-9.safetensors: can't be opened for reading: No such file or directory");
  CHECK(changed(7) == "model.safetensors.index.json: key 'shared.weight' is a number of the wrong kind");
  json without = map;
  without.erase("shared.weight");
  CHECK(error_of(without) == home.get<std::string>() +
                                 ": tensor 'shared.weight': model.safetensors.index.json doesn't list it in this file");
  CHECK(error_of(json::array()) ==
        "model.safetensors.index.json: key 'weight_map' is a array, expected an object {\"tensor\": \"file\", …}");
}

TEST_CASE("checkpoint: other checkpoint formats are refused by name") {
  temporary_directory const directory;
  auto const error_of = [&] {
    return complaint<file_error>([&] { return read_back(directory.path()); }).substr(directory.path().string().size());
  };
  CHECK(complaint<file_error>([&] { return read_back(directory / "none"); }) ==
        (directory / "none").string() + ": isn't a directory, expected one with config.json and model.safetensors");
  CHECK(error_of() == "/config.json: can't be opened for reading: No such file or directory");
  test::put(directory / "config.json", seq2seq::to_config_json(small()).dump());
  CHECK(error_of() == "/model.safetensors: can't be opened for reading: No such file or directory");
  test::put(directory / "pytorch_model.bin", "");
  CHECK(error_of() ==
        "/pytorch_model.bin: a pickled checkpoint isn't supported; save it again with safe_serialization=True");
  test::put(directory / "model.safetensors.index.json", "{}");
  CHECK(error_of() == "/model.safetensors.index.json: key 'weight_map' is missing");
}
