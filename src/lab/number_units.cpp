#include "lab/number_units.h"

#include <array>

#include "lab/ascii.h"

namespace chaski {
namespace {

constexpr std::array kUnits = std::to_array<NumberUnit>({
    {"mm", "length", 1, 1000},
    {"毫米", "length", 1, 1000},
    {"millimeters", "length", 1, 1000},
    {"cm", "length", 1, 100},
    {"厘米", "length", 1, 100},
    {"centimeters", "length", 1, 100},
    {"dm", "length", 1, 10},
    {"分米", "length", 1, 10},
    {"m", "length", 1, 1},
    {"米", "length", 1, 1},
    {"meters", "length", 1, 1},
    {"metres", "length", 1, 1},
    {"meter", "length", 1, 1},
    {"km", "length", 1000, 1},
    {"千米", "length", 1000, 1},
    {"公里", "length", 1000, 1},
    {"kilometers", "length", 1000, 1},
    {"kilometres", "length", 1000, 1},
    {"kilometer", "length", 1000, 1},
    {"mg", "mass", 1, 1'000'000},
    {"毫克", "mass", 1, 1'000'000},
    {"g", "mass", 1, 1000},
    {"克", "mass", 1, 1000},
    {"grams", "mass", 1, 1000},
    {"kg", "mass", 1, 1},
    {"千克", "mass", 1, 1},
    {"公斤", "mass", 1, 1},
    {"kilograms", "mass", 1, 1},
    {"斤", "mass", 1, 2},
    {"吨", "mass", 1000, 1},
    {"tons", "mass", 1000, 1},
    {"tonnes", "mass", 1000, 1},
    {"ms", "time", 1, 1000},
    {"毫秒", "time", 1, 1000},
    {"s", "time", 1, 1},
    {"秒", "time", 1, 1},
    {"秒钟", "time", 1, 1},
    {"seconds", "time", 1, 1},
    {"second", "time", 1, 1},
    {"min", "time", 60, 1},
    {"分钟", "time", 60, 1},
    {"minutes", "time", 60, 1},
    {"minute", "time", 60, 1},
    {"h", "time", 3600, 1},
    {"小时", "time", 3600, 1},
    {"hours", "time", 3600, 1},
    {"hour", "time", 3600, 1},
    {"天", "time", 86'400, 1},
    {"days", "time", 86'400, 1},
    {"day", "time", 86'400, 1},
    {"周", "time", 604'800, 1},
    {"星期", "time", 604'800, 1},
    {"weeks", "time", 604'800, 1},
    {"week", "time", 604'800, 1},
    {"ml", "volume", 1, 1000},
    {"毫升", "volume", 1, 1000},
    {"l", "volume", 1, 1},
    {"升", "volume", 1, 1},
    {"liters", "volume", 1, 1},
    {"litres", "volume", 1, 1},
    {"元", "yuan", 1, 1},
    {"块钱", "yuan", 1, 1},
    {"yuan", "yuan", 1, 1},
    {"角", "yuan", 1, 10},
    {"dollars", "dollar", 1, 1},
    {"dollar", "dollar", 1, 1},
    {"cents", "dollar", 1, 100},
    {"平方厘米", "area", 1, 10'000},
    {"平方米", "area", 1, 1},
    {"平方千米", "area", 1'000'000, 1},
    {"平方公里", "area", 1'000'000, 1},
    {"公顷", "area", 10'000, 1},
    {"立方厘米", "space", 1, 1'000'000},
    {"立方米", "space", 1, 1},
});

}  // namespace

const NumberUnit* unit_at(std::string_view text) {
  const NumberUnit* longest = nullptr;
  for (const NumberUnit& unit : kUnits) {
    if (!text.starts_with(unit.name) || (longest != nullptr && longest->name.size() >= unit.name.size()))
      continue;
    const bool is_cut = is_ascii_letter(unit.name.back()) && text.size() > unit.name.size() &&
                        (is_ascii_letter(text[unit.name.size()]) || text[unit.name.size()] == '^');
    if (!is_cut) longest = &unit;
  }
  return longest;
}

const NumberUnit* find_unit(std::string_view name) {
  for (const NumberUnit& unit : kUnits) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

}  // namespace chaski
