#pragma once
#include <array>
#include <string_view>

namespace mql4grec::detail {

/// One made-up shop. Materials and finishes are the same everywhere: they are what one domain can teach another.
struct synthetic_shop {
  std::string_view name;
  std::array<std::string_view, 10> kinds;
};

inline constexpr std::array<synthetic_shop, 4> synthetic_shops = {{
    {"Instruments", {"acoustic guitar", "violin", "cello", "clarinet", "snare drum", "hand drum", "ukulele", "keyboard",
                     "trumpet", "harmonica"}},
    {"Arts", {"brush set", "table easel", "sketchbook", "palette", "pencil case", "yarn bowl", "stamp kit", "picture frame",
              "knitting loom", "paper cutter"}},
    {"Games", {"chess set", "game controller", "headset", "dice tower", "card box", "arcade stick", "racing wheel",
               "domino set", "puzzle cube", "console stand"}},
    {"Kitchen", {"cutting board", "pepper mill", "tea kettle", "bread box", "mixing bowl", "serving tray", "knife block",
                 "coffee grinder", "spice rack", "salad spoon"}},
}};
inline constexpr std::array<std::string_view, 8> synthetic_materials = {"walnut", "maple", "cedar",  "bamboo",
                                                                        "brass",  "copper", "carbon", "silver"};
inline constexpr std::array<std::string_view, 5> synthetic_finishes = {"vintage", "compact", "matte", "glossy", "travel"};

}  // namespace mql4grec::detail
