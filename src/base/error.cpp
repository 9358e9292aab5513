#include "base/error.h"

#include <array>

#include "base/utf8.h"

namespace chaski {
namespace {

constexpr std::array<ErrorTraits, 10> kTable{{
    {ErrorCode::kUsage, "usage", 2, 400, "This command or setting is not right", "命令或参数有误"},
    {ErrorCode::kNotFound, "not_found", 3, 404, "Not found", "未找到"},
    {ErrorCode::kCorrupt, "corrupt", 4, 422, "This file is damaged or not what it says it is",
     "文件损坏或内容不符"},
    {ErrorCode::kUnsupported, "unsupported", 5, 422, "This is not supported", "不支持"},
    {ErrorCode::kOutOfMemory, "out_of_memory", 6, 503, "Not enough memory", "内存不足"},
    {ErrorCode::kDevice, "device", 7, 503, "The device failed", "设备出错"},
    {ErrorCode::kNetwork, "network", 8, 502, "The network failed", "网络出错"},
    {ErrorCode::kCancelled, "cancelled", 130, 499, "Stopped", "已中止"},
    {ErrorCode::kInternal, "internal", 70, 500, "A fault of chaski itself", "chaski 内部错误"},
    {ErrorCode::kIo, "io", 9, 500, "The file could not be written", "文件写入失败"},
}};

}  // namespace

const ErrorTraits& traits_of(ErrorCode code) { return kTable[static_cast<size_t>(code)]; }

std::optional<ErrorCode> error_code_of(std::string_view name) {
  for (const ErrorTraits& row : kTable) {
    if (row.name == name) return row.code;
  }
  return std::nullopt;
}

Error::Error(ErrorCode code, std::string_view operation, std::string_view message, std::string hint)
    : code_(code), text_(fmt::format("[{}] {}", operation, message)), hint_(std::move(hint)) {}

std::string describe(const Error& error, std::string_view lang) {
  const bool is_zh = lang == "zh";
  const ErrorTraits& row = traits_of(error.code());
  std::string text = fmt::format("{}{}", is_zh ? row.headline_zh : row.headline_en, is_zh ? "：" : ": ");
  text += error.what();
  for (const std::string& doing : error.context()) text += "\n  " + doing;
  if (!error.hint().empty()) text += fmt::format("\n  {} {}", is_zh ? "建议：" : "Try:", error.hint());
  return text;
}

std::string printable(std::string_view text, size_t limit) {
  const bool is_cut = text.size() > limit;
  if (is_cut) {
    text = text.substr(0, limit);
    text.remove_suffix(incomplete_utf8_tail(text));
  }
  const std::string valid = replace_invalid_utf8(text);
  std::string shown;
  for (size_t i = 0; i < valid.size(); ++i) {
    const auto byte = static_cast<unsigned char>(valid[i]);
    const auto next = i + 1 < valid.size() ? static_cast<unsigned char>(valid[i + 1]) : 0;
    const bool is_c1 = byte == 0xC2 && next < 0xA0;  // controls of two bytes
    if (byte < 0x20 || byte == 0x7F || is_c1) {
      shown += fmt::format("\\x{:02x}", is_c1 ? next : byte);
      i += is_c1 ? 1 : 0;
    } else {
      shown += valid[i];
    }
  }
  if (is_cut) shown += "…";
  return shown;
}

void detail::check_failed(const char* file, int line, const char* condition, const std::string& message) {
  std::string_view name(file);
  if (const size_t at = name.rfind("/src/"); at != std::string_view::npos) name.remove_prefix(at + 1);
  throw Error(ErrorCode::kInternal, "check", fmt::format("{} ({} at {}:{})", message, condition, name, line),
              "this is a bug in chaski; please report it with the command you ran");
}

}  // namespace chaski
