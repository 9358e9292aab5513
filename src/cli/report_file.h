// What compare and report write: one file, in the format that its name ends with.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "report/svg_chart.h"

namespace chaski::cli {

/// How each format is made; only the one that is wanted is called.
struct ReportMakers {
  std::function<std::string()> html, markdown, json, csv;
  std::function<Drawing()> picture;  ///< for .svg and .png
};

/// Throws Error(kUsage) naming the endings there are, before anything is made.
void check_report_name(const std::filesystem::path& path);

/// Write it, whole or not at all. Throws also what writing does, and Error(kUnsupported) for .png where
/// rsvg-convert is missing.
void write_report(const std::filesystem::path& path, const ReportMakers& makers);

}  // namespace chaski::cli
