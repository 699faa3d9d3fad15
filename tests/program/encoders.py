"""Small encoders with random weights and small pictures, as files of the formats that embed reads."""
import json
import random
import struct
import zlib
from array import array


def write_safetensors(path, shapes, seed=3):
    chance, header, values = random.Random(seed), {}, array("f")
    for name, shape in shapes.items():
        count, begin = 1, 4 * len(values)
        for n in shape:
            count *= n
        values.extend(1.0 if len(shape) == 1 and name.endswith("weight") else chance.gauss(0, 0.3) for _ in range(count))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, 4 * len(values)]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + values.tobytes())


def layer(prefix, names, width, inner):
    """Shapes of a transformer layer; names: q, k, v, output, expand, contract, both norms."""
    *square, expand, contract, first, second = names
    shapes = {f"{prefix}.{name}.weight": [width, width] for name in square} | {
        f"{prefix}.{expand}.weight": [inner, width], f"{prefix}.{contract}.weight": [width, inner],
        f"{prefix}.{first}.weight": [width], f"{prefix}.{second}.weight": [width]}
    return shapes | {name.replace(".weight", ".bias"): [shape[0]] for name, shape in shapes.items()}


def write_text_encoder(directory, words, width=16):
    """A BERT of one layer whose vocabulary is these words."""
    directory.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(words))]
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (directory / "config.json").write_text(json.dumps({
        "model_type": "bert", "vocab_size": len(vocabulary), "hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 2 * width, "max_position_embeddings": 64, "type_vocab_size": 2, "hidden_act": "gelu"}))
    names = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense",
             "attention.output.LayerNorm", "output.LayerNorm"]
    write_safetensors(directory / "model.safetensors", {
        "embeddings.word_embeddings.weight": [len(vocabulary), width], "embeddings.position_embeddings.weight": [64, width],
        "embeddings.token_type_embeddings.weight": [2, width], "embeddings.LayerNorm.weight": [width], "embeddings.LayerNorm.bias": [width],
    } | layer("encoder.layer.0", names, width, 2 * width))
    return directory


def write_image_encoder(directory, width=16, size=16, patch=8):
    """The vision part of a CLIP of one layer."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps({
        "model_type": "clip_vision_model", "hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 2 * width,
        "image_size": size, "patch_size": patch, "projection_dim": width, "hidden_act": "quick_gelu"}))
    (directory / "preprocessor_config.json").write_text(json.dumps({"size": size, "crop_size": size, "resample": 3}))
    names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2", "layer_norm1", "layer_norm2"]
    norms = {f"vision_model.{name}.{part}": [width] for name in ("pre_layrnorm", "post_layernorm") for part in ("weight", "bias")}
    write_safetensors(directory / "model.safetensors", {
        "vision_model.embeddings.patch_embedding.weight": [width, 3, patch, patch], "vision_model.embeddings.class_embedding": [width],
        "vision_model.embeddings.position_embedding.weight": [1 + (size // patch) ** 2, width], "visual_projection.weight": [width, width],
    } | norms | layer("vision_model.encoder.layers.0", names, width, 2 * width))
    return directory


def png(width, height, color_of):
    """A PNG file; color_of(x, y): red, green, blue."""
    rows = b"".join(b"\0" + bytes(value for x in range(width) for value in color_of(x, y)) for y in range(height))
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def read_npy(path):
    """The rows of a float32 matrix."""
    data = path.read_bytes()
    length = struct.unpack("<H", data[8:10])[0]
    header = data[10:10 + length].decode()
    rows, columns = (int(n) for n in header.split("(")[1].split(")")[0].split(","))
    values = array("f", data[10 + length:])
    assert len(values) == rows * columns, header
    return [values[i * columns:(i + 1) * columns].tolist() for i in range(rows)]
